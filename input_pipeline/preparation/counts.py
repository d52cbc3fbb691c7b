"""Counts what is in a split while its records are written: labels, colours, sizes, faults, and values outside the table.

    counts = Counts(num_classes)
    counts.add(converted)        # once for each example
    counts.statistics()          # what `statistics.json` holds

All counts are exact integers, so the counts of parts of a split can be merged in any order.
"""

import collections
import dataclasses

import numpy as np
from absl import logging

from input_pipeline.preparation.judgement import Tally
from input_pipeline.source.files import IGNORE, color_text
from input_pipeline.source.images import Picture, Range, range_text
from input_pipeline.source.listing import some


def enet(counts: dict) -> np.ndarray:
    """1 / ln(1.02 + p), where p is the class's share of all valid pixels (ENet, arXiv:1606.02147, section 5.2)."""
    pixels = np.asarray(counts["pixels"], float)
    return 1.0 / np.log(1.02 + pixels / max(pixels.sum(), 1))


def median_frequency(counts: dict) -> np.ndarray:
    """median(f) / f, where f is the class's share of the pixels of the images that contain it (Eigen and Fergus, 2015).

    A class that no image contains has no frequency and gets the weight 0.
    """
    pixels, present = (np.asarray(counts[key], float) for key in ("pixels", "pixels_present"))
    seen = pixels > 0
    frequency = np.divide(pixels, present, out=np.ones_like(pixels), where=seen)
    return np.where(seen, np.median(frequency[seen]) / frequency, 0.0) if seen.any() else np.zeros_like(pixels)


CLASS_WEIGHTS = {"enet": enet, "median_frequency": median_frequency}


@dataclasses.dataclass(frozen=True)
class Counted:
    """The counts of one example, before they are added to those of its split."""

    labels: np.ndarray  # int [256]: pixels of each train id
    colors: np.ndarray  # int [3, 256]: pixels of each value of each channel
    size: str  # HxW
    turned: bool = False  # whether EXIF turned the image
    left_out: str = ""  # channels of the image that are left out
    range: Range | None = None  # of an image deeper than 8 bits


def count(image: np.ndarray, label: np.ndarray, picture: Picture) -> Counted:
    """Counts one example: image uint8 [height, width, 3] and label uint8 [height, width]. `picture` is the image as read."""
    colors = np.stack([np.bincount(image[..., c].ravel(), minlength=256) for c in range(3)])
    labels, size = np.bincount(label.ravel(), minlength=256), f"{label.shape[0]}x{label.shape[1]}"
    return Counted(labels, colors, size, picture.turned, picture.left_out, picture.range)


