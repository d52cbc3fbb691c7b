"""Opens prepared records: TFRecord shards, and `statistics.json` with everything that is known about them.

A directory that holds `statistics.json` is complete, since it is written under another name and then renamed.
"""

import dataclasses
import functools
import hashlib
import json
from pathlib import Path

import numpy as np
import tensorflow as tf

from input_pipeline import instances, windows
from input_pipeline.source.class_tables import Class
from input_pipeline.source.files import message

STATISTICS = "statistics.json"
READ_BYTES = 4 << 20  # read at once from a shard; TensorFlow's default, 256 KB, is one image
FEATURES = ("image", "label", "id")  # what every example has
HASHES = 2**63 - 1  # of ids
SKIPPED = "skipped.txt"  # in the same directory, if examples were left out: `split <tab> file: what is wrong with it`


@dataclasses.dataclass(frozen=True)
class Prepared:
    """The records of one data set, and the facts about them.

    `statistics` come from `preparation.counts.Counts.statistics`. `skipped` counts the examples of each split that were left
    out as bad. `boxes` is the largest number of boxes that an image of a split has, if there are boxes. `instances` is whether
    there are any (`instances.py`). `only` has the ids of a split that is a part of the examples in its shards (`labelled.py`).
    `steps` is the number of past label maps that an image holds (`windows.py`), or 0.
    `parts` are the data sets of a mixture, each with the number of its examples in an epoch (`mixture.py`).
    """

    name: str
    classes: tuple[Class, ...]
    splits: dict[str, int]
    directory: Path
    statistics: dict[str, dict]
    options: dict
    shards: dict[str, list[dict]]
    skipped: dict[str, int] = dataclasses.field(default_factory=dict)
    boxes: dict[str, int] = dataclasses.field(default_factory=dict)
    instances: bool = False
    only: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    steps: int = 0
    parts: tuple[tuple[int, "Prepared"], ...] = ()

    @property
    def num_classes(self) -> int:
        """The number of classes, C; train ids are 0..C-1."""
        return len(self.classes)

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the tensors of an example, and so of a batch."""
        return features(bool(self.boxes), self.instances)

    @property
    def things(self) -> tuple[str, ...]:
        """The names of the classes that have boxes, in the order of the table; () without boxes."""
        counts = [s["objects"] for s in self.statistics.values() if "objects" in s]
        return tuple(c.name for c, *found in zip(self.classes, *counts, strict=True) if any(found))

    def shown(self, image: np.ndarray) -> np.ndarray:
        """The picture that people are shown of an example's image; see `windows.shown`."""
        return windows.shown(image, self.steps, np.array([c.color for c in self.classes], np.uint8))

    @property
    def digest(self) -> str:
        """A short hash of what the records hold; equal on all machines, and different for different data."""
        facts = [self.name, self.splits, self.statistics, [dataclasses.astuple(c) for c in self.classes]]
        facts += [self.only] if self.only else []
        facts += [[number, part.digest] for number, part in self.parts]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def skipped_list(self) -> Path:
        """The file that lists the examples that were left out; it does not exist if there were none."""
        return self.directory / SKIPPED

    def encoded(self, split: str) -> tf.data.Dataset:
        """A stream of {"image", "label", "id"}: two encoded files and a name, in the order of the records.

        If there are boxes, also "boxes" float32 [n, 4] and "box_classes" int32 [n]; see `boxes.py`. If there are instances,
        also "instances", an encoded file.
        """
        if split not in self.splits:
            raise ValueError(f"Expected a split of {self.name}: {', '.join(self.splits)}. Received: split={split!r}.")
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        dataset = self.serialized(split, readers=1)
        dataset = dataset.map(functools.partial(parse, features=self.features), tf.data.AUTOTUNE, deterministic=True)
        return dataset.apply(tf.data.experimental.assert_cardinality(self.splits[split])).with_options(options)

    def serialized(self, split: str, readers: int = 4) -> tf.data.Dataset:
        """The records as they are in the files, strings that `parse` reads, in an order that is always the same.

        With several `readers` that many shards are read at once, a block of records of each in turn.
        """
        files = [str(self.directory / shard["file"]) for shard in self.shards[split]]
        if min(readers, len(files)) == 1:
            found = tf.data.TFRecordDataset(files, buffer_size=READ_BYTES)
        else:
            found = tf.data.Dataset.from_tensor_slices(files).interleave(
                lambda file: tf.data.TFRecordDataset(file, buffer_size=READ_BYTES),
                cycle_length=readers,
                block_length=16,
                num_parallel_calls=min(readers, len(files)),
                deterministic=True,
            )
        return found.filter(_is_one_of(self.only[split])) if split in self.only else found

    def damaged_shards(self) -> list[str]:
        """Reads every shard to its end; returns `path: reason` for each that cannot be read."""
        if self.parts:  # the first is this data set
            return [shard for _, part in self.parts for shard in part.damaged_shards()]
        damaged = []
        for shard in (shard for shards in self.shards.values() for shard in shards):
            path, records = self.directory / shard["file"], 0
            try:
                for _ in tf.data.TFRecordDataset(str(path)):
                    records += 1
            except tf.errors.OpError as error:
                reason = f"{message(error)} (after {records} of {shard['records']} records)"
                damaged.append(f"{path}: {reason}")
            else:
                if records != shard["records"]:
                    damaged.append(f"{path}: {records} of {shard['records']} records")
        return damaged


