"""Builds the records of a data set once, and opens them on later calls.

Each combination of data set, options and source has its own directory in the cache. A directory gets its final name when it is
complete, so a process that is killed never leaves half of the records.
"""

import contextlib
import dataclasses
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

from input_pipeline import records
from input_pipeline.preparation.encoding import Storage
from input_pipeline.records import Prepared
from tfseg.spec import apply, check, find, parse

PACKAGE = "input_pipeline.datasets"
_INCOMPLETE = "incomplete."  # TFDS' prefix of directories that are not finished


def prepare(
    spec: str,
    data_dir: str = "",
    cache_dir: str = "",
    overwrite: bool = False,
    *,
    skip_bad: bool = False,
    image_format: str = "",
    max_size: int = 0,
    image_range: str = "",
    beam: tfds.download.DownloadConfig | None = None,
) -> Prepared:
    """Builds the records of a data set if they are not there yet, and opens them.

    Args:
        spec: a data set of `names()` with its options, for example `camvid(classes=12)`.
        data_dir: the source tree, or records prepared before.
        cache_dir: where records go; by default the user's cache folder.
        overwrite: whether existing records are built again.
        skip_bad: whether examples with a fault are left out and listed beside the records; otherwise a fault is an error.
        image_format: format of the images in the records, see `Storage`.
        max_size: largest side of the images in the records, pixels, see `Storage`.
        image_range: the values of images with more than 8 bits that become 0 and 255, see `Storage`.
        beam: to convert on Apache Beam, a config with `beam_runner` or `beam_options`; all workers must see the same files.
    """
    storage = Storage(image_format, max_size, image_range)
    call = parse(spec)
    module = find(PACKAGE, call.name)
    source = Path(data_dir).expanduser() if data_dir else None
    if source and records.is_prepared(source):
        if overwrite:
            raise ValueError(
                f"Expected data_dir to be a source tree with overwrite. Received: {source}, which is records."
            )
        return _open(source, call, module, storage)
    cache = Path(cache_dir).expanduser() if cache_dir else _default_cache()
    builder = source_builder(spec, data_dir, cache / storage.folder)
    builder.conversion.storage, builder.skip_bad, builder.on_beam = storage, skip_bad, beam is not None
    directory = Path(builder.data_dir)
    if overwrite or not records.is_prepared(directory):
        _build(builder, directory, overwrite, beam)
    return _load(directory)


def source_builder(spec: str, data_dir: str = "", cache: Path = Path()) -> "tfds.core.GeneratorBasedBuilder":
    """The builder of a source tree. It has listed the files but read none of them; its records go to `cache`."""
    check_source(spec, data_dir)
    call = parse(spec)
    source = Path(data_dir).expanduser() if data_dir else None
    return apply(find(PACKAGE, call.name).Builder, call, source and source.resolve(), cache)


def check_source(spec: str, data_dir: str = "") -> None:
    """Raises ValueError or FileNotFoundError if the spec or the folder cannot be right. No file is listed.

    Args:
        spec: a data set of `names()` with its options.
        data_dir: the source tree, or records prepared before.
    """
    call = parse(spec)
    module = find(PACKAGE, call.name)
    source = Path(data_dir).expanduser() if data_dir else None
    check(module.Builder, call, None, None)
    if source and records.is_prepared(source):
        return
    if source and not source.is_dir():
        raise FileNotFoundError(f"Expected data_dir to be a folder. Received: {source}, which is not. {_needs(module)}")
    if module.Builder.LAYOUT and not source:
        raise ValueError(f"Expected data_dir, the source tree of {call.name}. Received: none. {_needs(module)}")
    if source and not module.Builder.LAYOUT:
        raise ValueError(
            f"Expected no data_dir, or one with prepared records: {call.name} is drawn, not read. Received: {source}."
        )


def features(spec: str, data_dir: str = "") -> tuple[str, ...]:
    """The names of the tensors of a batch of a data set, by its options (`Builder.holds`), or by its records if given.

    No file is listed, so a run can be refused before its data is prepared.
    """
    source = Path(data_dir).expanduser() if data_dir else None
    if source and records.is_prepared(source):
        return records.load(source).features
    call = parse(spec)
    builder = find(PACKAGE, call.name).Builder
    return records.features(*builder.holds(**_given(builder, call)))


def steps(spec: str, data_dir: str = "") -> int:
    """How many past label maps an image of a data set holds, by its options (`Builder.steps_of`), or by its records if given.

    0: images are pictures. No file is listed.
    """
    source = Path(data_dir).expanduser() if data_dir else None
    if source and records.is_prepared(source):
        return records.load(source).steps
    call = parse(spec)
    builder = find(PACKAGE, call.name).Builder
    return builder.steps_of(**_given(builder, call))


