"""The TFDS builder that every data set shares: a list of (id, image, mask) a split -> checked, counted records.

A data set is a file of `datasets/`: a class table and a `Builder` whose constructor takes the data set's options and
says where each split's images and masks are.
"""

import collections
import concurrent.futures
import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import tensorflow_datasets as tfds
from absl import logging
from tensorflow_datasets.core import shuffle
from tqdm import tqdm

from input_pipeline import files, prepared
from input_pipeline.files import IGNORE
from input_pipeline.listing import Example, some
from input_pipeline.prepared import Class
from input_pipeline.statistics import Statistics, count


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Writes examples as records: `image` encoded, `label` a gray PNG of train ids, `id`.

    A subclass is called `Builder` and lives in `datasets/<name>.py`; its constructor is (source, cache, *, <options>).
    """

    VERSION: tfds.core.Version  # of the records: raise it whenever the same source would give others
    URL = ""
    LICENCE = ""
    LAYOUT = ""  # how the source tree looks and how to obtain it; "" where there is none

    def __init_subclass__(cls, **kwargs):
        """Names the data set after its file, and keeps it out of TFDS' registry, where that name may be taken."""
        cls.name = cls.__module__.rpartition(".")[2]
        super().__init_subclass__(skip_registration=True, **kwargs)

    def __init__(
        self,
        source: Path | None,
        cache: Path,
        *,
        classes: Sequence[Class],
        splits: dict[str, Sequence[Example]],
        ignored: Sequence[Class] = (),
        by_color: bool = False,
        options: dict | None = None,
        code: bytes = b"",
    ):
        """Describes the records; nothing is read or written yet.

        Args:
            source: the source tree, None where there is none.
            cache: the directory below which the records go.
            classes: the class table, in train-id order.
            splits: the examples of each split.
            ignored: rows of the table that become 255.
            by_color: whether RGB masks are looked up by the table's colours.
            options: what the user chose (JSON values): part of the directory's name.
            code: what draws the examples, where they are no files; when it changes, so have they.
        """
        if not 0 < len(classes) <= IGNORE:
            raise ValueError(f"Expected 1 to {IGNORE} classes. Received: {len(classes)} in the table of {self.name}.")
        found = {split: examples for split, examples in splits.items() if len(examples)}
        if not found:
            raise FileNotFoundError(f"Expected in data_dir {self.LAYOUT}. Received: {source}, which holds none of it.")
        for split in (split for split in splits if split not in found):
            logging.info("%s: no %s split in %s: left out.", self.name, split, source)
        self.source, self.classes, self.splits, self.options = source, tuple(classes), found, options or {}
        rows = [(row, i) for i, row in enumerate(classes)] + [(row, IGNORE) for row in ignored]
        self._by_id = files.Lookup({row.raw: i for row, i in rows})
        colors = {int(files.color_code(row.color)): i for row, i in rows if row.color}
        self._by_color = files.Lookup(colors) if by_color else None
        for split, examples in found.items():
            ids = collections.Counter(e.id for e in examples) if source else {}
            twice = [name for name, n in ids.items() if n > 1]
            if twice:
                raise ValueError(f"Expected each image of {split} once. Received twice or more: {some(twice)}.")
        table = [(dataclasses.astuple(row), i) for row, i in rows]
        self.fingerprint = _fingerprint(
            [self.name, str(self.VERSION), table, by_color, self.options, str(code)], source, found
        )
        config = re.sub(r"[^\w=.-]+", "_", "-".join(f"{k}={v}" for k, v in self.options.items()))[:80]
        name = f"{config or 'default'}-{self.fingerprint}"
        super().__init__(data_dir=cache, config=tfds.core.BuilderConfig(name=name, description=self.__doc__))

    def _create_builder_config(self, builder_config, version):
        return builder_config  # made above, not looked up in a table: TFDS would warn that it does not know it

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.LabeledImage(labels=[c.name for c in self.classes], shape=(None, None, 1)),
            "id": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.__doc__,
            features=tfds.features.FeaturesDict(features),
            homepage=self.URL,
            license=self.LICENCE,
        )

    def _download_and_prepare(self, dl_manager, download_config):
        """Writes the records, then what is known of them, into the directory that TFDS renames when this returns."""
        self.statistics = {}
        # TFDS holds 1 GB of records before it spills to 1000 open files: memory flat from the start, and fewer files.
        assign = tfds.core.utils.temporary_assignment
        with assign(shuffle, "MAX_MEM_BUFFER_SIZE", 64 << 20), assign(shuffle, "BUCKETS_NUMBER", 64):
            super()._download_and_prepare(dl_manager=dl_manager, download_config=download_config)
        shards = {}
        for split, info in self.info.splits.items():
            paths = [self.data_path / name for name in sorted(info.filenames)]
            lengths = zip(paths, info.shard_lengths, strict=True)
            shards[split] = [{"file": p.name, "records": n, "bytes": p.stat().length} for p, n in lengths]
        prepared.save(
            Path(self.data_path),
            self.name,
            self.classes,
            {split: s.result() for split, s in self.statistics.items()},
            self.options,
            shards,
            version=str(self.VERSION),
            source=str(self.source or ""),
        )

    def _log_download_bytes(self):
        """Says nothing: TFDS would print that it downloads; nothing is."""

    _log_download_done = _log_download_bytes

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in self.splits}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict]]:
        """Yields the records of a split; after the last file, all the files that are at fault are one error."""
        examples, faults = self.splits[split], []
        statistics = self.statistics[split] = Statistics(len(self.classes))
        bar = tqdm(total=len(examples), desc=f"{self.name} {split}", unit=" images", mininterval=0.5)
        with bar, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for record, fault, counted in _ahead(pool, self._convert, examples, 2 * (os.cpu_count() or 1)):
                bar.update()
                if fault:
                    faults.append(fault)
                elif not faults:
                    statistics.add(counted)
                    yield record["id"], record
        if faults:
            raise ValueError(
                f"Expected whole pairs of image and mask. Received: {len(faults)} of {len(examples)} at fault in the "
                f"{split} split of {self.name}; mend or remove them, nothing was written:\n  " + some(faults, "\n  ")
            )

    def _convert(self, example):
        """Returns (record, None, counts), or (None, what is wrong with which file, None)."""
        path = example.image
        try:
            if isinstance(path, Path):
                encoded, image = files.read_image(path)
            else:
                encoded, image = files.encode_png(path), path
            path = example.mask
            raw = files.read_mask(path) if isinstance(path, Path) else path
            if raw.shape[:2] != image.shape[:2]:
                expected, received = (f"{a.shape[1]} x {a.shape[0]}" for a in (image, raw))
                turned = raw.shape[:2] == image.shape[1::-1]
                raise ValueError(
                    f"Expected the size of its image, {expected} (width x height). Received: {received}. "
                    f"Export the mask at that size{', as EXIF turns the image' if turned else ''}"
                )
            label = self._label(raw)
        except files.FAULTS as error:
            return None, f"{path}: {_reason(error)}", None
        return {"image": encoded, "label": files.encode_png(label), "id": example.id}, None, count(image, label)

    def _label(self, raw):
        """Returns the train ids of a mask as it was read: ids, or colours where it has three channels."""
        lookup = self._by_id
        if raw.ndim == 3:
            if self._by_color:
                lookup, raw = self._by_color, files.color_code(raw)
            elif (raw == raw[..., :1]).all():
                raw = raw[..., 0]  # gray ids saved as RGB
            else:
                raise ValueError(
                    "Expected ids (a palette or gray mask): the class table has no colours. Received: an RGB mask. "
                    "Save ids, or give the classes their colours"
                )
        try:
            return lookup(raw)
        except files.UnknownIdsError as error:
            pairs = list(zip(error.ids.tolist(), error.counts.tolist(), strict=True))
            if lookup is self._by_color:
                found = [f"({i >> 16}, {i >> 8 & 255}, {i & 255}) on {n} pixels" for i, n in pairs]
                known = [f"({i >> 16}, {i >> 8 & 255}, {i & 255})" for i in lookup.known]
            else:
                found, known = [f"{i} on {n} pixels" for i, n in pairs], map(str, lookup.known)
            what = "colours" if lookup is self._by_color else "ids"
            raise ValueError(
                f"Expected {what} of the class table: {', '.join(known)}. Received: {some(found)}. "
                "Add them to the table, or mend the mask"
            ) from error


def _ahead(pool, function, items, depth):
    """`map` in order, with at most `depth` results waiting: memory does not grow with the number of items."""
    waiting = collections.deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) == depth:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _fingerprint(facts, source, splits):
    """A short hash of `facts` and of the source's listing: relative paths, sizes, times of change."""
    digest = hashlib.sha256(json.dumps(facts, default=str).encode())
    for split, examples in sorted(splits.items()):
        digest.update(f"{split} {len(examples)}\n".encode())
        for example in examples if source else ():
            for path in (example.image, example.mask):
                stat = path.stat() if path.exists() else None
                found = stat and (stat.st_size, stat.st_mtime_ns)
                digest.update(f"{example.id} {os.path.relpath(path, source)} {found}\n".encode())
    return digest.hexdigest()[:12]


def _reason(error):
    """What went wrong, in a line."""
    if isinstance(error, FileNotFoundError):
        return "Expected a file. Received: none. Add it, or remove its partner"
    return str(error) if isinstance(error, ValueError) else f"Expected a whole file. Received: {files.message(error)}"
