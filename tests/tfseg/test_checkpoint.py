"""Checkpoints: they are written completely or not at all, and damaged ones are skipped."""

import os
import pathlib
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfseg import checkpoint, workdir
from tfseg.checkpoint import State
from tfseg.config import Config


def network(classes=3, filters=4):
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Dropout(0.5, seed=1)(keras.layers.Conv2D(filters, 3, name="conv")(inputs))
    return keras.Model(inputs, {"logits": keras.layers.Conv2D(classes, 1, name="logits")(x)})


def values_of(model):
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build(model.trainable_variables)
    return checkpoint.variables(model, optimizer)


def fill(model, value):
    for variable in model.weights:
        variable.assign(np.full(variable.shape, value))


def test_model_optimizer_and_dropout_come_back(tmp_path):
    model = network()
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build(model.trainable_variables)
    values = checkpoint.variables(model, optimizer)
    for _ in range(3):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(tf.ones([1, 8, 8, 3]), training=True)["logits"])
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
    state = State(step=3, best=0.5, best_step=3, evaluated=3, num_classes=3, classes=[["a", [1, 2, 3]]])
    checkpoint.save(tmp_path, values, state, Config())
    after = model(tf.ones([1, 8, 8, 3]), training=True)["logits"].numpy()  # with the fourth dropout mask

    other = network()
    other_optimizer = keras.optimizers.Adam(0.1)
    other_optimizer.build(other.trainable_variables)
    assert checkpoint.restore(tmp_path, checkpoint.variables(other, other_optimizer)) == state
    for a, b in zip(model.variables + optimizer.variables, other.variables + other_optimizer.variables, strict=True):
        if "seed" not in a.path:  # `after` has drawn once more from the first
            np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)
    np.testing.assert_array_equal(other(tf.ones([1, 8, 8, 3]), training=True)["logits"], after)


def test_last_ones_are_kept_and_the_best(tmp_path):
    model = network()
    values = values_of(model)
    for step, best_step in ((1, 1), (2, 2), (3, 2), (4, 2)):
        fill(model, step)
        checkpoint.save(tmp_path, values, State(step=step, best_step=best_step), Config(keep=2))
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == [
        "best-00000002",
        "last-00000003",
        "last-00000004",
    ]
    for which, step in (("best", 2), ("last", 4)):
        folder, state = checkpoint.latest(tmp_path, which)
        assert state.step == step
        checkpoint.restore_model(folder, model)
        np.testing.assert_array_equal(model.weights[0].numpy(), np.full(model.weights[0].shape, step))


