"""Runs that are killed, and runs at the same time."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import input_pipeline
from input_pipeline.preparation import cache

SPEC = "streets(train=6, val=2, size=(32, 40))"

# Tests that need processes share one script, which forks before TensorFlow starts, because importing it takes longer than
# the rest. First two children prepare the same records; then, for each moment, one prepares and kills itself there.
FORKS = """
import os, pathlib, signal, sys
import input_pipeline
from input_pipeline import progress, records
from input_pipeline.preparation import convert

progress.SECONDS = 0.0  # a line for every image
root, spec, several = sys.argv[1:]

def fork(function):
    child = os.fork()
    if not child:
        function()
        os._exit(0)
    return child

def prepare_and_count():
    print(len(list(input_pipeline.prepare(several, cache_dir=os.path.join(root, "two")).encoded("train"))), flush=True)

for child in [fork(prepare_and_count), fork(prepare_and_count)]:
    os.waitpid(child, 0)

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def after(function, calls):
    def call(*args, **kwargs):
        nonlocal calls
        result, calls = function(*args, **kwargs), calls - 1
        return result if calls else die()
    return call

rename = pathlib.Path.rename
moments = {
    "at the 4th image": lambda: setattr(convert.Conversion, "__call__", after(convert.Conversion.__call__, 4)),
    "before the statistics": lambda: setattr(records, "save", die),
    "after the statistics": lambda: setattr(records, "save", after(records.save, 1)),
    "while replacing": lambda: setattr(pathlib.Path, "rename", after(rename, 1)),
}
for moment, arm in moments.items():
    cache = os.path.join(root, "killed", moment)
    if moment == "while replacing":
        os.waitpid(fork(lambda: input_pipeline.prepare(spec, cache_dir=cache)), 0)
    child = fork(lambda: (arm(), input_pipeline.prepare(spec, cache_dir=cache, overwrite=True)))
    if os.waitpid(child, 0)[1] != signal.SIGKILL:
        sys.exit(f"not killed {moment}")
"""


@pytest.fixture(scope="module")
def forks(tmp_path_factory):
    """(the folder of the caches, the script's output, its standard error)."""
    root = tmp_path_factory.mktemp("forks")
    command = [sys.executable, "-c", FORKS, root, SPEC, SPEC.replace("train=6", "train=300")]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    return root, run.stdout, run.stderr


def directories(cache):
    return sorted(p.parent for p in Path(cache).glob("*/*/*/statistics.json"))


def contents(prepared, split="train"):
    return list(prepared.encoded(split).as_numpy_iterator())


def test_killed_at_any_moment_nothing_looks_whole(forks, tmp_path):
    expected = input_pipeline.prepare(SPEC, cache_dir=str(tmp_path))
    caches = list((forks[0] / "killed").iterdir())
    assert len(caches) == 4
    for folder in caches:
        assert all(d.name.startswith("incomplete.") for d in directories(folder))
        assert list(folder.rglob("incomplete.*")), f"{folder} was killed before it began"
        prepared = input_pipeline.prepare(SPEC, cache_dir=str(folder))
        assert prepared.statistics == expected.statistics
        assert contents(prepared) == contents(expected)
        assert not list(folder.rglob("incomplete.*"))


def test_two_at_once_make_one(forks):
    root, printed, bars = forks
    assert printed.split() == ["300", "300"]
    assert len(re.findall(r"streets train  300 of 300 images", bars)) == 1, "one builds, the other waits"
    assert len(directories(root / "two")) == 1
    assert not list((root / "two").rglob("incomplete.*"))


def test_a_living_run_is_not_cleaned_away(tmp_path):
    leaf = tmp_path / "streets" / "other-options"
    with cache._locked(leaf):
        (leaf / "incomplete.ABC_1.0.0").mkdir()
        input_pipeline.prepare(SPEC, cache_dir=str(tmp_path))
        assert (leaf / "incomplete.ABC_1.0.0").exists()
    input_pipeline.prepare(SPEC, cache_dir=str(tmp_path), overwrite=True)
    assert not (leaf / "incomplete.ABC_1.0.0").exists()
