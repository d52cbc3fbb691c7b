"""Writes and reads checkpoints, so that a crash or a kill at any moment leaves a complete one.

    <workdir>/checkpoints/last-00000120/   variables.*, state.json, flags: everything that resuming needs
    <workdir>/checkpoints/best-00000090/   the same for the best evaluation so far

A checkpoint is written under another name, flushed to disk and renamed, so a folder with a final name is complete. If a
checkpoint cannot be read after all (because of a disk error, for example), the one before it is used, with a warning.
"""

import dataclasses
import json
import os
import pathlib
import shutil

import keras
import tensorflow as tf
from absl import logging

import input_pipeline
from tfseg import class_names
from tfseg import config as config_lib
from tfseg import workdir as workdir_lib

# What TensorFlow raises for a checkpoint that is not complete; for a truncated file it is an IndexError.
DAMAGED = (tf.errors.OpError, OSError, ValueError, AssertionError, LookupError, RuntimeError)


@dataclasses.dataclass
class State:
    """What a checkpoint holds besides its variables."""

    step: int = 0  # Steps taken; the position in the data and in the schedule follow from it.
    best: float = -1.0  # Best mIoU of an evaluation so far, 0..1; -1: none yet.
    best_step: int = -1
    evaluated: int = -1  # The step of the last evaluation.
    stale: int = 0  # Evaluations since the best one.
    num_classes: int = 0  # Of the network.
    classes: list = dataclasses.field(default_factory=list)  # Of the data set, each [name, [red, green, blue], raw id].
    things: list = dataclasses.field(default_factory=list)  # Names of the classes that have boxes in the data set.
    data: dict = dataclasses.field(default_factory=dict)  # What identifies the records that the run was trained on.

    def class_table(self) -> list[input_pipeline.Class]:
        """The class table that the run was trained with; `raw` is None where it is not known."""
        return [input_pipeline.Class(name, tuple(color), *raw) for name, color, *raw in self.classes]

    def describe(self, prepared: "input_pipeline.Prepared") -> None:
        """Stores the classes of a data set, and what identifies its records."""
        self.classes = [[c.name, list(c.color), c.raw] for c in prepared.classes]
        self.things = list(prepared.things)
        self.data = {"digest": prepared.digest, "directory": str(prepared.directory), "splits": prepared.splits}


def check_data(state: State, prepared: "input_pipeline.Prepared") -> None:
    """Checks that the classes of a data set are those of a checkpoint, and warns if its examples are others.

    Raises:
        ValueError: if the classes have other names or another order.
    """
    if state.classes:
        class_names.check_resumed(state.class_table(), prepared.classes)
    if state.data and state.data["digest"] != prepared.digest:
        logging.warning(
            "The run resumes with other data: %s in %s (before: %s in %s).", prepared.splits, prepared.directory,
            state.data["splits"], state.data["directory"],
        )  # fmt: skip


def variables(model: keras.Model, optimizer: keras.optimizers.Optimizer, **more) -> tf.train.Checkpoint:
    """The variables of a checkpoint: model, optimizer, dropout's random generators, and each of `more` that is not None."""
    weights = {id(w) for w in model.weights}
    generators = [v for v in model.variables if id(v) not in weights]  # tf.train.Checkpoint does not find these.
    more = {name: value for name, value in more.items() if value is not None}
    return tf.train.Checkpoint(model=model, optimizer=optimizer, generators=[v.value for v in generators], **more)


