"""NYU Depth v2: 1,449 indoor images of a Kinect, 40 or 13 classes; the colour images only.

N. Silberman, D. Hoiem, P. Kohli, R. Fergus. Indoor segmentation and support inference from RGBD images. ECCV 2012.
The 40 classes are those of S. Gupta, P. Arbelaez, J. Malik (CVPR 2013); the 13 classes are those of C. Couprie et al.
(arXiv:1301.3572), with the ids of A. Handa's files. The published splits are train (795) and test (654). `val_fraction` makes a
val split from a part of train.

The source is either the official files or, for 13 classes, A. Handa's archives (URL below), whichever is found first:

    nyu_depth_v2_labeled.mat (2.8 GB), splits.mat and classMapping40.mat in one folder
    nyu_train_rgb/nyu_rgb_0003.png with nyuv2_train_class13/new_nyu_class13_0003.png, likewise nyu_test_rgb, nyuv2_test_class13:
    the number, 1 to 1449, says which mask belongs to which image
"""

import functools
import re
from pathlib import Path

import h5py
import numpy as np
import tensorflow_datasets as tfds

from input_pipeline.preparation import builder
from input_pipeline.source import files, listing, matlab
from input_pipeline.source.class_tables import Class, voc_color
from input_pipeline.source.listing import Example, Part

# Names of shelhamer/fcn.berkeleyvision.org, data/nyud/classes.txt; there is no official palette.
NAMES = (
    "wall",
    "floor",
    "cabinet",
    "bed",
    "chair",
    "sofa",
    "table",
    "door",
    "window",
    "bookshelf",
    "picture",
    "counter",
    "blinds",
    "desk",
    "shelves",
    "curtain",
    "dresser",
    "pillow",
    "mirror",
    "floor mat",
    "clothes",
    "ceiling",
    "books",
    "refrigerator",
    "television",
    "paper",
    "towel",
    "shower curtain",
    "box",
    "whiteboard",
    "person",
    "night stand",
    "toilet",
    "sink",
    "lamp",
    "bathtub",
    "bag",
    "other structure",
    "other furniture",
    "other prop",
)
# Colours of ankurhanda/SceneNetv1.0, whose paper reports on these classes.
CLASSES_13 = (
    Class("bed", (0, 0, 255), 1),
    Class("books", (233, 89, 48), 2),
    Class("ceiling", (0, 218, 0), 3),
    Class("chair", (149, 0, 240), 4),
    Class("floor", (222, 241, 24), 5),
    Class("furniture", (255, 206, 206), 6),
    Class("objects", (0, 224, 229), 7),
    Class("picture", (106, 136, 204), 8),
    Class("sofa", (117, 29, 41), 9),
    Class("table", (240, 35, 235), 10),
    Class("tv", (0, 167, 156), 11),
    Class("wall", (249, 139, 0), 12),
    Class("window", (225, 229, 194), 13),
)
CLASSES = {40: tuple(Class(name, voc_color(i + 1), i + 1) for i, name in enumerate(NAMES)), 13: CLASSES_13}
IGNORED = (Class("unlabelled", (0, 0, 0), 0),)
SPLITS = {"train": 795, "test": 654}
# For each of the 40 classes its id among the 13: class13Mapping.mat of ankurhanda/nyuv2-meta-data.
TO_13 = (12, 5, 6, 1, 4, 9, 10, 12, 13, 6, 8, 6, 13, 10, 6, 13, 6, 7, 7, 5, 7, 3, 2, 6, 11, 7, 7, 7, 7, 7, 7, 6) + (
    (7,) * 6 + (6, 7)
)
# The part inside the white border that rectification left: (45:471, 41:601) in the official toolbox, which counts from 1 and
# includes the last one. It has 427 x 561 of 480 x 640 pixels.
INSIDE = (slice(44, 471), slice(40, 601))
MAT = "nyu_depth_v2_labeled.mat"


