"""COCO-Stuff 164k: COCO 2017 with every pixel a thing or stuff, 171 classes.

H. Caesar, J. Uijlings, V. Ferrari. COCO-Stuff: Thing and stuff classes in context. CVPR 2018, arXiv:1612.03716.

The masks hold the category id less one, 0..181, and 255 for unlabelled; 11 ids of COCO's things were never drawn (street
sign, hat, shoe, ...), so the train ids are closed up. 17 classes share their colour with another: a colour map cannot be
read back.
"""

from pathlib import Path

import tensorflow_datasets as tfds

from input_pipeline.preparation import builder
from input_pipeline.source import listing
from input_pipeline.source.class_tables import Class
from input_pipeline.source.files import IGNORE

# Names and ids of nightrome/cocostuff, labels.txt; colours of OpenMMLab's configuration, as the source has none.
CLASSES = (
    Class("person", (0, 192, 64), 0),
    Class("bicycle", (0, 192, 64), 1),
    Class("car", (0, 64, 96), 2),
    Class("motorcycle", (128, 192, 192), 3),
    Class("airplane", (0, 64, 64), 4),
    Class("bus", (0, 192, 224), 5),
    Class("train", (0, 192, 192), 6),
    Class("truck", (128, 192, 64), 7),
    Class("boat", (0, 192, 96), 8),
    Class("traffic light", (128, 192, 64), 9),
    Class("fire hydrant", (128, 32, 192), 10),
    Class("stop sign", (0, 0, 224), 12),
    Class("parking meter", (0, 0, 64), 13),
    Class("bench", (0, 160, 192), 14),
    Class("bird", (128, 0, 96), 15),
    Class("cat", (128, 0, 192), 16),
    Class("dog", (0, 32, 192), 17),
    Class("horse", (128, 128, 224), 18),
    Class("sheep", (0, 0, 192), 19),
    Class("cow", (128, 160, 192), 20),
    Class("elephant", (128, 128, 0), 21),
    Class("bear", (128, 0, 32), 22),
    Class("zebra", (128, 32, 0), 23),
    Class("giraffe", (128, 0, 128), 24),
    Class("backpack", (64, 128, 32), 26),
    Class("umbrella", (0, 160, 0), 27),
    Class("handbag", (0, 0, 0), 30),
    Class("tie", (192, 128, 160), 31),
    Class("suitcase", (0, 32, 0), 32),
    Class("frisbee", (0, 128, 128), 33),
    Class("skis", (64, 128, 160), 34),
    Class("snowboard", (128, 160, 0), 35),
    Class("sports ball", (0, 128, 0), 36),
    Class("kite", (192, 128, 32), 37),
    Class("baseball bat", (128, 96, 128), 38),
    Class("baseball glove", (0, 0, 128), 39),
    Class("skateboard", (64, 0, 32), 40),
    Class("surfboard", (0, 224, 128), 41),
    Class("tennis racket", (128, 0, 0), 42),
    Class("bottle", (192, 0, 160), 43),
    Class("wine glass", (0, 96, 128), 45),
    Class("cup", (128, 128, 128), 46),
    Class("fork", (64, 0, 160), 47),
    Class("knife", (128, 224, 128), 48),
    Class("spoon", (128, 128, 64), 49),
    Class("bowl", (192, 0, 32), 50),
    Class("banana", (128, 96, 0), 51),
    Class("apple", (128, 0, 192), 52),
    Class("sandwich", (0, 128, 32), 53),
    Class("orange", (64, 224, 0), 54),
    Class("broccoli", (0, 0, 64), 55),
    Class("carrot", (128, 128, 160), 56),
    Class("hot dog", (64, 96, 0), 57),
    Class("pizza", (0, 128, 192), 58),
    Class("donut", (0, 128, 160), 59),
    Class("cake", (192, 224, 0), 60),
    Class("chair", (0, 128, 64), 61),
    Class("couch", (128, 128, 32), 62),
    Class("potted plant", (192, 32, 128), 63),
    Class("bed", (0, 64, 192), 64),
    Class("dining table", (0, 0, 32), 66),
    Class("toilet", (64, 160, 128), 69),
    Class("tv", (128, 64, 64), 71),
    Class("laptop", (128, 0, 160), 72),
    Class("mouse", (64, 32, 128), 73),
    Class("remote", (128, 192, 192), 74),
    Class("keyboard", (0, 0, 160), 75),
    Class("cell phone", (192, 160, 128), 76),
    Class("microwave", (128, 192, 0), 77),
    Class("oven", (128, 0, 96), 78),
    Class("toaster", (192, 32, 0), 79),
    Class("sink", (128, 64, 128), 80),
    Class("refrigerator", (64, 128, 96), 81),
    Class("book", (64, 160, 0), 83),
    Class("clock", (0, 64, 0), 84),
    Class("vase", (192, 128, 224), 85),
    Class("scissors", (64, 32, 0), 86),
    Class("teddy bear", (0, 192, 128), 87),
    Class("hair drier", (64, 128, 224), 88),
    Class("toothbrush", (192, 160, 0), 89),
    Class("banner", (0, 192, 0), 91),
    Class("blanket", (192, 128, 96), 92),
    Class("branch", (192, 96, 128), 93),
    Class("bridge", (0, 64, 128), 94),
    Class("building-other", (64, 0, 96), 95),
    Class("bush", (64, 224, 128), 96),
    Class("cabinet", (128, 64, 0), 97),
    Class("cage", (192, 0, 224), 98),
    Class("cardboard", (64, 96, 128), 99),
    Class("carpet", (128, 192, 128), 100),
    Class("ceiling-other", (64, 0, 224), 101),
    Class("ceiling-tile", (192, 224, 128), 102),
    Class("cloth", (128, 192, 64), 103),
    Class("clothes", (192, 0, 96), 104),
    Class("clouds", (192, 96, 0), 105),
    Class("counter", (128, 64, 192), 106),
    Class("cupboard", (0, 128, 96), 107),
    Class("curtain", (0, 224, 0), 108),
    Class("desk-stuff", (64, 64, 64), 109),
    Class("dirt", (128, 128, 224), 110),
    Class("door-stuff", (0, 96, 0), 111),
    Class("fence", (64, 192, 192), 112),
    Class("floor-marble", (0, 128, 224), 113),
    Class("floor-other", (128, 224, 0), 114),
    Class("floor-stone", (64, 192, 64), 115),
    Class("floor-tile", (128, 128, 96), 116),
    Class("floor-wood", (128, 32, 128), 117),
    Class("flower", (64, 0, 192), 118),
    Class("fog", (0, 64, 96), 119),
    Class("food-other", (0, 160, 128), 120),
    Class("fruit", (192, 0, 64), 121),
    Class("furniture-other", (128, 64, 224), 122),
    Class("grass", (0, 32, 128), 123),
    Class("gravel", (192, 128, 192), 124),
    Class("ground-other", (0, 64, 224), 125),
    Class("hill", (128, 160, 128), 126),
    Class("house", (192, 128, 0), 127),
    Class("leaves", (128, 64, 32), 128),
    Class("light", (128, 32, 64), 129),
    Class("mat", (192, 0, 128), 130),
    Class("metal", (64, 192, 32), 131),
    Class("mirror-stuff", (0, 160, 64), 132),
    Class("moss", (64, 0, 0), 133),
    Class("mountain", (192, 192, 160), 134),
    Class("mud", (0, 32, 64), 135),
    Class("napkin", (64, 128, 128), 136),
    Class("net", (64, 192, 160), 137),
    Class("paper", (128, 160, 64), 138),
    Class("pavement", (64, 128, 0), 139),
    Class("pillow", (192, 192, 32), 140),
    Class("plant-other", (128, 96, 192), 141),
    Class("plastic", (64, 0, 128), 142),
    Class("platform", (64, 64, 32), 143),
    Class("playingfield", (0, 224, 192), 144),
    Class("railing", (192, 0, 0), 145),
    Class("railroad", (192, 64, 160), 146),
    Class("river", (0, 96, 192), 147),
    Class("road", (192, 128, 128), 148),
    Class("rock", (64, 64, 160), 149),
    Class("roof", (128, 224, 192), 150),
    Class("rug", (192, 128, 64), 151),
    Class("salad", (192, 64, 32), 152),
    Class("sand", (128, 96, 64), 153),
    Class("sea", (192, 0, 192), 154),
    Class("shelf", (0, 192, 32), 155),
    Class("sky-other", (64, 224, 64), 156),
    Class("skyscraper", (64, 0, 64), 157),
    Class("snow", (128, 192, 160), 158),
    Class("solid-other", (64, 96, 64), 159),
    Class("stairs", (64, 128, 192), 160),
    Class("stone", (0, 192, 160), 161),
    Class("straw", (192, 224, 64), 162),
    Class("structural-other", (64, 128, 64), 163),
    Class("table", (128, 192, 32), 164),
    Class("tent", (192, 32, 192), 165),
    Class("textile-other", (64, 64, 192), 166),
    Class("towel", (0, 64, 32), 167),
    Class("tree", (64, 160, 192), 168),
    Class("vegetable", (192, 64, 64), 169),
    Class("wall-brick", (128, 64, 160), 170),
    Class("wall-concrete", (64, 32, 192), 171),
    Class("wall-other", (192, 192, 192), 172),
    Class("wall-panel", (0, 64, 160), 173),
    Class("wall-stone", (192, 160, 192), 174),
    Class("wall-tile", (192, 192, 0), 175),
    Class("wall-wood", (128, 64, 96), 176),
    Class("water-other", (192, 32, 64), 177),
    Class("waterdrops", (192, 64, 128), 178),
    Class("window-blind", (64, 192, 96), 179),
    Class("window-other", (64, 160, 64), 180),
    Class("wood", (64, 64, 0), 181),
)
IGNORED = (Class("unlabeled", None, IGNORE),)
FOLDERS = {"train": "train2017", "val": "val2017"}
SPLITS = {"train": 118287, "val": 5000}


class Builder(builder.Builder):
    """COCO-Stuff 164k: COCO 2017, 80 kinds of things and 91 of stuff."""

    VERSION = tfds.core.Version("1.0.0")
    URL = "https://github.com/nightrome/cocostuff"
    LICENCE = "annotations CC BY 4.0; images under the Flickr terms of use"
    LAYOUT = (
        "images/train2017/*.jpg, images/val2017/*.jpg and masks of the same names in annotations/train2017/*.png, "
        "annotations/val2017/*.png. To obtain them: unpack train2017.zip and val2017.zip of images.cocodataset.org in "
        f"images, stuffthingmaps_trainval2017.zip of {URL} in annotations"
    )

    def __init__(self, source: Path, cache: Path):
        """There is nothing to choose."""
        splits = {s: listing.pairs(source / "images" / f, source / "annotations" / f) for s, f in FOLDERS.items()}
        super().__init__(source, cache, classes=CLASSES, ignored=IGNORED, splits=splits)