class Counts:
    """The counts of a split."""

    def __init__(self, num_classes: int):
        self.faults = []  # `file: what is wrong with it`
        self.boxes = 0  # the largest number of boxes in one image
        self._objects = None  # int [classes]: boxes of each class, if there are boxes
        self._labels = np.zeros((3, num_classes), np.int64)
        self._ignored = 0
        self._colors = np.zeros((3, 256), np.int64)
        self._sizes = collections.Counter()
        self._turned = []
        self._outside = {}  # {example: {colour code: pixels}}
        self._left_out = collections.Counter()  # {channels that are left out: images}
        self._range = None  # of the images deeper than 8 bits
        self.tally = Tally()  # of the values in all masks, also in those with a fault

    def add(self, converted) -> None:
        """Adds one example (`convert.Converted`), or its fault."""
        if converted.found:
            self.tally.add(converted.found, converted.id)
        if converted.fault:
            self.faults.append(converted.fault)
            return
        labels = converted.counts.labels[: self._labels.shape[1]]
        self._labels += (labels, labels > 0, (labels > 0) * labels.sum())
        self._ignored += int(converted.counts.labels[IGNORE])
        self._colors += converted.counts.colors
        self._sizes[converted.counts.size] += 1
        self._turned += [converted.id] if converted.counts.turned else []
        self._left_out.update([converted.counts.left_out] if converted.counts.left_out else [])
        self._range = converted.counts.range | self._range if converted.counts.range else self._range
        self.boxes = max(self.boxes, len(converted.record.get("boxes", ())))
        if "box_classes" in converted.record:
            found = np.bincount(converted.record["box_classes"], minlength=self._labels.shape[1])
            self._objects = found if self._objects is None else self._objects + found
        if converted.outside:
            self._outside[converted.id] = converted.outside

    def merge(self, other: "Counts") -> None:
        """Adds the counts of another part of the split."""
        self.faults += other.faults
        self.boxes = max(self.boxes, other.boxes)
        if other._objects is not None:
            self._objects = other._objects if self._objects is None else self._objects + other._objects
        self._labels += other._labels
        self._ignored += other._ignored
        self._colors += other._colors
        self._sizes += other._sizes
        self._turned += other._turned
        self._outside |= other._outside
        self._left_out += other._left_out
        self._range = other._range | self._range if other._range else self._range
        self.tally.merge(other.tally)

    def statistics(self) -> dict:
        """The statistics of the split, as JSON holds them.

        pixels[c]          pixels of class c
        images[c]          images that hold class c
        pixels_present[c]  labelled pixels of the images that hold class c: the denominator of median-frequency weights
        ignored            pixels of no class
        mean, std          of each channel, RGB 0..255, over all pixels of all images
        sizes              {"HxW": images}
        weights            of the classes by `enet` and by `median_frequency`, for the loss
        turned             ids of the images that EXIF turned
        image_range        if images are deeper than 8 bits: [lowest value, highest, bits (0: no natural range)]
        image_range_usual  the highest value in these images, without the top 0.1 % of each image
        left_out           {"an alpha channel": images}, if channels were left out
        objects[c]         boxes of class c, if the data set has boxes
        """
        values, total = np.arange(256), self._colors[0].sum()
        mean = self._colors @ values / total
        std = np.sqrt(np.maximum(self._colors @ values**2 / total - mean**2, 0))
        counts = dict(zip(("pixels", "images", "pixels_present"), self._labels.tolist(), strict=True))
        return {
            **counts,
            "ignored": self._ignored,
            "mean": mean.tolist(),
            "std": std.tolist(),
            "sizes": dict(sorted(self._sizes.items(), key=lambda item: (-item[1], item[0]))),
            "weights": {name: rule(counts).tolist() for name, rule in CLASS_WEIGHTS.items()},
            "turned": sorted(self._turned),
            **(self._range.to_json() if self._range else {}),
            **({"left_out": dict(sorted(self._left_out.items()))} if self._left_out else {}),
            **({} if self._objects is None else {"objects": self._objects.tolist()}),
        }

    def outside(self) -> dict:
        """The number of pixels in colours outside the class table, and of the images that hold them."""
        return {"pixels": sum(sum(found.values()) for found in self._outside.values()), "images": len(self._outside)}

    def warn(self, what: str, image_range: str) -> None:
        """Logs what was lost from `what`: the range of deep images, and pixels outside the class table.

        For these pixels it logs their share, the most frequent colours and some images. Copies of CamVid's colour masks
        that were scaled or saved as JPEG have such colours along every edge.
        """
        text, lost = range_text(self._range, image_range) if self._range else ("", False)
        if lost:
            logging.warning("%s: %s.", what, text)
        if not self._outside:
            return
        colors = collections.Counter()
        for found in self._outside.values():
            colors.update(found)
        pixels, total = colors.total(), int(self._labels[0].sum()) + self._ignored
        logging.warning(
            "%s: %d of %d pixels (%.4f %%), in %d images, have colours outside the class table and are ignored: %s. "
            "Images: %s.", what, pixels, total, 100 * pixels / total, len(self._outside),
            some([f"{color_text(code)} on {n} pixels" for code, n in colors.most_common()]), some(sorted(self._outside)),
        )  # fmt: skip

    def to_json(self) -> dict:
        """All counts as JSON values; `from_json` reads them back."""
        outside = {name: {str(code): n for code, n in found.items()} for name, found in self._outside.items()}
        return {
            "faults": self.faults, "boxes": self.boxes, "labels": self._labels.tolist(), "ignored": self._ignored,
            "colors": self._colors.tolist(), "sizes": self._sizes, "turned": self._turned, "outside": outside,
            "left_out": self._left_out, "range": self._range and dataclasses.astuple(self._range),
            "tally": self.tally.to_json(),
            "objects": None if self._objects is None else self._objects.tolist(),
        }  # fmt: skip

    @classmethod
    def from_json(cls, values: dict) -> "Counts":
        """The counts from the values of `to_json`."""
        counts = cls(len(values["labels"][0]))
        counts.faults, counts.boxes, counts._ignored = values["faults"], values["boxes"], values["ignored"]
        counts._labels, counts._colors = (np.array(values[key], np.int64) for key in ("labels", "colors"))
        counts._sizes, counts._turned = collections.Counter(values["sizes"]), values["turned"]
        counts._outside = {n: {int(code): k for code, k in found.items()} for n, found in values["outside"].items()}
        counts._left_out = collections.Counter(values["left_out"])
        counts._range = values["range"] and Range(*values["range"])
        counts.tally = Tally.from_json(values["tally"])
        counts._objects = None if values["objects"] is None else np.array(values["objects"])
        return counts