class Builder(builder.Builder):
    """NYU Depth v2: indoor images, 40 or 13 classes."""

    VERSION = tfds.core.Version("1.0.0")
    URL = "https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html"
    LICENCE = "none stated: for research, with a citation of the paper"
    LAYOUT = (
        f"{MAT}, splits.mat and classMapping40.mat; or, of 13 classes, the folders nyu_train_rgb, nyu_test_rgb, "
        f"nyuv2_train_class13, nyuv2_test_class13. To obtain them: {MAT} at {URL}, the others at "
        "https://github.com/ankurhanda/nyuv2-meta-data, each archive unpacked in a folder of its name"
    )

    def __init__(
        self,
        source: Path,
        cache: Path,
        *,
        classes: int = 40,
        crop: bool = False,
        val_fraction: float = 0.0,
        seed: int = 0,
    ):
        """`crop` cuts off the white border. `val_fraction` of the train images, chosen by `seed`, become the val split."""
        if classes not in CLASSES:
            raise ValueError(f"Expected nyuv2(classes=40) or nyuv2(classes=13). Received: classes={classes!r}.")
        found = _in_mat if (source / MAT).is_file() else _in_folders
        splits = found(source, classes, crop)
        super().__init__(
            source,
            cache,
            classes=CLASSES[classes],
            ignored=IGNORED,
            splits=splits | listing.held_out(splits["train"], val_fraction, seed),
            options={"classes": classes, "crop": crop, "val_fraction": val_fraction, "seed": seed},
        )


def _in_mat(source, classes, crop):
    """The examples of the official files, which are read in place."""
    path, needed = source / MAT, [source / name for name in ("splits.mat", "classMapping40.mat")]
    for file in needed:
        if not file.is_file():
            raise FileNotFoundError(f"Expected {file.name} beside {path}. Received: none. {Builder.LAYOUT}.")
    try:
        splits, mapping = map(matlab.read, needed)
        to_class = np.concatenate([[0], mapping["mapClass"].ravel()]).astype(np.uint8)
        numbers = {split: splits[f"{split}Ndxs"].ravel().astype(int) for split in SPLITS}
        with h5py.File(path, "r") as file:
            images, labels = (getattr(file[key], "shape", ()) for key in ("images", "labels"))
    except (KeyError, OSError) as error:
        raise ValueError(f"Expected the official files in {source}. Received: {error}. Download them again.") from error
    if len(images) != 4 or images[1] != 3 or labels != (images[0], *images[2:]):
        raise ValueError(
            f"Expected images [n, 3, width, height] and labels [n, width, height] in {path}. "
            f"Received: {list(images)} and {list(labels)}. Download it again."
        )
    if classes == 13:
        to_class = np.array((0, *TO_13), np.uint8)[to_class]
    outside = sorted(set(np.concatenate(list(numbers.values())).tolist()) - set(range(1, images[0] + 1)))
    if outside:
        raise ValueError(
            f"Expected numbers of the {images[0]} images in {path}. Received: {outside[0]} in {needed[0]}."
        )
    part = INSIDE if crop else (slice(None), slice(None))
    return {
        split: [
            Example(
                f"{n:04}",
                Part(path, f"image {n}", functools.partial(_image, path, n, part)),
                Part(path, f"labels {n}", functools.partial(_labels, path, n, part, to_class)),
            )
            for n in chosen.tolist()
        ]
        for split, chosen in numbers.items()
    }


def _in_folders(source, classes, crop):
    """The examples of the unpacked archives."""
    found = {}
    for split in SPLITS:
        images = listing.stems(source / f"nyu_{split}_rgb")
        if images and classes != 13:
            raise ValueError(
                f"Expected nyuv2(classes=13) for {source}: the archives have no other masks. "
                f"Received: classes={classes}. Ask for 13, or put {MAT}, splits.mat and classMapping40.mat there."
            )
        masks = {_number(stem): path for stem, path in listing.stems(source / f"nyuv2_{split}_class13").items()}
        found[split] = []
        for number, image in ((_number(stem), path) for stem, path in images.items()):
            mask = masks.get(number, source / f"nyuv2_{split}_class13" / f"new_nyu_class13_{number}.png")
            if crop:
                image, mask = _inside(image, _pixels), _inside(mask, files.read_mask)
            found[split].append(Example(number, image, mask))
    return found


def _pixels(path):
    return files.read_image(path)[1]


def _inside(path, read):
    return Part(path, "inside the frame", functools.partial(_cropped, path, read))


def _cropped(path, read):
    return read(path)[INSIDE]


def _number(stem):
    """The four digits at the end of a file's name."""
    return re.search(r"\d*$", stem)[0].zfill(4)


def _image(path, number, part):
    with h5py.File(path, "r") as file:
        return np.ascontiguousarray(file["images"][number - 1].transpose(2, 1, 0)[part])  # MATLAB stores columns


def _labels(path, number, part, to_class):
    with h5py.File(path, "r") as file:
        raw = file["labels"][number - 1].T[part]
    if raw.max(initial=0) >= len(to_class):
        raise ValueError(f"Expected labels 0 to {len(to_class) - 1}. Received: {raw.max()}. Download both files again")
    return to_class[raw]
