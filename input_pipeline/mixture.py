"""Mixtures of data sets: `camvid + 0.5*folder(data_dir="/path/to/dusk")` is a train split made of several.

    parts = parse("camvid + 0.5*folder(data_dir='dusk')", data_dir="CamVid")    -> weight, spec and data_dir of each
    prepared = mix([(part.weight, input_pipeline.prepare(part.spec, part.data_dir)) for part in parts])

The numbers are shares of the stream, however many images a data set has: here two images are from CamVid for one from the
folder. An epoch is one pass over the first data set, with as many images of the others as the numbers say. The others go on
from epoch to epoch, in passes of their own. Everything but the train split is that of the first data set.
"""

import dataclasses
import math
from pathlib import Path

import numpy as np

from input_pipeline import records
from input_pipeline.preparation import cache
from input_pipeline.preparation.counts import CLASS_WEIGHTS
from tfseg.spec import Call, find, parse_sum

OWN = "data_dir"  # the option of a data set in a mixture that names its own folder
SUMS = ("pixels", "images", "pixels_present", "objects")  # statistics with a number for each class


@dataclasses.dataclass(frozen=True)
class Part:
    """A data set of a mixture, as it was asked for."""

    weight: float
    spec: str
    data_dir: str


def parse(spec: str, data_dir: str = "") -> list[Part]:
    """The data sets of a sum such as `camvid + 0.5*folder(data_dir="/path/to/dusk")`; most often there is one.

    Args:
        spec: data sets with optional factors. Each may name its own `data_dir`.
        data_dir: the folder of those that name none and are not drawn.

    Raises:
        ValueError: for a spec that is no such sum, and for a factor of 0.
    """
    found = []
    for weight, call in parse_sum(spec):
        if not 0 < weight < float("inf"):
            raise ValueError(f"Expected factors above 0 of the data sets. Received: {spec}.")
        options = {key: value for key, value in call.kwargs.items() if key != OWN}
        one = Call(call.name, call.args, options)
        found.append((weight, one, call.kwargs.get(OWN)))
    several = len(found) > 1
    return [
        Part(weight, str(call), str(own) if own is not None else _shared(call, data_dir, several))
        for weight, call, own in found
    ]


def check(spec: str, data_dir: str = "") -> None:
    """Raises ValueError or FileNotFoundError if a spec, a folder or the tensors of the data sets cannot be right."""
    parts = parse(spec, data_dir)
    for part in parts:
        cache.check_source(part.spec, part.data_dir)
    first, *others = parts
    for other in others:
        _check_features(*((part.spec, cache.features(part.spec, part.data_dir)) for part in (first, other)))
    for other in others:
        _check_classes(*((part.spec, _table(part)) for part in (first, other)))


def mix(parts: list[tuple[float, records.Prepared]]) -> records.Prepared:
    """The first data set, with a train split made of all of them.

    Args:
        parts: the share of each in the stream, above 0, and its records.

    Raises:
        ValueError: if their classes or their tensors are not the same, or if one has no train split.
    """
    (weight, first), *others = parts
    if not others:
        return first
    for prepared in (prepared for _, prepared in parts):
        if "train" not in prepared.splits:
            raise ValueError(
                f"Expected a train split in each data set of a mixture. Received: {prepared.name} in {prepared.directory} with "
                f"{', '.join(prepared.splits)}."
            )
        _check_classes((first.name, first.classes), (prepared.name, prepared.classes))
        _check_features((first.name, first.features), (prepared.name, prepared.features))
        if prepared.steps != first.steps:
            raise ValueError(
                f"Expected images that hold {first.steps} past label maps, as those of {first.name}, in each data set of a "
                f"mixture. Received: {prepared.name} with {prepared.steps}."
            )
    count = first.splits["train"]
    numbers = [count, *(max(1, round(count * other / weight)) for other, _ in others)]
    mixed = tuple(zip(numbers, (prepared for _, prepared in parts), strict=True))
    boxes = {"train": max(prepared.boxes.get("train", 0) for _, prepared in parts)} if first.boxes else {}
    return dataclasses.replace(
        first,
        splits={**first.splits, "train": sum(numbers)},
        statistics={**first.statistics, "train": _statistics(mixed)},
        boxes={**first.boxes, **boxes},
        parts=mixed,
    )


def _shared(call, data_dir, several):
    """--data_dir for a data set that names none; a drawn one in a mixture needs none."""
    drawn = several and not find(cache.PACKAGE, call.name).Builder.LAYOUT
    return "" if drawn else data_dir


def _table(part):
    """The class table of a data set that may not be prepared yet; its files are listed but not read."""
    source = Path(part.data_dir).expanduser()
    if part.data_dir and records.is_prepared(source):
        return records.load(source).classes
    return cache.source_builder(part.spec, part.data_dir).classes


def _check_classes(first, other):
    """Raises ValueError unless two data sets, (name, class table), have classes of the same names in the same order."""
    names = [[one.name for one in classes] for _, classes in (first, other)]
    if names[0] == names[1]:
        return
    different = [i for i, (a, b) in enumerate(zip(*names, strict=False)) if a != b]
    example = "the rest is the same"
    if different:
        example = f"class {different[0]} is {names[1][different[0]]!r} and not {names[0][different[0]]!r}"
    raise ValueError(
        f"Expected the {len(names[0])} classes of {first[0]}, in the same order, in each data set of a mixture. Received: "
        f"{other[0]} with {len(names[1])} classes; {example}. Give it a class table with: {', '.join(names[0])}."
    )


def _check_features(first, other):
    if first[1] != other[1]:
        raise ValueError(
            f"Expected the tensors of {first[0]} in each data set of a mixture: {', '.join(first[1])}. Received: {other[0]} "
            f"with {', '.join(other[1])}. Turn their boxes or instances on, or off, in all."
        )


def _statistics(parts):
    """What is known of the examples of an epoch: how often an example is in it is the weight of its counts."""
    found = [prepared.statistics["train"] for _, prepared in parts]
    factors = np.array([number / prepared.splits["train"] for number, prepared in parts])

    def summed(values):
        return np.rint(np.tensordot(factors, np.array(values, float), 1)).astype(int)

    counts = {key: summed([one[key] for one in found]).tolist() for key in SUMS if all(key in one for one in found)}
    sizes = {}
    for factor, one in zip(factors, found, strict=True):
        for size, images in one["sizes"].items():
            sizes[size] = sizes.get(size, 0) + factor * images
    # Moments of the colours are weighted by the pixels of the images.
    pixels = factors * [sum(n * math.prod(map(int, size.split("x"))) for size, n in s["sizes"].items()) for s in found]
    mean, std = (np.array([one[key] for one in found]) for key in ("mean", "std"))
    whole = np.average(mean, 0, pixels)
    squares = np.average(std**2 + mean**2, 0, pixels)
    return {
        **counts,
        "ignored": int(summed([one["ignored"] for one in found])),
        "mean": whole.tolist(),
        "std": np.sqrt(np.maximum(squares - whole**2, 0)).tolist(),
        "sizes": {size: max(1, round(images)) for size, images in sizes.items()},
        "weights": {name: rule(counts).tolist() for name, rule in CLASS_WEIGHTS.items()},
    }
