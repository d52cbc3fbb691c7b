"""Mapillary Vistas: streets all over the world, by day and night, 2 to 22 megapixels; 65 or 123 classes.

G. Neuhold, T. Ollmann, S. Rota Bulo, P. Kontschieder. The Mapillary Vistas Dataset for Semantic Understanding of Street
Scenes. ICCV 2017.

The masks are palette PNGs. Their ids are positions in the list of labels in config_v1.2.json or config_v2.0.json. If
the tree has this file, it is the class table. Labels that are not evaluated are ignored. In 2.0, 36 classes share
colours, so ids cannot be recovered from a colour map.
"""

import json
from pathlib import Path

import tensorflow_datasets as tfds

from input_pipeline.preparation import builder
from input_pipeline.source import listing
from input_pipeline.source.class_tables import Class

# Names for trees without a config, by version; the last one is ignored.
TABLES = {
    "1.2": (
        Class("Bird", (165, 42, 42), 0),
        Class("Ground Animal", (0, 192, 0), 1),
        Class("Curb", (196, 196, 196), 2),
        Class("Fence", (190, 153, 153), 3),
        Class("Guard Rail", (180, 165, 180), 4),
        Class("Barrier", (90, 120, 150), 5),
        Class("Wall", (102, 102, 156), 6),
        Class("Bike Lane", (128, 64, 255), 7),
        Class("Crosswalk - Plain", (140, 140, 200), 8),
        Class("Curb Cut", (170, 170, 170), 9),
        Class("Parking", (250, 170, 160), 10),
        Class("Pedestrian Area", (96, 96, 96), 11),
        Class("Rail Track", (230, 150, 140), 12),
        Class("Road", (128, 64, 128), 13),
        Class("Service Lane", (110, 110, 110), 14),
        Class("Sidewalk", (244, 35, 232), 15),
        Class("Bridge", (150, 100, 100), 16),
        Class("Building", (70, 70, 70), 17),
        Class("Tunnel", (150, 120, 90), 18),
        Class("Person", (220, 20, 60), 19),
        Class("Bicyclist", (255, 0, 0), 20),
        Class("Motorcyclist", (255, 0, 100), 21),
        Class("Other Rider", (255, 0, 200), 22),
        Class("Lane Marking - Crosswalk", (200, 128, 128), 23),
        Class("Lane Marking - General", (255, 255, 255), 24),
        Class("Mountain", (64, 170, 64), 25),
        Class("Sand", (230, 160, 50), 26),
        Class("Sky", (70, 130, 180), 27),
        Class("Snow", (190, 255, 255), 28),
        Class("Terrain", (152, 251, 152), 29),
        Class("Vegetation", (107, 142, 35), 30),
        Class("Water", (0, 170, 30), 31),
        Class("Banner", (255, 255, 128), 32),
        Class("Bench", (250, 0, 30), 33),
        Class("Bike Rack", (100, 140, 180), 34),
        Class("Billboard", (220, 220, 220), 35),
        Class("Catch Basin", (220, 128, 128), 36),
        Class("CCTV Camera", (222, 40, 40), 37),
        Class("Fire Hydrant", (100, 170, 30), 38),
        Class("Junction Box", (40, 40, 40), 39),
        Class("Mailbox", (33, 33, 33), 40),
        Class("Manhole", (100, 128, 160), 41),
        Class("Phone Booth", (142, 0, 0), 42),
        Class("Pothole", (70, 100, 150), 43),
        Class("Street Light", (210, 170, 100), 44),
        Class("Pole", (153, 153, 153), 45),
        Class("Traffic Sign Frame", (128, 128, 128), 46),
        Class("Utility Pole", (0, 0, 80), 47),
        Class("Traffic Light", (250, 170, 30), 48),
        Class("Traffic Sign (Back)", (192, 192, 192), 49),
        Class("Traffic Sign (Front)", (220, 220, 0), 50),
        Class("Trash Can", (140, 140, 20), 51),
        Class("Bicycle", (119, 11, 32), 52),
        Class("Boat", (150, 0, 255), 53),
        Class("Bus", (0, 60, 100), 54),
        Class("Car", (0, 0, 142), 55),
        Class("Caravan", (0, 0, 90), 56),
        Class("Motorcycle", (0, 0, 230), 57),
        Class("On Rails", (0, 80, 100), 58),
        Class("Other Vehicle", (128, 64, 64), 59),
        Class("Trailer", (0, 0, 110), 60),
        Class("Truck", (0, 0, 70), 61),
        Class("Wheeled Slow", (0, 0, 192), 62),
        Class("Car Mount", (32, 32, 32), 63),
        Class("Ego Vehicle", (120, 10, 10), 64),
        Class("Unlabeled", (0, 0, 0), 65),
    ),
    "2.0": (
        Class("Bird", (165, 42, 42), 0),
        Class("Ground Animal", (0, 192, 0), 1),
        Class("Ambiguous Barrier", (250, 170, 31), 2),
        Class("Concrete Block", (250, 170, 32), 3),
        Class("Curb", (196, 196, 196), 4),
        Class("Fence", (190, 153, 153), 5),
        Class("Guard Rail", (180, 165, 180), 6),
        Class("Barrier", (90, 120, 150), 7),
        Class("Road Median", (250, 170, 33), 8),
        Class("Road Side", (250, 170, 34), 9),
        Class("Lane Separator", (128, 128, 128), 10),
        Class("Temporary Barrier", (250, 170, 35), 11),
        Class("Wall", (102, 102, 156), 12),
        Class("Bike Lane", (128, 64, 255), 13),
        Class("Crosswalk - Plain", (140, 140, 200), 14),
        Class("Curb Cut", (170, 170, 170), 15),
        Class("Driveway", (250, 170, 36), 16),
        Class("Parking", (250, 170, 160), 17),
        Class("Parking Aisle", (250, 170, 37), 18),
        Class("Pedestrian Area", (96, 96, 96), 19),
        Class("Rail Track", (230, 150, 140), 20),
        Class("Road", (128, 64, 128), 21),
        Class("Road Shoulder", (110, 110, 110), 22),
        Class("Service Lane", (110, 110, 110), 23),
        Class("Sidewalk", (244, 35, 232), 24),
        Class("Traffic Island", (128, 196, 128), 25),
        Class("Bridge", (150, 100, 100), 26),
        Class("Building", (70, 70, 70), 27),
        Class("Garage", (150, 150, 150), 28),
        Class("Tunnel", (150, 120, 90), 29),
        Class("Person", (220, 20, 60), 30),
        Class("Person Group", (220, 20, 60), 31),
        Class("Bicyclist", (255, 0, 0), 32),
        Class("Motorcyclist", (255, 0, 100), 33),
        Class("Other Rider", (255, 0, 200), 34),
        Class("Lane Marking - Dashed Line", (255, 255, 255), 35),
        Class("Lane Marking - Straight Line", (255, 255, 255), 36),
        Class("Lane Marking - Zigzag Line", (250, 170, 29), 37),
        Class("Lane Marking - Ambiguous", (250, 170, 28), 38),
        Class("Lane Marking - Arrow (Left)", (250, 170, 26), 39),
        Class("Lane Marking - Arrow (Other)", (250, 170, 25), 40),
        Class("Lane Marking - Arrow (Right)", (250, 170, 24), 41),
        Class("Lane Marking - Arrow (Split Left or Straight)", (250, 170, 22), 42),
        Class("Lane Marking - Arrow (Split Right or Straight)", (250, 170, 21), 43),
        Class("Lane Marking - Arrow (Straight)", (250, 170, 20), 44),
        Class("Lane Marking - Crosswalk", (255, 255, 255), 45),
        Class("Lane Marking - Give Way (Row)", (250, 170, 19), 46),
        Class("Lane Marking - Give Way (Single)", (250, 170, 18), 47),
        Class("Lane Marking - Hatched (Chevron)", (250, 170, 12), 48),
        Class("Lane Marking - Hatched (Diagonal)", (250, 170, 11), 49),
        Class("Lane Marking - Other", (255, 255, 255), 50),
        Class("Lane Marking - Stop Line", (255, 255, 255), 51),
        Class("Lane Marking - Symbol (Bicycle)", (250, 170, 16), 52),
        Class("Lane Marking - Symbol (Other)", (250, 170, 15), 53),
        Class("Lane Marking - Text", (250, 170, 15), 54),
        Class("Lane Marking (only) - Dashed Line", (255, 255, 255), 55),
        Class("Lane Marking (only) - Crosswalk", (255, 255, 255), 56),
        Class("Lane Marking (only) - Other", (255, 255, 255), 57),
        Class("Lane Marking (only) - Test", (255, 255, 255), 58),
        Class("Mountain", (64, 170, 64), 59),
        Class("Sand", (230, 160, 50), 60),
        Class("Sky", (70, 130, 180), 61),
        Class("Snow", (190, 255, 255), 62),
        Class("Terrain", (152, 251, 152), 63),
        Class("Vegetation", (107, 142, 35), 64),
        Class("Water", (0, 170, 30), 65),
        Class("Banner", (255, 255, 128), 66),
        Class("Bench", (250, 0, 30), 67),
        Class("Bike Rack", (100, 140, 180), 68),
        Class("Catch Basin", (220, 128, 128), 69),
        Class("CCTV Camera", (222, 40, 40), 70),
        Class("Fire Hydrant", (100, 170, 30), 71),
        Class("Junction Box", (40, 40, 40), 72),
        Class("Mailbox", (33, 33, 33), 73),
        Class("Manhole", (100, 128, 160), 74),
        Class("Parking Meter", (20, 20, 255), 75),
        Class("Phone Booth", (142, 0, 0), 76),
        Class("Pothole", (70, 100, 150), 77),
        Class("Signage - Advertisement", (250, 171, 30), 78),
        Class("Signage - Ambiguous", (250, 172, 30), 79),
        Class("Signage - Back", (250, 173, 30), 80),
        Class("Signage - Information", (250, 174, 30), 81),
        Class("Signage - Other", (250, 175, 30), 82),
        Class("Signage - Store", (250, 176, 30), 83),
        Class("Street Light", (210, 170, 100), 84),
        Class("Pole", (153, 153, 153), 85),
        Class("Pole Group", (153, 153, 153), 86),
        Class("Traffic Sign Frame", (128, 128, 128), 87),
        Class("Utility Pole", (0, 0, 80), 88),
        Class("Traffic Cone", (210, 60, 60), 89),
        Class("Traffic Light - General (Single)", (250, 170, 30), 90),
        Class("Traffic Light - Pedestrians", (250, 170, 30), 91),
        Class("Traffic Light - General (Upright)", (250, 170, 30), 92),
        Class("Traffic Light - General (Horizontal)", (250, 170, 30), 93),
        Class("Traffic Light - Cyclists", (250, 170, 30), 94),
        Class("Traffic Light - Other", (250, 170, 30), 95),
        Class("Traffic Sign - Ambiguous", (192, 192, 192), 96),
        Class("Traffic Sign (Back)", (192, 192, 192), 97),
        Class("Traffic Sign - Direction (Back)", (192, 192, 192), 98),
        Class("Traffic Sign - Direction (Front)", (220, 220, 0), 99),
        Class("Traffic Sign (Front)", (220, 220, 0), 100),
        Class("Traffic Sign - Parking", (0, 0, 196), 101),
        Class("Traffic Sign - Temporary (Back)", (192, 192, 192), 102),
        Class("Traffic Sign - Temporary (Front)", (220, 220, 0), 103),
        Class("Trash Can", (140, 140, 20), 104),
        Class("Bicycle", (119, 11, 32), 105),
        Class("Boat", (150, 0, 255), 106),
        Class("Bus", (0, 60, 100), 107),
        Class("Car", (0, 0, 142), 108),
        Class("Caravan", (0, 0, 90), 109),
        Class("Motorcycle", (0, 0, 230), 110),
        Class("On Rails", (0, 80, 100), 111),
        Class("Other Vehicle", (128, 64, 64), 112),
        Class("Trailer", (0, 0, 110), 113),
        Class("Truck", (0, 0, 70), 114),
        Class("Vehicle Group", (0, 0, 142), 115),
        Class("Wheeled Slow", (0, 0, 192), 116),
        Class("Water Valve", (170, 170, 170), 117),
        Class("Car Mount", (32, 32, 32), 118),
        Class("Dynamic", (111, 74, 0), 119),
        Class("Ego Vehicle", (120, 10, 10), 120),
        Class("Ground", (81, 0, 81), 121),
        Class("Static", (111, 111, 0), 122),
        Class("Unlabeled", (0, 0, 0), 123),
    ),
}
FOLDERS = {"train": "training", "val": "validation"}
SPLITS = {"train": 18000, "val": 2000}


