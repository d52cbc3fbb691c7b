"""KITTI, semantic benchmark: 200 labelled frames of driving video, about 1242x375, with Cityscapes' 19 classes.

H. A. Alhaija et al. Augmented reality meets computer vision: Efficient data generation for urban driving scenes. IJCV 2018.
The frames are those of the stereo benchmark: M. Menze, A. Geiger. Object scene flow for autonomous vehicles. CVPR 2015.

Masks hold Cityscapes' ids, not its train ids. There is no published val split, and the labels of the 200 test frames are not
public. So a fifth of the training frames, chosen by name, is the val split.
"""

from pathlib import Path

import tensorflow_datasets as tfds

from input_pipeline.datasets.cityscapes import CLASSES, IGNORED
from input_pipeline.preparation import builder
from input_pipeline.source import listing

SPLITS = {"train": 160, "val": 40}
VAL_FRACTION = 0.2


class Builder(builder.Builder):
    """KITTI, semantic benchmark: driving video from Karlsruhe."""

    VERSION = tfds.core.Version("1.0.0")
    URL = "https://www.cvlibs.net/datasets/kitti/eval_semseg.php?benchmark=semantics2015"
    LICENCE = "CC BY-NC-SA 3.0"
    LAYOUT = (
        "training/image_2/*.png with masks of the same names in training/semantic/. To obtain them: unpack "
        f"data_semantics.zip of {URL}"
    )

    def __init__(self, source: Path, cache: Path, *, val_fraction: float = VAL_FRACTION, seed: int = 0):
        """`val_fraction` of the labelled frames become the val split; another `seed` chooses others."""
        found = listing.pairs(source / "training" / "image_2", source / "training" / "semantic")
        super().__init__(
            source,
            cache,
            classes=CLASSES,
            ignored=IGNORED,
            splits=listing.held_out(found, val_fraction, seed),
            options={"val_fraction": val_fraction, "seed": seed},
        )
