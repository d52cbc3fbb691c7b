"""ADE20K in the form of the Scene Parsing Benchmark (SceneParse150): indoors and outdoors, 150 classes.

B. Zhou et al. Scene Parsing through ADE20K Dataset. CVPR 2017; Semantic Understanding of Scenes through the ADE20K Dataset.
IJCV 2019, arXiv:1608.05442.

The masks hold 1..150, and 0 for everything else, which is ignored. Two classes share a colour, so ids cannot be
recovered from a colour map. The full ADE20K, with thousands of classes in RGB masks `*_seg.png`, is another data set.
"""

from pathlib import Path

import tensorflow_datasets as tfds

from input_pipeline.preparation import builder
from input_pipeline.source import listing
from input_pipeline.source.class_tables import Class

# Names: the first of each row of objectInfo150.txt; colours: color150.mat of the benchmark.
CLASSES = (
    Class("wall", (120, 120, 120), 1),
    Class("building", (180, 120, 120), 2),
    Class("sky", (6, 230, 230), 3),
    Class("floor", (80, 50, 50), 4),
    Class("tree", (4, 200, 3), 5),
    Class("ceiling", (120, 120, 80), 6),
    Class("road", (140, 140, 140), 7),
    Class("bed", (204, 5, 255), 8),
    Class("windowpane", (230, 230, 230), 9),
    Class("grass", (4, 250, 7), 10),
    Class("cabinet", (224, 5, 255), 11),
    Class("sidewalk", (235, 255, 7), 12),
    Class("person", (150, 5, 61), 13),
    Class("earth", (120, 120, 70), 14),
    Class("door", (8, 255, 51), 15),
    Class("table", (255, 6, 82), 16),
    Class("mountain", (143, 255, 140), 17),
    Class("plant", (204, 255, 4), 18),
    Class("curtain", (255, 51, 7), 19),
    Class("chair", (204, 70, 3), 20),
    Class("car", (0, 102, 200), 21),
    Class("water", (61, 230, 250), 22),
    Class("painting", (255, 6, 51), 23),
    Class("sofa", (11, 102, 255), 24),
    Class("shelf", (255, 7, 71), 25),
    Class("house", (255, 9, 224), 26),
    Class("sea", (9, 7, 230), 27),
    Class("mirror", (220, 220, 220), 28),
    Class("rug", (255, 9, 92), 29),
    Class("field", (112, 9, 255), 30),
    Class("armchair", (8, 255, 214), 31),
    Class("seat", (7, 255, 224), 32),
    Class("fence", (255, 184, 6), 33),
    Class("desk", (10, 255, 71), 34),
    Class("rock", (255, 41, 10), 35),
    Class("wardrobe", (7, 255, 255), 36),
    Class("lamp", (224, 255, 8), 37),
    Class("bathtub", (102, 8, 255), 38),
    Class("railing", (255, 61, 6), 39),
    Class("cushion", (255, 194, 7), 40),
    Class("base", (255, 122, 8), 41),
    Class("box", (0, 255, 20), 42),
    Class("column", (255, 8, 41), 43),
    Class("signboard", (255, 5, 153), 44),
    Class("chest of drawers", (6, 51, 255), 45),
    Class("counter", (235, 12, 255), 46),
    Class("sand", (160, 150, 20), 47),
    Class("sink", (0, 163, 255), 48),
    Class("skyscraper", (140, 140, 140), 49),
    Class("fireplace", (250, 10, 15), 50),
    Class("refrigerator", (20, 255, 0), 51),
    Class("grandstand", (31, 255, 0), 52),
    Class("path", (255, 31, 0), 53),
    Class("stairs", (255, 224, 0), 54),
    Class("runway", (153, 255, 0), 55),
    Class("case", (0, 0, 255), 56),
    Class("pool table", (255, 71, 0), 57),
    Class("pillow", (0, 235, 255), 58),
    Class("screen door", (0, 173, 255), 59),
    Class("stairway", (31, 0, 255), 60),
    Class("river", (11, 200, 200), 61),
    Class("bridge", (255, 82, 0), 62),
    Class("bookcase", (0, 255, 245), 63),
    Class("blind", (0, 61, 255), 64),
    Class("coffee table", (0, 255, 112), 65),
    Class("toilet", (0, 255, 133), 66),
    Class("flower", (255, 0, 0), 67),
    Class("book", (255, 163, 0), 68),
    Class("hill", (255, 102, 0), 69),
    Class("bench", (194, 255, 0), 70),
    Class("countertop", (0, 143, 255), 71),
    Class("stove", (51, 255, 0), 72),
    Class("palm", (0, 82, 255), 73),
    Class("kitchen island", (0, 255, 41), 74),
    Class("computer", (0, 255, 173), 75),
    Class("swivel chair", (10, 0, 255), 76),
    Class("boat", (173, 255, 0), 77),
    Class("bar", (0, 255, 153), 78),
    Class("arcade machine", (255, 92, 0), 79),
    Class("hovel", (255, 0, 255), 80),
    Class("bus", (255, 0, 245), 81),
    Class("towel", (255, 0, 102), 82),
    Class("light", (255, 173, 0), 83),
    Class("truck", (255, 0, 20), 84),
    Class("tower", (255, 184, 184), 85),
    Class("chandelier", (0, 31, 255), 86),
    Class("awning", (0, 255, 61), 87),
    Class("streetlight", (0, 71, 255), 88),
    Class("booth", (255, 0, 204), 89),
    Class("television", (0, 255, 194), 90),
    Class("airplane", (0, 255, 82), 91),
    Class("dirt track", (0, 10, 255), 92),
    Class("apparel", (0, 112, 255), 93),
    Class("pole", (51, 0, 255), 94),
    Class("land", (0, 194, 255), 95),
    Class("bannister", (0, 122, 255), 96),
    Class("escalator", (0, 255, 163), 97),
    Class("ottoman", (255, 153, 0), 98),
    Class("bottle", (0, 255, 10), 99),
    Class("buffet", (255, 112, 0), 100),
    Class("poster", (143, 255, 0), 101),
    Class("stage", (82, 0, 255), 102),
    Class("van", (163, 255, 0), 103),
    Class("ship", (255, 235, 0), 104),
    Class("fountain", (8, 184, 170), 105),
    Class("conveyer belt", (133, 0, 255), 106),
    Class("canopy", (0, 255, 92), 107),
    Class("washer", (184, 0, 255), 108),
    Class("plaything", (255, 0, 31), 109),
    Class("swimming pool", (0, 184, 255), 110),
    Class("stool", (0, 214, 255), 111),
    Class("barrel", (255, 0, 112), 112),
    Class("basket", (92, 255, 0), 113),
    Class("waterfall", (0, 224, 255), 114),
    Class("tent", (112, 224, 255), 115),
    Class("bag", (70, 184, 160), 116),
    Class("minibike", (163, 0, 255), 117),
    Class("cradle", (153, 0, 255), 118),
    Class("oven", (71, 255, 0), 119),
    Class("ball", (255, 0, 163), 120),
    Class("food", (255, 204, 0), 121),
    Class("step", (255, 0, 143), 122),
    Class("tank", (0, 255, 235), 123),
    Class("trade name", (133, 255, 0), 124),
    Class("microwave", (255, 0, 235), 125),
    Class("pot", (245, 0, 255), 126),
    Class("animal", (255, 0, 122), 127),
    Class("bicycle", (255, 245, 0), 128),
    Class("lake", (10, 190, 212), 129),
    Class("dishwasher", (214, 255, 0), 130),
    Class("screen", (0, 204, 255), 131),
    Class("blanket", (20, 0, 255), 132),
    Class("sculpture", (255, 255, 0), 133),
    Class("hood", (0, 153, 255), 134),
    Class("sconce", (0, 41, 255), 135),
    Class("vase", (0, 255, 204), 136),
    Class("traffic light", (41, 0, 255), 137),
    Class("tray", (41, 255, 0), 138),
    Class("ashcan", (173, 0, 255), 139),
    Class("fan", (0, 245, 255), 140),
    Class("pier", (71, 0, 255), 141),
    Class("crt screen", (122, 0, 255), 142),
    Class("plate", (0, 255, 184), 143),
    Class("monitor", (0, 92, 255), 144),
    Class("bulletin board", (184, 255, 0), 145),
    Class("shower", (0, 133, 255), 146),
    Class("radiator", (255, 214, 0), 147),
    Class("glass", (25, 194, 194), 148),
    Class("clock", (102, 255, 0), 149),
    Class("flag", (92, 0, 255), 150),
)
IGNORED = (Class("other", (0, 0, 0), 0),)
FOLDERS = {"train": "training", "val": "validation"}
SPLITS = {"train": 20210, "val": 2000}
FULL = ("ADE20K_20*", "index_ade20k.*", "images/ADE", "images/training/?", "images/training/*_seg.png")


class Builder(builder.Builder):
    """ADE20K, scene parsing: 150 classes of things and stuff, indoors and outdoors."""

    VERSION = tfds.core.Version("1.0.0")
    URL = "http://sceneparsing.csail.mit.edu"
    LICENCE = "annotations BSD-3-Clause; images for non-commercial research and education"
    LAYOUT = (
        "ADEChallengeData2016 with images/{training,validation}/*.jpg and masks of the same names in "
        f"annotations/{{training,validation}}/*.png. To obtain it: unpack ADEChallengeData2016.zip of {URL}"
    )

    def __init__(self, source: Path, cache: Path):
        """This data set has no options."""
        tree = listing.root(source, "ADEChallengeData2016", holds="annotations")
        if not (tree / "annotations").is_dir() and any(True for pattern in FULL for _ in source.glob(pattern)):
            raise ValueError(
                f"Expected the Scene Parsing Benchmark: {self.LAYOUT}. Received: {source}, which looks like the full ADE20K, "
                "another data set with thousands of classes."
            )
        splits = {s: listing.pairs(tree / "images" / f, tree / "annotations" / f) for s, f in FOLDERS.items()}
        super().__init__(source, cache, classes=CLASSES, ignored=IGNORED, splits=splits)
