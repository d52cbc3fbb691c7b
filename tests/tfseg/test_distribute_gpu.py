"""GPUs that TensorFlow cannot use, with a false nvidia-smi, so that the tests run on machines without a GPU."""

import logging
import os
import types

import pytest
import tensorflow as tf

from tfseg import distribute

LISTED = "GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5c2a)\\nGPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-77b1)\\n"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A function that describes the machine; by default it has no GPU, no driver and no CUDA libraries."""

    def describe(smi="exit 9", driver=False, gpus=(), cuda=True, libraries=(), visible=None):
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{smi}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        monkeypatch.setattr(distribute, "NVIDIA_DRIVER", tmp_path if driver else tmp_path / "none")
        devices = tf.config.list_physical_devices
        monkeypatch.setattr(
            tf.config, "list_physical_devices", lambda kind: [*gpus] if kind == "GPU" else devices(kind)
        )
        monkeypatch.setattr(tf.test, "is_built_with_cuda", lambda: cuda)
        found = [types.SimpleNamespace(name=name) for name in ("numpy", None, *libraries)]
        monkeypatch.setattr(distribute.importlib.metadata, "distributions", lambda: found)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    return describe


SEEN = f'printf "{LISTED}"'
CUDA = ("nvidia-cudnn-cu12",)


@pytest.mark.parametrize(
    "facts",
    [
        {},  # no driver
        {"smi": 'echo "No devices were found"'},  # a driver without a GPU
        {"smi": SEEN, "gpus": ["/physical_device:GPU:0"]},  # TensorFlow sees it
        {"smi": SEEN, "visible": ""},  # hidden on purpose, in both ways that CUDA knows
        {"smi": SEEN, "visible": "-1"},
    ],
)
def test_nothing_is_said(machine, facts):
    machine(**facts)
    assert distribute.unusable_gpu() == ""


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"smi": SEEN}, ["a GPU (NVIDIA A100-SXM4-40GB)", f"pip install 'tensorflow[and-cuda]=={tf.__version__}'"]),
        ({"driver": True}, ["an NVIDIA driver", "`make setup`"]),
        ({"smi": SEEN, "cuda": False}, ["without CUDA", "x86_64"]),
        ({"smi": SEEN, "libraries": CUDA}, ["525.60", "--gpus all"]),
        ({"smi": SEEN, "libraries": CUDA, "visible": "7"}, ["CUDA_VISIBLE_DEVICES=7"]),
    ],
)
def test_the_cause_and_what_to_do(machine, facts, words):
    machine(**facts)
    message = distribute.unusable_gpu()
    assert message.startswith("This run uses the CPU, although the machine has ")
    assert not [word for word in words if word not in message], message


def test_a_run_says_so(machine, caplog):
    machine(smi=SEEN)
    with caplog.at_level(logging.WARNING, logger="absl"):
        distribute.build("one_device")
    assert [record.getMessage() for record in caplog.records] == [distribute.unusable_gpu()]
