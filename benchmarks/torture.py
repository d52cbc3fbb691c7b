"""`make torture`: kills training at random moments and checks that its weights equal those without kills, bit by bit.

    python -m benchmarks.torture --kills=50 --seed=0

A third of the kills come at any moment after the start of the process, a third while a checkpoint is being written, a
third during an evaluation. When a run has finished, its weights are compared, and another run begins if there are kills
left.
"""

import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time

import numpy as np
import tensorflow as tf

from tfseg import checkpoint

ROOT = pathlib.Path(__file__).parents[1]
STEPS, EVAL_STEPS = 240, 12
FLAGS = (
    "--dataset=streets(train=24, val=6, size=(32, 48))", "--model=unet(width=2)", "--crop_size=32,32", "--batch_size=4",
    f"--steps={STEPS}", "--eval_every=2", "--checkpoint_every=5", "--log_every=1", "--class_weights=enet",
    "--ema_decay=0.99", "--strategy=one_device",
)  # fmt: skip
KINDS = ("at any moment", "while a checkpoint is written", "while it evaluates")


def main():
    """Trains without kills, then with kills, and compares; the exit status is 1 if the weights differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    choose, started, equal = random.Random(options.seed), time.monotonic(), True
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        begin = time.monotonic()
        _wait(_start(folder / "whole"))
        life = time.monotonic() - begin
        expected = _weights(folder / "whole")
        print(f"uninterrupted: {STEPS} steps, {len(expected)} tensors, {life:.0f} s", flush=True)
        kills, runs, counts, workdir = 0, 0, dict.fromkeys(KINDS, 0), folder / "run-0"
        while True:
            process = _start(workdir)
            kind = KINDS[kills % len(KINDS)]
            if kills < options.kills and _reach(process, workdir, kind, choose, life):
                process.kill()
                process.wait()
                kills, counts[kind] = kills + 1, counts[kind] + 1
                print(f"kill {kills:3} {kind}: at step {_step(workdir)}", flush=True)
                continue
            _wait(process)
            runs += 1
            same = _same(_weights(workdir), expected)
            equal &= same
            print(f"run {runs} through after {kills} kills: weights {'equal' if same else 'DIFFERENT'}", flush=True)
            if kills >= options.kills:
                break
            workdir = folder / f"run-{runs}"
        minutes = (time.monotonic() - started) / 60
        print("; ".join(f"{count} kills {kind}" for kind, count in counts.items()))
        print(
            f"torture: {kills} kills, {runs} runs, {'all' if equal else 'NOT all'} equal to the bit, {minutes:.0f} minutes"
        )
    sys.exit(not equal)


def _start(workdir):
    command = [sys.executable, "main.py", f"--workdir={workdir}", f"--cache_dir={workdir.parent / 'cache'}", *FLAGS]
    with workdir.with_suffix(".log").open("a") as log:
        return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)


def _wait(process):
    if process.wait() != 0:
        raise RuntimeError(f"Expected the run to end well. Received: exit status {process.returncode}.")


def _reach(process, workdir, kind, choose, life):
    """Waits for a moment of this kind; returns False if the run finished before."""
    deadline = time.monotonic() + choose.uniform(0, life)
    first = _step(workdir)
    while process.poll() is None:
        if kind == KINDS[0] and time.monotonic() > deadline:
            return True
        # Only after the process has taken a step: until then a file that an earlier kill left may still be there.
        if kind == KINDS[1] and _step(workdir) > first and list((workdir / "checkpoints").glob(".writing-*")):
            time.sleep(choose.uniform(0, 0.02))
            return True
        if kind == KINDS[2] and _step(workdir) > first and _step(workdir) % EVAL_STEPS == 0:
            time.sleep(choose.uniform(0, 0.2))
            return True
        time.sleep(0.0005)
    return False


def _step(workdir):
    """The last step in metrics.jsonl."""
    path = workdir / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.is_file() else []
    whole = [line for line in lines if line.endswith("}")]
    return json.loads(whole[-1])["step"] if whole else 0


def _weights(workdir):
    found, state = checkpoint.latest(workdir, "last")
    if state.step != STEPS:
        raise RuntimeError(f"Expected a checkpoint of step {STEPS}. Received: {found}.")
    reader = tf.train.load_checkpoint(str(found / "variables"))
    return {key: reader.get_tensor(key) for key in reader.get_variable_to_shape_map() if "OBJECT_GRAPH" not in key}


def _same(got, expected):
    return got.keys() == expected.keys() and all(
        np.asarray(got[key]).tobytes() == np.asarray(value).tobytes() for key, value in expected.items()
    )


if __name__ == "__main__":
    main()
