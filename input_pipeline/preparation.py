"""From a spec to records on disk: built once, beside one another, never half; opened ever after."""

import contextlib
import fcntl
import functools
import inspect
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import tensorflow_datasets as tfds
from absl import logging

from input_pipeline import prepared
from input_pipeline.prepared import Prepared
from tfseg.spec import apply, find, parse

PACKAGE = "input_pipeline.datasets"
_INCOMPLETE = "incomplete."  # how TFDS names what it has not finished


def prepare(spec: str, data_dir: str = "", cache_dir: str = "", overwrite: bool = False) -> Prepared:
    """Builds the records of a data set where they are not there yet, and opens them.

    Args:
        spec: a data set of `names()` with its options, as `camvid(classes=12)`.
        data_dir: the source tree, or records prepared before.
        cache_dir: where records go; by default the user's cache folder.
        overwrite: whether records that are there are built anew.
    """
    call = parse(spec)
    module = find(PACKAGE, call.name)
    source = Path(data_dir).expanduser() if data_dir else None
    if source and prepared.is_prepared(source):
        if overwrite:
            raise ValueError(
                f"Expected data_dir to be a source tree with overwrite. Received: {source}, which is records."
            )
        return _open(source, call, module)
    if source and not source.is_dir():
        raise FileNotFoundError(f"Expected data_dir to be a folder. Received: {source}, which is not. {_needs(module)}")
    if module.Builder.LAYOUT and not source:
        raise ValueError(f"Expected data_dir, the source tree of {call.name}. Received: none. {_needs(module)}")
    if source and not module.Builder.LAYOUT:
        raise ValueError(
            f"Expected no data_dir, or one with prepared records: {call.name} is drawn, not read. Received: {source}."
        )
    cache = Path(cache_dir).expanduser() if cache_dir else _default_cache()
    builder = apply(module.Builder, call, source and source.resolve(), cache)
    directory = Path(builder.data_dir)
    if overwrite or not prepared.is_prepared(directory):
        _build(builder, directory, overwrite)
    return prepared.load(directory)


def _build(builder, directory, overwrite):
    """Builds the records while no other process does; one that waited finds them built."""
    leaf = directory.parent
    with _locked(leaf):
        for other in leaf.parent.iterdir():
            _remove_leftovers(other, held=other == leaf)
        if prepared.is_prepared(directory) and not overwrite:
            return
        _log_changed_source(builder, leaf)
        replaced = leaf / f"{_INCOMPLETE}old"
        if directory.exists():
            directory.rename(replaced)  # not removed in place: killed half way, it would still look whole
        tfds.disable_progress_bar()
        try:
            # Nothing is downloaded, but TFDS makes the folder for it.
            builder.download_and_prepare(
                download_dir=str(leaf / f"{_INCOMPLETE}downloads"),
                download_config=tfds.download.DownloadConfig(try_download_gcs=False),
            )
        except BaseException:
            if replaced.exists():
                replaced.rename(directory)
            raise
        finally:
            _remove_leftovers(leaf, held=True, finished=True)
    logging.info("Prepared %s in %s.", builder.name, directory)


@contextlib.contextmanager
def _locked(leaf: Path) -> Iterator[None]:
    """Holds the lock of a directory of records; the kernel lets it go when the process dies, however it dies."""
    leaf.mkdir(parents=True, exist_ok=True)
    with (leaf / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logging.info("Another process prepares %s: waiting for it.", leaf)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove_leftovers(leaf, held=False, finished=False):
    """Removes what is not finished in `leaf`, where its lock is ours or, its process being dead, free."""
    leftovers = list(leaf.glob(f"{_INCOMPLETE}*"))
    if not leftovers:
        return
    with (leaf / "lock").open("w") as file:
        if not held:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # alive
        for leftover in leftovers:
            if not finished:
                logging.info("Removing %s, left by a run that did not finish.", leftover)
            shutil.rmtree(leftover, ignore_errors=True)


def _log_changed_source(builder, leaf):
    """Says so where the same source, with the same options, was prepared before and is another now."""
    wanted = {"source": str(builder.source), "options": _as_json(builder.options)}
    for statistics in leaf.parent.glob(f"*/*/{prepared.STATISTICS}"):
        with contextlib.suppress(OSError, ValueError):
            facts = json.loads(statistics.read_text())
            if builder.source and leaf not in statistics.parents and wanted.items() <= facts.items():
                logging.warning(
                    "%s, its class table or the way it is read has changed since %s was prepared: preparing it again; "
                    "the old records are not used and can be removed.", builder.source, statistics.parent
                )  # fmt: skip


def _open(directory, call, module):
    """Opens records given as data_dir: they must be of the data set, and of the options, that the spec asks for."""
    records = prepared.load(directory)
    if records.name != call.name:
        raise ValueError(
            f"Expected records of {call.name}. Received: data_dir={directory}, which holds {records.name}. "
            f"Ask for {records.name}, or give another data_dir."
        )
    asked = apply(functools.partial(_options, inspect.signature(module.Builder)), call)
    for key, value in _as_json(asked).items():
        if records.options.get(key, value) != value:
            raise ValueError(
                f"Expected records prepared with {key}={value!r}. Received: data_dir={directory}, prepared with "
                f"{key}={records.options[key]!r}. Leave {key} out, or prepare them from the source tree."
            )
    return records


def _options(signature, *args, **kwargs):
    return signature.bind_partial(None, None, *args, **kwargs).arguments


def _needs(module):
    return f"Give its source tree ({module.Builder.LAYOUT}), or records prepared before."


def _as_json(value):
    return json.loads(json.dumps(value))


def _default_cache():
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tfseg"