def save(workdir: pathlib.Path, values: tf.train.Checkpoint, state: State, config: config_lib.Config) -> None:
    """Writes `last-<step>`, and also `best-<step>` if this step is the best; removes older ones.

    Raises:
        OSError: if it cannot be written, for example because the disk is full; the earlier checkpoints stay.
    """
    folder = workdir / "checkpoints"
    folder.mkdir(exist_ok=True)
    for leftover in folder.glob(".writing-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    aside, final = folder / f".writing-{state.step:08d}", folder / f"last-{state.step:08d}"
    try:
        aside.mkdir()
        values.write(str(aside / "variables"))
        (aside / "state.json").write_text(json.dumps(dataclasses.asdict(state), indent=1))
        config.save(aside / "flags")
        for file in aside.iterdir():
            _flush(file)
    except (OSError, tf.errors.OpError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise OSError(
            f"Expected room for a checkpoint in {folder}. Received: {_first_line(error)}. The checkpoints before step "
            f"{state.step} are complete: make room, and the same command resumes from the last of them."
        ) from error
    if final.exists():
        shutil.rmtree(final)
    aside.rename(final)
    _flush(folder)
    workdir_lib.write_flags(workdir, config)
    if state.best_step == state.step:
        _keep_best(folder, state.step)
    for old in _folders(folder, "last")[config.keep :]:
        shutil.rmtree(old)


def restore(workdir: pathlib.Path, values: tf.train.Checkpoint) -> State | None:
    """Restores the newest readable checkpoint of a run; returns None if there is no checkpoint.

    Raises:
        ValueError: if there are checkpoints but none can be read.
    """
    folder = workdir / "checkpoints"
    candidates = _folders(folder, "last")
    for candidate in candidates:
        try:
            state = _state(candidate)
            values.read(str(candidate / "variables")).assert_existing_objects_matched()
        except DAMAGED as error:
            logging.warning("Checkpoint %s cannot be read and is passed over: %s", candidate, _first_line(error))
            continue
        if state.best_step == state.step:
            _keep_best(folder, state.step)  # The run may have been killed between writing the two.
        return state
    if candidates:
        raise ValueError(f"Expected a readable checkpoint in {folder}. Received: {len(candidates)} damaged ones.")
    return None


def latest(workdir: str, which: str = "best") -> tuple[pathlib.Path, State]:
    """The folder and state of a run's best or last checkpoint (the last one if none was evaluated yet).

    Raises:
        FileNotFoundError: if the run has no checkpoint.
    """
    folder = pathlib.Path(workdir) / "checkpoints"
    found = [*(_folders(folder, "best") if which == "best" else []), *_folders(folder, "last")]
    for candidate in found:
        try:
            return candidate, _state(candidate)
        except (OSError, ValueError) as error:
            logging.warning("Checkpoint %s cannot be read and is passed over: %s", candidate, _first_line(error))
    raise FileNotFoundError(f"Expected a checkpoint in {folder}. Received: none that can be read. Train first.")


def restore_model(folder: pathlib.Path, model: keras.Model) -> None:
    """Fills a model from a checkpoint folder, with the moving average of the weights if the run kept one.

    Raises:
        ValueError: if the checkpoint is damaged, or has another network or another number of classes.
    """
    try:
        path = str(folder / "variables")
        averaged = any(key.startswith("average/") for key, _ in tf.train.list_variables(path))
        status = tf.train.Checkpoint(**{"average" if averaged else "model": model}).read(path)
        status.expect_partial().assert_existing_objects_matched()
    except DAMAGED as error:
        flags = (folder / "flags").read_text().split("\n") if (folder / "flags").is_file() else []
        made_with = " ".join(f for f in flags if f.startswith(("--model=", "--num_classes=", "--dataset=")))
        raise ValueError(
            f"Expected the network that made {folder} ({made_with}, {_state(folder).num_classes} classes). "
            f"Received: model {model.name} with {model.output['logits'].shape[-1]} classes: {_first_line(error)}"
        ) from error


def _folders(folder, kind):
    """The checkpoints of a kind, the newest first."""
    return sorted(folder.glob(f"{kind}-*"), reverse=True)


def _state(folder):
    values = json.loads((folder / "state.json").read_text())
    known = {field.name for field in dataclasses.fields(State)}
    return State(**{name: value for name, value in values.items() if name in known})  # a later version may add some


def _keep_best(folder, step):
    """Links `last-<step>` as `best-<step>` and removes the previous best."""
    best, aside = folder / f"best-{step:08d}", folder / f".writing-best-{step:08d}"
    if best.exists():
        return
    shutil.rmtree(aside, ignore_errors=True)
    try:
        shutil.copytree(folder / f"last-{step:08d}", aside, copy_function=os.link)
    except (OSError, shutil.Error):  # A file system without hard links.
        shutil.rmtree(aside, ignore_errors=True)
        shutil.copytree(folder / f"last-{step:08d}", aside)
    aside.rename(best)
    for old in _folders(folder, "best")[1:]:
        shutil.rmtree(old)


def _flush(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _first_line(error):
    return str(error).strip().split("\n")[0]
