"""Two real processes on loopback under MultiWorkerMirroredStrategy."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

import pytest

from tfseg import checkpoint, distribute

ROOT = pathlib.Path(__file__).parents[2]
FLAGS = (
    "--dataset=streets(train=8, val=3, size=(32, 48))", "--model=unet(width=2)", "--crop_size=32,32", "--batch_size=4",
    "--eval_every=0", "--log_every=1", "--optimizer=sgd", "--learning_rate=0.01", "--augment=affine(scale=(0.3, 1.0))",
    "--schedule=constant",
)  # fmt: skip


def start(workdir, folder, flags, cluster=None, index=0):
    """A training process; one of two workers if `cluster` has their addresses."""
    env = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"} | {"CUDA_VISIBLE_DEVICES": ""}
    if cluster:
        env["TF_CONFIG"] = json.dumps({"cluster": {"worker": cluster}, "task": {"type": "worker", "index": index}})
    command = [sys.executable, "main.py", f"--workdir={workdir}", f"--cache_dir={folder / 'cache'}", *FLAGS, *flags]
    with workdir.with_suffix(f".{index}.log").open("a") as log:
        return subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=subprocess.STDOUT)


def addresses():
    """Two free ports of this machine."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    found = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    return found


def output(workdir):
    return "".join(workdir.with_suffix(f".{index}.log").read_text()[-3000:] for index in (0, 1))


def losses(workdir):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


def test_two_workers_compute_what_one_process_does(tmp_path):
    """If both read the same examples, or each counted only its own pixels, the losses would differ."""
    one, two = tmp_path / "one", tmp_path / "two"
    flags = ["--steps=4", "--eval_every=1"]
    assert start(one, tmp_path, flags).wait(timeout=600) == 0
    cluster = addresses()
    workers = [start(two, tmp_path, flags, cluster, index) for index in (0, 1)]
    assert [worker.wait(timeout=600) for worker in workers] == [0, 0], output(two)
    assert losses(two) == pytest.approx(losses(one), rel=1e-4)
    results = [json.loads((w / "evaluation_val.json").read_text()) for w in (one, two)]
    assert results[1]["images"] == results[0]["images"] == 3
    # Rounding may change pixels whose two best classes are equal: a thousandth of 3 x 32 x 48.
    assert results[1]["pixel_accuracy"] == pytest.approx(results[0]["pixel_accuracy"], abs=1e-3)
    # Only the chief writes: one line per step, and the workdir has no file of another process.
    assert len((two / "metrics.jsonl").read_text().splitlines()) == len(
        (one / "metrics.jsonl").read_text().splitlines()
    )
    assert {p.name for p in two.iterdir()} == {p.name for p in one.iterdir()}


@pytest.mark.slow
def test_a_job_whose_worker_was_killed_goes_on_from_its_last_checkpoint(tmp_path):
    two, copy = tmp_path / "two", tmp_path / "copy"
    cluster = addresses()
    flags = ["--steps=100000", "--checkpoint_every=2"]
    workers = [start(two, tmp_path, flags, cluster, index) for index in (0, 1)]
    deadline = time.monotonic() + 600
    while not list((two / "checkpoints").glob("last-*")):
        assert time.monotonic() < deadline, output(two)
        assert all(worker.poll() is None for worker in workers), output(two)
        time.sleep(0.2)
    workers[1].kill()
    # The first cannot go on alone: it ends by itself, with an error.
    assert workers[0].wait(timeout=600) != 0
    assert "Expected all workers until the end" in output(two)

    saved = checkpoint.latest(two, "last")[1].step
    shutil.copytree(two, copy)
    flags = [f"--steps={saved + 2}"]
    cluster = addresses()
    workers = [start(two, tmp_path, flags, cluster, index) for index in (0, 1)]
    assert [worker.wait(timeout=600) for worker in workers] == [0, 0], output(two)
    assert start(copy, tmp_path, flags).wait(timeout=600) == 0
    assert losses(two) == pytest.approx(losses(copy), rel=1e-4)
    assert max(losses(two)) == saved + 2


def test_multi_worker_without_a_cluster_is_an_error(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match="Expected TF_CONFIG to hold several workers"):
        distribute.build("multi_worker")
