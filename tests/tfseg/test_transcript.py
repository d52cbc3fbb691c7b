"""The output and the notes of a training: stdout, stderr, log.txt and environment.json."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

import tfseg

ROOT = pathlib.Path(__file__).parents[2]
NOISE = re.compile(
    r"oneDNN|cuInit|cudart|InitializeLog|rebuild TensorFlow|Sharding callback|unknown_\d|End of sequence|Assets written|"
    r"MirroredStrategy|dataset_info|Generating dataset|UserWarning|\r"
)
FLAGS = (
    "--dataset=streets(train=8, val=3, size=(32, 48))", "--model=unet(width=2)", "--crop_size=32,32", "--batch_size=4",
    "--eval_every=1", "--log_every=1", "--learning_rate=0.01", "--augment=brightness(0.2)",
)  # fmt: skip


def run(*arguments):
    env = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "main.py", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=env)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of 2 steps, and its continuation to 4."""
    folder = tmp_path_factory.mktemp("runs")
    flags = (*FLAGS, f"--cache_dir={folder / 'cache'}", f"--workdir={folder / 'run'}")
    return folder / "run", [run(*flags, f"--steps={steps}") for steps in (2, 4)]


def test_a_run_says_once_what_it_computes_and_nothing_of_tensorflow(runs):
    workdir, (first, second) = runs
    for done in (first, second):
        assert done.returncode == 0, done.stderr
        assert not NOISE.search(done.stdout + done.stderr)
        assert done.stderr.count("\n") <= 2  # "Prepared ...", and that --steps changed
    said = dict(line.split(maxsplit=1) for line in first.stdout.splitlines()[:9])
    assert said["Devices"].endswith("float32")
    assert re.fullmatch(r"unet\(width=2\), 0\.\d\d M parameters \(0\.\d\d M trainable\)", said["Network"])
    assert said["Start"] == "random weights, step 0 of 2"
    assert said["Data"] == f"{FLAGS[0][10:]}, 8 train, 3 val images of 32x48 pixels, 10 classes"
    assert said["Batches"] == "4 crops of 32x32, 2 steps an epoch, 2 steps in all (1 epochs)"
    assert said["Workdir"].startswith(str(workdir))
    assert said["TensorBoard"] == f"tensorboard --logdir={workdir}"
    assert "resumed at step 2 of 4" in second.stdout
    line = r"^step 4: val mIoU [\d.]+ \(best.*\), pixel accuracy [\d.]+, loss [\d.]+$"
    assert len(re.findall(line, second.stdout, re.MULTILINE)) == 1


def test_the_log_keeps_what_was_said_over_all_starts(runs):
    workdir, printed = runs
    log = (workdir / "log.txt").read_text()
    assert len(re.findall(r"^=+ \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  main\.py --dataset", log, re.M)) == 2
    lines = {line[21:] for line in log.splitlines() if re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  ", line)}
    said = [line for done in printed for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    assert len(said) > 20
    assert set(said) == lines
    assert any(line.startswith("Warning: The run goes on with --steps=4") for line in lines)


def test_the_environment_tells_what_the_run_was_computed_with(runs):
    workdir, _ = runs
    facts = json.loads((workdir / "environment.json").read_text())
    (before,) = facts["earlier"]
    for one, steps in ((facts, 4), (before, 2)):
        assert one["packages"]["tensorflow"].startswith("2.")
        assert one["python"] == ".".join(map(str, sys.version_info[:3]))
        assert one["tfseg"]["version"] == tfseg.__version__
        assert one["command"][-1] == f"--steps={steps}"
        assert one["outcome"] == "finished"
        assert one["start"] <= one["end"]
    assert before["end"] <= facts["start"]
    assert "earlier" not in before
    if (ROOT / ".git").exists():
        assert re.fullmatch("[0-9a-f]{40}", facts["tfseg"]["commit"])


def test_the_sentence_of_a_failure_is_in_the_log(runs, tmp_path):
    workdir, _ = runs
    flags = (*FLAGS, f"--cache_dir={workdir.parent / 'cache'}", f"--workdir={tmp_path}", "--steps=2")
    done = run(*flags, "--init_from=/no/such/file.pth")
    assert done.returncode == 1
    assert not NOISE.search(done.stderr)
    sentence = done.stderr.strip().splitlines()[-1]
    assert "/no/such/file.pth" in sentence
    assert f"  {sentence}\n" in (tmp_path / "log.txt").read_text()
    facts = json.loads((tmp_path / "environment.json").read_text())
    assert facts["outcome"].endswith(sentence.partition(": ")[2])