def _given(builder, call):
    """The options of a data set that a call gives."""
    options = apply(functools.partial(_options, inspect.signature(builder)), call)
    return {name: value for name, value in options.items() if name not in ("source", "cache")}


def _build(builder, directory, overwrite, beam=None):
    """Builds the records under a lock; a process that had to wait for another one finds them built."""
    leaf = directory.parent
    with _locked(leaf):
        unfinished = any(leaf.glob(f"{_INCOMPLETE}*"))
        for other in leaf.parent.iterdir():
            _remove_leftovers(other, held=other == leaf)
        if records.is_prepared(directory) and not overwrite:
            return
        if unfinished:
            logging.info("%s: an earlier run was stopped before its end: beginning again from the start.", builder.name)
        _log_changed_source(builder, leaf)
        replaced = leaf / f"{_INCOMPLETE}old"
        if directory.exists():
            directory.rename(replaced)  # not removed here: if killed meanwhile, a part of it would look complete
        tfds.disable_progress_bar()
        try:
            # Nothing is downloaded, but TFDS creates the download folder.
            builder.download_and_prepare(
                download_dir=str(leaf / f"{_INCOMPLETE}downloads"),
                download_config=dataclasses.replace(beam or tfds.download.DownloadConfig(), try_download_gcs=False),
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
    """Holds the lock of a directory of records; the kernel releases it when the process ends, however it ends."""
    leaf.mkdir(parents=True, exist_ok=True)
    with (leaf / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logging.info("Another process prepares %s: waiting for it.", leaf)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove_leftovers(leaf, held=False, finished=False):
    """Removes unfinished directories in `leaf` if we hold its lock, or if nobody does because that process is dead."""
    leftovers = list(leaf.glob(f"{_INCOMPLETE}*"))
    if not leftovers:
        return
    with (leaf / "lock").open("w") as file:
        if not held:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # that process is alive
        for leftover in leftovers:
            if not finished:
                logging.info("Removing %s, left by a run that did not finish.", leftover)
            shutil.rmtree(leftover, ignore_errors=True)


def _log_changed_source(builder, leaf):
    """Warns if the same source was prepared before with the same options and has changed since."""
    options = builder.options | builder.conversion.storage.options
    wanted = {"source": str(builder.source), "options": _as_json(options)}
    for statistics in leaf.parent.glob(f"*/*/{records.STATISTICS}"):
        with contextlib.suppress(OSError, ValueError):
            facts = json.loads(statistics.read_text())
            if builder.source and leaf not in statistics.parents and wanted.items() <= facts.items():
                logging.warning(
                    "%s, its class table or the way it is read has changed since %s was prepared: preparing it again; "
                    "the old records are not used and can be removed.", builder.source, statistics.parent
                )  # fmt: skip


def _load(directory):
    prepared = records.load(directory)
    if prepared.skipped:
        left_out = ", ".join(f"{count} of {split}" for split, count in prepared.skipped.items())
        logging.warning("Bad examples were left out: %s; see %s.", left_out, prepared.skipped_list)
    return prepared


def _open(directory, call, module, storage):
    """Opens records that were given as data_dir; their data set and options must be those of the spec."""
    prepared = _load(directory)
    if prepared.name != call.name:
        raise ValueError(
            f"Expected records of {call.name}. Received: data_dir={directory}, which holds {prepared.name}. "
            f"Ask for {prepared.name}, or give another data_dir."
        )
    signature = inspect.signature(module.Builder)
    asked = apply(functools.partial(_options, signature), call)
    # An option that is off, or that there was not yet when they were made, is not in the records.
    defaults = {name: p.default for name, p in signature.parameters.items() if p.default is not p.empty}
    options = dataclasses.asdict(Storage()) | defaults | prepared.options
    for key, value in (asked | storage.options).items():
        if _as_stored(options.get(key, value)) != _as_stored(value):
            raise ValueError(
                f"Expected records prepared with {key}={value!r}. Received: data_dir={directory}, prepared with "
                f"{key}={options[key]!r}. Leave {key} out, or prepare them from the source tree."
            )
    return prepared


def _options(signature, *args, **kwargs):
    return signature.bind_partial(None, None, *args, **kwargs).arguments


def _needs(module):
    return f"Give its source tree ({module.Builder.LAYOUT}), or records prepared before."


def _as_json(value):
    return json.loads(json.dumps(value))


def _as_stored(value):
    """An option as records store it: a tuple is a list in JSON, and a size is 32x48, as in the name of their directory."""
    value = _as_json(value)
    numbers = isinstance(value, list) and all(isinstance(number, int) for number in value)
    return "x".join(map(str, value)) if numbers else value


def _default_cache():
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tfseg"
