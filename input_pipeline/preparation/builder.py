"""The TFDS builder that all data sets share. It turns a list of (id, image, mask) for each split into checked, counted records.

A data set is a file of `datasets/` with a class table and a `Builder`, whose constructor takes the options of the data set and
finds the images and masks of each split.
"""

import collections
import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from absl import logging
from tensorflow_datasets.core import shuffle

from input_pipeline import records, windows
from input_pipeline.preparation.convert import Conversion, in_parallel
from input_pipeline.preparation.counts import Counts
from input_pipeline.preparation.judgement import Tally, hints
from input_pipeline.source.class_tables import Class, Uncolored, voc_color
from input_pipeline.source.files import IGNORE
from input_pipeline.source.listing import Example, Part, Window, some


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Writes examples as records: `image` encoded, `label` a gray PNG of train ids, `id`.

    A subclass is called `Builder` and lives in `datasets/<name>.py`; its constructor is (source, cache, *, <options>).
    """

    VERSION: tfds.core.Version  # of the records; increase it when the same source would give other records
    URL = ""
    LICENCE = ""
    LAYOUT = ""  # how the source tree looks and how to obtain it; "" if there is none

    def __init_subclass__(cls, **kwargs):
        """Gives the data set the name of its file, and keeps it out of TFDS' registry, where this name may exist already."""
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
        merged: Sequence[tuple[Class, int]] = (),
        by_color: bool = False,
        lenient: bool = False,
        boxes: bool = False,
        instances: bool = False,
        steps: int = 0,
        options: dict | None = None,
        code: bytes = b"",
    ):
        """Describes the records; nothing is read or written yet.

        Args:
            source: the source tree; None if the data set has none.
            cache: the directory below which the records go.
            classes: the class table, in train-id order.
            splits: the examples of each split.
            ignored: rows of the class table that become 255.
            merged: further rows of the class table, each with the train id that it becomes.
            by_color: whether RGB masks are looked up by the table's colours.
            lenient: whether colours outside the table become 255 and are reported; otherwise they are faults.
            boxes: whether every example has boxes.
            instances: whether every example has instances, from which its boxes are made.
            steps: if the examples are windows of sequences, the number of past label maps in each (`windows.py`).
            options: the user's choices (JSON values); they are part of the directory's name.
            code: for examples that are drawn, the code that draws them; when it changes, the records are built again.
        """
        if not 2 <= len(classes) <= IGNORE:
            raise ValueError(
                f"Expected 2 to {IGNORE} classes: with fewer there is nothing to tell apart. Received: {len(classes)} in the "
                f"table of {self.name}."
            )
        self.steps = windows.check(steps, len(classes)) if steps else 0
        found = {split: examples for split, examples in splits.items() if len(examples)}
        if not found and steps and source and any(source.iterdir()):
            raise FileNotFoundError(
                f"Expected in data_dir {self.LAYOUT}, with {steps} frames before another one at the asked distance. Received: "
                f"{source}, where no frame has them all. Ask for fewer frames, or for another step."
            )
        if not found:
            raise FileNotFoundError(f"Expected in data_dir {self.LAYOUT}. Received: {source}, which holds none of it.")
        for split in (split for split in splits if split not in found):
            logging.info("%s: no %s split in %s: left out.", self.name, split, source)
        self.source, self.classes, self.splits, self.options = source, tuple(classes), found, options or {}
        rows = [(row, i) for i, row in enumerate(classes)] + [(row, IGNORE) for row in ignored] + list(merged)
        self.conversion, self.boxes = Conversion(rows, by_color, lenient), boxes or instances
        self.instances = instances
        self.skip_bad = self.on_beam = False  # set from the arguments of `cache.prepare`
        for split, examples in found.items():
            ids = collections.Counter(e.id for e in examples) if source else {}
            twice = [name for name, n in ids.items() if n > 1]
            if twice:
                raise ValueError(f"Expected each image of {split} once. Received twice or more: {some(twice)}.")
        # Default colours may change without making existing records useless, so they are hashed as they were at first.
        table = [
            ((row.name, voc_color(i + 1), row.raw) if isinstance(row, Uncolored) else dataclasses.astuple(row), i)
            for row, i in rows
        ]
        self.fingerprint = _fingerprint(
            [self.name, str(self.VERSION), table, by_color, self.options, str(code)], source, found
        )
        config = re.sub(r"[^\w=.-]+", "_", "-".join(f"{k}={v}" for k, v in self.options.items()))[:80]
        name = f"{config or 'default'}-{self.fingerprint}"
        super().__init__(data_dir=cache, config=tfds.core.BuilderConfig(name=name, description=self.__doc__))

    @staticmethod
    def holds(**options) -> tuple[bool, bool]:
        """Whether every example has boxes, and whether it has instances, with these options of the data set."""
        return bool(options.get("boxes")), bool(options.get("instances"))

    @staticmethod
    def steps_of(**options) -> int:
        """The number of past label maps in the image of every example, with these options; 0: images are pictures."""
        return options.get("sequence") or 0

    def _create_builder_config(self, builder_config, version):
        return builder_config  # not looked up by name, since TFDS would warn that it does not know it

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.LabeledImage(labels=[c.name for c in self.classes], shape=(None, None, 1)),
            "id": tfds.features.Text(),
        }
        if self.boxes:
            features["boxes"] = tfds.features.Tensor(shape=(None, 4), dtype=np.float32)
            features["box_classes"] = tfds.features.Tensor(shape=(None,), dtype=np.int32)
        if self.instances:
            features["instances"] = tfds.features.Image(shape=(None, None, 1), dtype=np.uint16, encoding_format="png")
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.__doc__,
            features=tfds.features.FeaturesDict(features),
            homepage=self.URL,
            license=self.LICENCE,
        )

    def _download_and_prepare(self, dl_manager, download_config):
        """Writes the records and then the facts about them into the directory, which TFDS renames afterwards."""
        self._counts = {}
        # By default TFDS keeps 1 GB of records in memory before it writes them to 1000 open files; this needs less of both.
        assign = tfds.core.utils.temporary_assignment
        with assign(shuffle, "MAX_MEM_BUFFER_SIZE", 64 << 20), assign(shuffle, "BUCKETS_NUMBER", 64):
            super()._download_and_prepare(dl_manager=dl_manager, download_config=download_config)
        if self.on_beam:
            from input_pipeline.preparation import beam

            for split in self.splits:
                self._settle(split, beam.counts(self, split))
        self._judge()
        skipped = [f"{split}\t{fault}\n" for split, counts in self._counts.items() for fault in counts.faults]
        if skipped:
            (Path(self.data_path) / records.SKIPPED).write_text("".join(skipped))
        shards = {}
        for split, info in self.info.splits.items():
            paths = [self.data_path / name for name in sorted(info.filenames)]
            lengths = zip(paths, info.shard_lengths, strict=True)
            shards[split] = [{"file": p.name, "records": n, "bytes": p.stat().length} for p, n in lengths]
        records.save(
            Path(self.data_path),
            self.name,
            self.classes,
            {split: counts.statistics() for split, counts in self._counts.items()},
            self.options | self.conversion.storage.options,
            shards,
            version=str(self.VERSION),
            source=str(self.source or ""),
            **({"boxes": {split: counts.boxes for split, counts in self._counts.items()}} if self.boxes else {}),
            **({"instances": True} if self.instances else {}),
            **({"steps": self.steps} if self.steps else {}),
            outside={s: counts.outside() for s, counts in self._counts.items() if self.conversion.lenient},
            skipped={split: len(counts.faults) for split, counts in self._counts.items() if counts.faults},
        )

    def _log_download_bytes(self):
        """Prints nothing; TFDS would print that it downloads, which it does not."""

    _log_download_done = _log_download_bytes

    def _split_generators(self, dl_manager):
        if self.on_beam:
            from input_pipeline.preparation import beam  # apache-beam is an optional extra

            return {split: beam.converted(self, split) for split in self.splits}
        return {split: self._generate_examples(split) for split in self.splits}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict]]:
        """Yields the records of a split; after the last file, all files with a fault are raised as one error."""
        examples, counts = self.splits[split], Counts(len(self.classes))
        for converted in in_parallel(self.conversion, examples, len(examples), f"{self.name} {split}"):
            counts.add(converted)
            if not converted.fault and (self.skip_bad or not counts.faults):
                yield converted.id, converted.record
        self._settle(split, counts)

    def _settle(self, split, counts):
        """Stores the counts of a split; raises if some of its files have a fault and must not be left out."""
        self._counts[split], total, faults = counts, len(self.splits[split]), counts.faults
        if len(faults) == total or (faults and not self.skip_bad):
            said = "".join(f" All masks together: {hint.text}" for hint in self._hints())
            raise ValueError(
                f"Expected whole pairs of image and mask. Received: {len(faults)} of {total} with an error in the {split} "
                f"split of {self.name}; repair or remove them, or leave them out with --skip_bad; nothing was written."
                f"{said}\n  " + some(faults, "\n  ")
            )
        if faults:
            logging.warning("%s: left out %d of %d in %s: %s", self.name, len(faults), total, split, some(faults, "; "))
        counts.warn(f"{self.name} {split}", self.conversion.storage.image_range)

    def _hints(self):
        """What all masks together show about the class table, as in check; [] if the table ignores unknown values."""
        tally, table = Tally(), self.conversion
        tally.start(table.rows, self.classes, table.by_color)
        for counts in self._counts.values():
            tally.merge(counts.tally)
        editable = bool(self.source and (self.source / "classes.csv").is_file())
        return [] if table.lenient else hints(tally, table.rows, editable)

    def _judge(self):
        """Raises if all masks together show that the class table does not fit them, before the records are complete."""
        said = [hint.text for hint in self._hints() if hint.certain]
        if said:
            raise ValueError(
                f"Expected masks that the class table of {self.name} fits. Received: {self.source or 'drawn masks'}: "
                f"{' '.join(said)} Nothing was written; --mode=check shows all of it."
            )


def _fingerprint(facts, source, splits):
    """A short hash of `facts` and of the list of source files: relative paths, sizes, times of change."""
    digest = hashlib.sha256(json.dumps(facts, default=str).encode())
    for split, examples in sorted(splits.items()):
        digest.update(f"{split} {len(examples)}\n".encode())
        for example in examples if source else ():
            images = example.image.past if isinstance(example.image, Window) else (example.image,)
            parts = (*images, example.mask, example.boxes, example.instances)
            for part in (part for part in parts if part is not None):
                path, name = (part.file, f" {part.name}") if isinstance(part, Part) else (part, "")
                stat = path.stat() if path.exists() else None
                found = stat and (stat.st_size, stat.st_mtime_ns)
                digest.update(f"{example.id} {os.path.relpath(path, source)}{name} {found}\n".encode())
    return digest.hexdigest()[:12]