@pytest.mark.parametrize("damage", ["truncated data", "missing index", "no state", "broken state", "flipped byte"])
def test_a_damaged_newest_one_is_passed_over_for_the_one_before(tmp_path, damage):
    model = network()
    values = values_of(model)
    for step in (1, 2):
        fill(model, step)
        checkpoint.save(tmp_path, values, State(step=step), Config())
    newest = tmp_path / "checkpoints" / "last-00000002"
    data = newest / "variables.data-00000-of-00001"
    if damage == "truncated data":
        data.write_bytes(data.read_bytes()[:-50])
    elif damage == "missing index":
        (newest / "variables.index").unlink()
    elif damage == "no state":
        (newest / "state.json").unlink()
    elif damage == "broken state":
        (newest / "state.json").write_text('{"step": ')
    else:
        content = bytearray(data.read_bytes())
        content[len(content) // 2] ^= 1
        data.write_bytes(content)
    fill(model, 9)
    assert checkpoint.restore(tmp_path, values).step == 1
    np.testing.assert_array_equal(model.weights[0].numpy(), np.full(model.weights[0].shape, 1))


def test_only_damaged_ones_are_an_error_not_a_fresh_start(tmp_path):
    values = values_of(network())
    checkpoint.save(tmp_path, values, State(step=1), Config())
    (tmp_path / "checkpoints" / "last-00000001" / "variables.index").write_bytes(b"")
    with pytest.raises(ValueError, match="Expected a readable checkpoint"):
        checkpoint.restore(tmp_path, values)
    assert checkpoint.restore(tmp_path / "empty", values) is None


KILLED = """
import os, signal, sys
sys.path.insert(0, os.getcwd())
import pathlib
from tests.tfseg.test_checkpoint import network, values_of, fill
from tfseg import checkpoint, workdir
from tfseg.config import Config
model = network(); values = values_of(model); workdir = pathlib.Path(sys.argv[1])
fill(model, 1); checkpoint.save(workdir, values, checkpoint.State(step=1, best_step=1), Config())
calls = 0
def kill(*args, **kwargs):
    global calls
    calls += 1
    if calls == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*args, **kwargs)
owner, name = {"flush": (checkpoint, "_flush"), "rename": (pathlib.Path, "rename"), "link": (os, "link")}[sys.argv[2]]
original = getattr(owner, name); setattr(owner, name, kill)
fill(model, 2); checkpoint.save(workdir, values, checkpoint.State(step=2, best_step=2), Config())
"""


@pytest.mark.parametrize(
    ("moment", "call", "survives"),
    [
        ("flush", 1, 1),  # the files are written under other names, none is flushed
        ("rename", 1, 1),  # all flushed, not renamed
        ("link", 1, 2),  # `last` is renamed, `best` not begun
        ("rename", 2, 2),  # `best` is written under another name
    ],
)
def test_kill_9_during_a_write_leaves_a_whole_checkpoint(tmp_path, moment, call, survives):
    root = pathlib.Path(__file__).parents[2]
    command = [sys.executable, "-c", KILLED, str(tmp_path), moment, str(call)]
    assert subprocess.run(command, cwd=root, capture_output=True, check=False).returncode == -signal.SIGKILL
    model = network()
    state = checkpoint.restore(tmp_path, values_of(model))
    assert state.step == survives
    np.testing.assert_array_equal(model.weights[0].numpy(), np.full(model.weights[0].shape, survives))
    # The best one is there too, and the next save removes the files that the killed save left.
    assert checkpoint.latest(tmp_path, "best")[1].step == survives
    checkpoint.save(tmp_path, values_of(model), State(step=3), Config())
    assert not [name for name in os.listdir(tmp_path / "checkpoints") if name.startswith(".")]


def test_another_class_count_is_named(tmp_path):
    checkpoint.save(
        tmp_path, values_of(network(3)), State(step=1, num_classes=3), Config(model="enet", dataset="camvid")
    )
    folder, _ = checkpoint.latest(tmp_path)
    with pytest.raises(ValueError, match=r"--dataset=camvid --model=enet .*3 classes\)\. Received: .* with 5 classes"):
        checkpoint.restore_model(folder, network(5))


def begun(run):
    """Writes the flags of a run, and the folder of a checkpoint, with which the workdir belongs to it."""
    folder = pathlib.Path(run.workdir)
    (folder / "checkpoints" / "last-00000001").mkdir(parents=True)
    workdir.write_flags(folder, run)


def test_a_workdir_of_another_run_is_refused_naming_the_options(tmp_path):
    run = Config(workdir=str(tmp_path), model="enet", dataset="camvid", batch_size=4)
    begun(run)
    workdir.claim(run)  # the same run again
    with pytest.raises(ValueError, match=r"--model=enet --batch_size=4.*Received: --model=unet --batch_size=8"):
        workdir.claim(Config(workdir=str(tmp_path), model="unet", dataset="camvid", batch_size=8))


def test_a_longer_run_goes_on_and_says_so(tmp_path, caplog):
    begun(Config(workdir=str(tmp_path), steps=10))
    workdir.claim(Config(workdir=str(tmp_path), steps=20))
    assert "--steps=20 (before: --steps=10)" in caplog.text
