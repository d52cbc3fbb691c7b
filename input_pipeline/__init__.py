"""Data sets: from users' files to records on disk, and from records to streams. Nothing here knows about networks.

    prepared = prepare("camvid", data_dir="path/to/CamVid")   -> records on disk, classes, statistics
    examples = prepared.encoded("train").map(decode)          -> image uint8 [H, W, 3], label uint8 [H, W], id

Every file of `datasets/` is a data set; there is no list of them. `mixture.py` trains on several at once.
"""

import tensorflow as tf

from input_pipeline.preparation.cache import PACKAGE, check_source, features, prepare, steps
from input_pipeline.preparation.counts import CLASS_WEIGHTS
from input_pipeline.records import Prepared, decode
from input_pipeline.source.class_tables import Class
from input_pipeline.source.files import IGNORE
from tfseg.spec import find
from tfseg.spec import names as modules

__all__ = [
    "CLASS_WEIGHTS",
    "IGNORE",
    "Class",
    "Prepared",
    "categories",
    "check_source",
    "classes",
    "dataset",
    "decode",
    "features",
    "names",
    "prepare",
    "steps",
]


def names() -> list[str]:
    """The data sets that a spec may name."""
    return modules(PACKAGE)


def categories(name: str) -> dict[str, tuple[str, ...]]:
    """The groups of classes that the file of a data set declares as CATEGORIES, by their names; {} for any other name."""
    return getattr(find(PACKAGE, name), "CATEGORIES", {}) if name in names() else {}


def classes(name: str) -> tuple[Class, ...]:
    """The class table that a data set always has, e.g. of `cityscapes`, by train id.

    Raises:
        ValueError: for an unknown name, and for a data set whose table depends on its files or options.
    """
    module = find(PACKAGE, name)
    if not hasattr(module, "CLASSES"):
        raise ValueError(f"Expected a data set with one class table. Received: {name!r}.")
    return tuple(module.CLASSES)


def dataset(spec: str, split: str, data_dir: str = "", cache_dir: str = "") -> tf.data.Dataset:
    """Prepares a data set if needed and returns a split's decoded examples, in the order of the records."""
    return prepare(spec, data_dir, cache_dir).encoded(split).map(decode, num_parallel_calls=tf.data.AUTOTUNE)
