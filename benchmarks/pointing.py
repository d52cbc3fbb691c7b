"""How well the peaks of a network point at objects: compares predictions with the boxes and instances of the data set.

    python main.py --mode=predict --workdir=runs/prm --split=val --output_dir=peaks
    python -m benchmarks.pointing --flagfile=runs/prm/flags --output_dir=peaks

A peak hits an object if the object is of its class and the pixel that it responds to most is in its box or at most NEAR
pixels beside it (the pointing game of Zhang et al., Top-down Neural Attention by Excitation Backprop, ECCV 2016). The same is
counted of the middle of the picture in the place of that pixel, which says how much of it chance does.
"""

import collections
import json
import pathlib

import numpy as np
from absl import app, flags
from PIL import Image

import input_pipeline
from tfseg import config as config_lib
from tfseg import peaks, prepare

NEAR = 2  # pixels
BRIGHT = 90  # of 255: from here on a pixel of the data set `digits` belongs to a digit


def count(about: dict, ids: np.ndarray, example: dict, classes: list[str]) -> collections.Counter:
    """What is counted in an image.

    Args:
        about: the content of its peaks/NAME.json.
        ids: the pixels of its instances/NAME.png, [height, width].
        example: the data set's, with boxes, box_classes and instances.
        classes: names, by train id.
    """
    boxes, kinds = example["boxes"], [classes[kind] for kind in example["box_classes"]]
    middle = (about["width"] - 1) / 2, (about["height"] - 1) / 2
    likely = {name for name, score in about["scores"].items() if score > 0}
    found, totals = set(), collections.Counter(images=1, exact=likely == set(kinds), objects=len(kinds))
    for peak in about["peaks"]:
        hits = [i for i, kind in enumerate(kinds) if kind == peak["class"] and _near(boxes[i], *peak["pixel"])]
        by_chance = any(kind == peak["class"] and _near(box, *middle) for kind, box in zip(kinds, boxes, strict=True))
        totals += collections.Counter(peaks=1, hits=bool(hits), middle=by_chance)
        found |= set(hits)
        if hits:
            mask, bright = ids == peak["instance"], example["image"].max(-1) > BRIGHT
            true = [example["instances"] == i + 1 for i in hits]
            totals["iou"] += max(peaks.iou(mask, one) for one in true)
            totals["bright_iou"] += max(peaks.iou(mask & bright, one) for one in true)
    totals["found"] = len(found)
    return totals


def lines(totals: collections.Counter) -> list[str]:
    """The numbers as rows of a table."""
    shares = {
        "peaks that hit an object of their class": ("hits", "peaks"),
        "the picture's middle in place of the peak": ("middle", "peaks"),
        "objects that a peak hits": ("found", "objects"),
        "images whose set of classes is exact": ("exact", "images"),
        "IoU of the masks of these peaks": ("iou", "hits"),
        f"the same, of pixels above {BRIGHT} alone": ("bright_iou", "hits"),
    }
    rows = [f"| {name} | {totals[a] / max(1, totals[b]):.3f} |" for name, (a, b) in shares.items()]
    return [
        f"{totals['images']} images, {totals['objects']} objects, {totals['peaks']} peaks",
        "",
        "| | |",
        "|---|---|",
        *rows,
    ]


def main(argv):
    """Prints the table for the split of --split and the predictions in --output_dir."""
    config = config_lib.from_flags(flags.FLAGS)
    folder, prepared = pathlib.Path(config.output_dir), prepare.records(config)
    classes, totals = [c.name for c in prepared.classes], collections.Counter()
    for example in prepared.encoded(config.split).map(input_pipeline.decode).as_numpy_iterator():
        name = example["id"].decode()
        about = json.loads((folder / "peaks" / f"{name}.json").read_text())
        with Image.open(folder / "instances" / f"{name}.png") as picture:
            totals += count(about, np.asarray(picture), example, classes)
    print("\n".join(lines(totals)))


def _near(box, x, y):
    left, top, right, bottom = box
    return left - NEAR <= x < right + NEAR and top - NEAR <= y < bottom + NEAR


if __name__ == "__main__":
    config_lib.define_flags(flags.FLAGS)
    app.run(main)
