"""The folder of a run: one process at a time trains in it, it keeps one set of options, and it lists every recovery."""

import contextlib
import dataclasses
import json
import os
import pathlib
from collections.abc import Iterator

import filelock
from absl import logging

from tfseg import config as config_lib

# These decide what a run computes; a checkpoint that was made with others belongs to another run.
FIXED = (
    ("dataset", "image_range", "max_size", "image_format", "model", "num_classes", "normalization", "precision", "freeze")
    + ("loss", "class_weights", "augment", "pairs", "crop_size", "crop_max_class_share", "batch_size", "optimizer")
    + ("backbone_learning_rate", "layer_decay", "ema_decay", "seed", "labelled", "trainer")
)  # fmt: skip
# These may change when a run is resumed; the new value is used and the change is logged.
CHANGEABLE = (
    ("data_dir", "epochs", "steps", "learning_rate", "schedule", "warmup_steps", "weight_decay", "clip_norm", "patience")
)  # fmt: skip


@contextlib.contextmanager
def held(config: config_lib.Config, chief: bool = True) -> Iterator[pathlib.Path]:
    """Makes the folder and locks it against other training processes; the lock ends with this process, however it ends.

    Raises:
        ValueError: if another process is training in it.
        OSError: if it cannot be written.
    """
    if not config.workdir:
        raise ValueError("Expected --workdir, the folder for checkpoints and logs. Received: none.")
    workdir = pathlib.Path(config.workdir)
    if not chief:
        yield workdir
        return
    workdir.mkdir(parents=True, exist_ok=True)
    holder, lock = workdir / ".process", filelock.FileLock(workdir / ".lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        process = holder.read_text() if holder.is_file() else "unknown"
        raise ValueError(
            f"Expected a --workdir that no other process is training in. Received: {workdir}, held by process {process}. "
            "Wait for it, stop it, or use another --workdir."
        ) from error
    try:
        holder.write_text(str(os.getpid()))
        yield workdir
    finally:
        lock.release()


def claim(config: config_lib.Config) -> config_lib.Config:
    """Checks that the folder holds this run or none; returns the options to continue with.

    A folder belongs to a run from its first checkpoint on. Before that, any options may be tried in it.

    Raises:
        ValueError: if the folder holds the checkpoint of a run with other options; the message names them.
    """
    workdir = pathlib.Path(config.workdir)
    if not has_checkpoint(workdir) or not (workdir / "flags").is_file():
        return config
    before = config_lib.load(workdir)
    differing = [f for f in FIXED if getattr(before, f) != getattr(config, f)]
    if differing:
        raise ValueError(
            f"Expected the options of the run in {workdir}: {_flags(before, differing)}. "
            f"Received: {_flags(config, differing)}. Use these options, or another --workdir for another run."
        )
    changed = [f for f in CHANGEABLE if getattr(before, f) != getattr(config, f)]
    if changed:
        logging.warning("The run goes on with %s (before: %s).", _flags(config, changed), _flags(before, changed))
    if config.init_from and config.init_from != before.init_from:
        logging.warning(
            "--init_from=%s has no effect: the run in %s resumes from its own checkpoint. Use another --workdir to start "
            "from these weights.", config.init_from, workdir
        )  # fmt: skip
    return dataclasses.replace(config, init_from=before.init_from)


def has_checkpoint(workdir: pathlib.Path) -> bool:
    """Whether the folder holds a checkpoint."""
    return any(workdir.glob("checkpoints/last-*"))


def write_flags(workdir: pathlib.Path, config: config_lib.Config) -> None:
    """Writes the options to `<workdir>/flags`, where evaluation, prediction and export read them."""
    aside = workdir / f".flags-{os.getpid()}"
    config.save(aside)
    aside.replace(workdir / "flags")


def recoveries(workdir: pathlib.Path) -> list[str]:
    """The reason of each time that the run went back to a checkpoint."""
    path = workdir / "recoveries.json"
    return json.loads(path.read_text()) if path.is_file() else []


def recover(workdir: pathlib.Path, error: Exception, limit: int, chief: bool = True) -> None:
    """Adds a recovery from `error` to the list, or raises `error` again if there were `limit` of them already."""
    before = recoveries(workdir)
    if len(before) >= limit:
        raise error
    logging.warning(
        "Recovery %d of %d: back to the last checkpoint, at half the learning rate. %s", len(before) + 1, limit, error
    )
    if chief:
        aside = workdir / ".recoveries"
        aside.write_text(json.dumps([*before, str(error)], indent=1))
        aside.replace(workdir / "recoveries.json")


def _flags(config, names):
    return " ".join(f"--{name}={getattr(config, name)}" for name in names)