@tf.autograph.experimental.do_not_convert
def decode(example: dict) -> dict:
    """Decodes an example of `Prepared.encoded`: image uint8 [H, W, 3], label uint8 [H, W] of train ids and 255."""
    image = tf.io.decode_image(example["image"], channels=3, expand_animations=False)
    return decode_label({**example, "image": tf.ensure_shape(image, (None, None, 3))})


def decode_label(example: dict) -> dict:
    """Decodes the label and the instances. The image stays encoded, so that augmentation decodes only the part of its crop."""
    example = {**example, "label": tf.io.decode_png(example["label"], channels=1)[..., 0]}
    return example | ({"instances": instances.decode(example["instances"])} if "instances" in example else {})


def features(boxes: bool, instances: bool) -> tuple[str, ...]:
    """The names of the tensors of an example of a data set that has, or has not, boxes and instances."""
    return (
        *FEATURES,
        *(("boxes", "box_classes") if boxes or instances else ()),
        *(("instances",) if instances else ()),
    )


@tf.autograph.experimental.do_not_convert
def parse(record: tf.Tensor, features: tuple[str, ...] = FEATURES) -> dict:
    """A record of `Prepared.serialized` as an example of `Prepared.encoded`, with the tensors that `features` names."""
    keys = [name for name in features if name not in ("boxes", "box_classes")]
    example = tf.io.parse_single_example(record, {k: tf.io.FixedLenFeature([], tf.string) for k in keys})
    if "boxes" not in features:
        return example
    kinds = {"boxes": ([4], tf.float32), "box_classes": ([], tf.int64)}
    found = tf.io.parse_single_example(
        record, {k: tf.io.FixedLenSequenceFeature(*kind, allow_missing=True) for k, kind in kinds.items()}
    )
    return {**example, **found, "box_classes": tf.cast(found["box_classes"], tf.int32)}


def _is_one_of(ids):
    """A function of a record: whether its example is one of these."""
    # Every record is compared with every id, so these are 64-bit numbers and not strings.
    hashes = tf.strings.to_hash_bucket_fast(tf.constant(list(ids), tf.string), HASHES)

    def is_one(record):
        name = tf.io.parse_single_example(record, {"id": tf.io.FixedLenFeature([], tf.string)})["id"]
        return tf.reduce_any(tf.strings.to_hash_bucket_fast(name, HASHES) == hashes)

    return is_one


def is_prepared(directory: Path) -> bool:
    """Whether `directory` holds complete records."""
    return (directory / STATISTICS).is_file()


def load(directory: Path) -> Prepared:
    """Opens the records in `directory`; a shard that is missing or has another size is an error."""
    try:
        facts = json.loads((directory / STATISTICS).read_text())
        classes = tuple(Class(c["name"], tuple(c["color"]), c["raw"]) for c in facts["classes"])
        prepared = Prepared(
            directory=directory,
            classes=classes,
            splits={split: sum(s["records"] for s in shards) for split, shards in facts["shards"].items()},
            skipped=facts.get("skipped", {}),
            boxes=facts.get("boxes", {}),
            instances=facts.get("instances", False),
            steps=facts.get("steps", 0),
            **{key: facts[key] for key in ("name", "statistics", "options", "shards")},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"Expected the facts of prepared records in {directory / STATISTICS}. Received: {type(error).__name__}: "
            f"{error}. Prepare again with --overwrite."
        ) from error
    for shard in (shard for shards in prepared.shards.values() for shard in shards):
        path = directory / shard["file"]
        size = f"{path.stat().st_size} bytes" if path.is_file() else "no file"
        if size != f"{shard['bytes']} bytes":
            raise ValueError(
                f"Expected {path} to hold {shard['bytes']} bytes. Received: {size}. "
                "Copy the records again, or prepare again with --overwrite."
            )
    return prepared


def save(directory: Path, name: str, classes, statistics: dict, options: dict, shards: dict, **others) -> None:
    """Writes the file that `load` reads; `others` are further facts for readers of the file."""
    rows = [dataclasses.asdict(c) for c in classes]
    facts = {"name": name, "options": options, "classes": rows, "shards": shards, "statistics": statistics, **others}
    (directory / STATISTICS).write_text(json.dumps(facts, indent=1))
