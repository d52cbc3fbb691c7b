"""Counts the boxes and the instances of a source tree."""

import collections
import dataclasses
from typing import NamedTuple

import numpy as np

from input_pipeline import instances
from input_pipeline.preparation.convert import check_sizes, contents
from input_pipeline.source.files import IGNORE
from input_pipeline.source.listing import Example


class Seen(NamedTuple):
    """The objects of one example that preparation keeps."""

    boxes: np.ndarray  # float32 [n, 4], x1, y1, x2, y2 in pixels
    classes: np.ndarray  # train ids [n]
    left_out: int  # boxes outside the image, or instances that have no labelled pixel


@dataclasses.dataclass
class Objects:
    """The boxes of a split, or the instances, which have a box each."""

    images: int = 0
    empty: int = 0  # images without an object
    most: int = 0  # objects in one image
    left_out: int = 0  # see `Seen`
    classes: collections.Counter = dataclasses.field(default_factory=collections.Counter)  # objects of each train id

    def add(self, seen: Seen) -> None:
        """Adds those of an example."""
        count = len(seen.classes)
        self.images += 1
        self.empty += not count
        self.most = max(self.most, count)
        self.left_out += seen.left_out
        self.classes.update(seen.classes.tolist())


def read(example: Example, image: np.ndarray, label: np.ndarray | None, turned: bool) -> Seen | None:
    """The objects of an example; None if it has none of either kind, or if its instances cannot be told without its label.

    Args:
        example: that is listed.
        image: its pixels.
        label: its train ids, negative outside the class table; None if the mask cannot be read.
        turned: whether the image was turned as its EXIF says.

    Raises:
        ValueError, OSError: if the file of its objects is wrong.
    """
    if example.instances is not None:
        ids = instances.dense(contents(example.instances))
        check_sizes(image, ids, turned)
        if label is None or label.shape != ids.shape:
            return None
        _, boxes, classes = instances.objects(ids, np.where(label < 0, IGNORE, label).astype(np.uint8))
        return Seen(boxes, classes, int(ids.max(initial=0)) - len(boxes))
    if example.boxes is None:
        return None
    given = example.boxes.read().within(image.shape[:2])
    kept = given.record(image.shape[:2])
    return Seen(kept["boxes"], kept["box_classes"], len(given.boxes) - len(kept["boxes"]))