class Builder(builder.Builder):
    """Mapillary Vistas: streets all over the world."""

    VERSION = tfds.core.Version("1.0.0")
    URL = "https://www.mapillary.com/dataset/vistas"
    LICENCE = "CC BY-NC-SA 4.0"
    LAYOUT = (
        "{training,validation}/images/*.jpg and masks of the same names in {training,validation}/v1.2/labels/*.png and "
        "v2.0/labels/*.png, or, in packages before 2.0, {training,validation}/labels/*.png. To obtain them: register at "
        f"{URL}"
    )

    def __init__(self, source: Path, cache: Path, *, version: str = "1.2"):
        """`version` of the labels: "1.2" (65 classes; also those of older packages) or "2.0" (123)."""
        if version not in TABLES:
            raise ValueError(
                f'Expected mapillary_vistas(version="1.2") or mapillary_vistas(version="2.0"). Received: version={version!r}.'
            )
        old = version == "1.2" and not any((source / folder / "v1.2").is_dir() for folder in FOLDERS.values())
        labels = "labels" if old else f"v{version}/labels"
        splits = {s: listing.pairs(source / f / "images", source / f / labels) for s, f in FOLDERS.items()}
        classes, ignored = _table(source / ("config.json" if old else f"config_v{version}.json"), TABLES[version])
        super().__init__(
            source, cache, classes=classes, ignored=ignored, splits=splits, options={"version": version}
        )  # fmt: skip


def _table(path, table):
    """The classes and the ignored rows, from a config, or from `table` if there is no such file."""
    if not path.is_file():
        return table[:-1], table[-1:]
    try:
        labels = json.loads(path.read_text())["labels"]
        kind = "readable" if len({label["readable"] for label in labels}) == len(labels) else "name"
        rows = [(Class(label[kind], tuple(label["color"]), i), label["evaluate"]) for i, label in enumerate(labels)]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"Expected labels with name, readable, color and evaluate. Received: {type(error).__name__}: {error} in {path}. "
            "Unpack it again, or remove it: the table is known."
        ) from error
    if len(rows) != len(table):
        raise ValueError(
            f"Expected the {len(table)} labels of this version. Received: {len(rows)} in {path}. Ask for the other version."
        )
    return [row for row, evaluated in rows if evaluated], [row for row, evaluated in rows if not evaluated]
