"""--labelled: a train split of which only some examples have their labels, as if nobody had labelled the others.

    ids = choose(prepared, "0.125", seed=0)   # or a file of ids, one a line
    prepared = divide(prepared, ids)          # splits: train (what is labelled), unlabelled, val, ...

The order in which ids are chosen depends on the seed and on each id only. So an eighth of a data set is a part of its quarter,
and it is the same on every machine. What the split `train` says about its labels (pixels of the classes, weights) is counted
again: nothing that a run computes may come from labels that it is not supposed to have.
"""

import dataclasses
import hashlib
import os
import pathlib

import numpy as np
import tensorflow as tf

from input_pipeline import records
from input_pipeline.preparation.convert import Converted
from input_pipeline.preparation.counts import Counted, Counts
from input_pipeline.source.listing import some

UNLABELLED = "unlabelled"  # the split of the other examples, and the name of its stream
# What `Counts` knows of labels and sizes. Colours are counted of all images: these may be known.
OF_LABELS = ("pixels", "images", "pixels_present", "ignored", "sizes", "weights", "objects")


def share(labelled: str) -> float | None:
    """The share, above 0 and up to 1, that the option names; None if it is the path of a file.

    Raises:
        ValueError: if it is neither.
    """
    try:
        number = float(labelled)
    except ValueError:
        number = None
    if number is None and os.path.isfile(labelled):
        return None
    if number is None or not 0 < number <= 1:
        raise ValueError(
            "Expected --labelled as a share above 0 and up to 1, such as 0.125, or as a file with one id of an example in each "
            f"line. Received: {labelled!r}."
        )
    return number


def choose(prepared: records.Prepared, labelled: str, seed: int) -> list[str]:
    """The ids of the examples of the train split that keep their labels, sorted.

    Args:
        prepared: the data set.
        labelled: a share, 0..1, of the examples, at least one; or the path of a file with an id in each line.
        seed: of the choice by share.

    Raises:
        ValueError: for a file that names nothing, or what is no example of the train split.
    """
    wanted, ids = share(labelled), _ids(prepared)
    if wanted is not None:
        ranked = sorted(ids, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
        return sorted(ranked[: max(1, round(wanted * len(ids)))])
    given = [line.strip() for line in pathlib.Path(labelled).read_text(encoding="utf-8").splitlines() if line.strip()]
    unknown = sorted(set(given) - set(ids))
    if unknown or not given:
        raise ValueError(
            f"Expected ids of the train split of {prepared.name}, one a line, in {labelled}, such as {min(ids)}. Received: "
            f"{some(unknown) if unknown else 'none'}."
        )
    return sorted(set(given))


def divide(prepared: records.Prepared, ids: list[str]) -> records.Prepared:
    """The same data set with two splits in place of `train`: the examples of these ids, and the others as `unlabelled`."""
    chosen, others, counts = set(ids), [], Counts(prepared.num_classes)
    for example in prepared.encoded("train").as_numpy_iterator():
        name = example["id"].decode()
        if name in chosen:
            counts.add(_counted(example))
        else:
            others.append(name)
    parts = {"train": sorted(chosen)} | ({UNLABELLED: sorted(others)} if others else {})
    whole = prepared.statistics["train"]
    found = {key: value for key, value in counts.statistics().items() if key in OF_LABELS}
    left = {size: count - found["sizes"].get(size, 0) for size, count in whole["sizes"].items()}
    rest = {**{key: whole[key] for key in ("mean", "std")}, "sizes": {size: n for size, n in left.items() if n}}
    statistics = {"train": {**whole, **found}} | ({UNLABELLED: rest} if others else {})
    return dataclasses.replace(
        prepared,
        splits={**prepared.splits, **{split: len(names) for split, names in parts.items()}},
        shards={**prepared.shards, **dict.fromkeys(parts, prepared.shards["train"])},
        only={split: tuple(names) for split, names in parts.items()},
        statistics={**prepared.statistics, **statistics},
    )


def _ids(prepared):
    """The ids of the train split, in the order of the records."""
    names = prepared.encoded("train").map(lambda example: example["id"])
    return [name.decode() for name in names.as_numpy_iterator()]


def _counted(example):
    """What an example adds to the statistics of the labels."""
    label = tf.io.decode_png(example["label"], channels=1)[..., 0].numpy()
    pixels = np.bincount(label.ravel(), minlength=256)
    record = {key: value for key, value in example.items() if key == "box_classes"}
    nothing = np.ones((3, 256), np.int64)  # the colours are not counted
    return Converted(example["id"], record, counts=Counted(pixels, nothing, "x".join(map(str, label.shape))))
