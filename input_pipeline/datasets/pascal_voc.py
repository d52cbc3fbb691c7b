"""PASCAL VOC 2012 segmentation, and with the Semantic Boundaries Dataset (SBD): 1,464 or 10,582 images to train on.

M. Everingham et al. The PASCAL Visual Object Classes Challenge: A Retrospective. IJCV, 2015.
B. Hariharan et al. Semantic contours from inverse detectors. ICCV, 2011.

The border around VOC's objects is ignored. SBD's masks have no such border; they are used for images for which VOC has no mask.
(Some other programs use SBD's masks for all images, so their training sets differ slightly.) The masks of the 1,456 test images
are not public.
"""

import functools
from pathlib import Path

import tensorflow_datasets as tfds

from input_pipeline.preparation import builder
from input_pipeline.source import listing, matlab
from input_pipeline.source.annotations import beside, ids
from input_pipeline.source.class_tables import Class
from input_pipeline.source.files import IGNORE

CLASSES = (
    Class("background", (0, 0, 0), 0),
    Class("aeroplane", (128, 0, 0), 1),
    Class("bicycle", (0, 128, 0), 2),
    Class("bird", (128, 128, 0), 3),
    Class("boat", (0, 0, 128), 4),
    Class("bottle", (128, 0, 128), 5),
    Class("bus", (0, 128, 128), 6),
    Class("car", (128, 128, 128), 7),
    Class("cat", (64, 0, 0), 8),
    Class("chair", (192, 0, 0), 9),
    Class("cow", (64, 128, 0), 10),
    Class("diningtable", (192, 128, 0), 11),
    Class("dog", (64, 0, 128), 12),
    Class("horse", (192, 0, 128), 13),
    Class("motorbike", (64, 128, 128), 14),
    Class("person", (192, 128, 128), 15),
    Class("pottedplant", (0, 64, 0), 16),
    Class("sheep", (128, 64, 0), 17),
    Class("sofa", (0, 192, 0), 18),
    Class("train", (128, 192, 0), 19),
    Class("tvmonitor", (0, 64, 128), 20),
)
IGNORED = (Class("border", (224, 224, 192), IGNORE),)
SPLITS = {"train": 1464, "val": 1449}
TRAIN_WITH_SBD = 10582


class Builder(builder.Builder):
    """PASCAL VOC 2012: 20 kinds of objects before a background."""

    VERSION = tfds.core.Version("1.0.0")
    URL = "http://host.robots.ox.ac.uk/pascal/VOC/voc2012"
    LICENCE = "images under the Flickr terms of use"
    LAYOUT = (
        "VOCdevkit/VOC2012 with JPEGImages/*.jpg, SegmentationClass/*.png and ImageSets/Segmentation/{train,val}.txt. To "
        f"obtain it: unpack VOCtrainval_11-May-2012.tar of {URL}. With pascal_voc(sbd=True) also benchmark_RELEASE/dataset "
        "with cls/*.mat, train.txt and val.txt, as benchmark.tgz of http://home.bharathh.info/pubs/codes/SBD unpacks, or "
        "SegmentationClassAug/*.png in VOC2012"
    )

    def __init__(self, source: Path, cache: Path, *, sbd: bool = False, boxes: bool = False):
        """`sbd` adds SBD's images, except those of the val split, to the train split. `boxes` adds the boxes in Annotations."""
        voc = listing.root(source, "VOCdevkit/VOC2012", "VOC2012", holds="JPEGImages")
        names = {split: _names(voc / "ImageSets" / "Segmentation" / f"{split}.txt") for split in SPLITS}
        masks = {name: voc / "SegmentationClass" / f"{name}.png" for split in SPLITS for name in names[split]}
        if sbd:
            if not names["val"]:
                raise FileNotFoundError(
                    f"Expected {voc}/ImageSets/Segmentation/val.txt: images of the val split are in SBD too and must not be "
                    "trained on. Received: no such list. Copy it there."
                )
            masks = _sbd_masks(source, voc) | masks
            names["train"] = sorted(masks.keys() - set(names["val"]))
        splits = {
            split: [listing.Example(name, voc / "JPEGImages" / f"{name}.jpg", masks[name]) for name in names[split]]
            for split in SPLITS
        }
        if boxes:
            splits = {s: beside(chosen, voc / "Annotations", ".xml", ids(CLASSES)) for s, chosen in splits.items()}
        super().__init__(
            source,
            cache,
            classes=CLASSES,
            ignored=IGNORED,
            splits=splits,
            boxes=boxes,
            options={"sbd": sbd, "boxes": boxes},
        )


def _sbd_masks(source, voc):
    """The masks of SBD by the name of the image, from its release or from a folder of converted masks."""
    release = listing.root(source, "benchmark_RELEASE/dataset", "benchmark_RELEASE", "dataset", holds="cls")
    if (release / "cls").is_dir():
        names = [name for split in SPLITS for name in _names(release / f"{split}.txt")]
        files = {name: release / "cls" / f"{name}.mat" for name in names}
        masks = {name: listing.Part(path, "GTcls", functools.partial(_read, path)) for name, path in files.items()}
    else:
        masks = listing.stems(voc / "SegmentationClassAug")
    if not masks:
        raise FileNotFoundError(f"Expected in data_dir {Builder.LAYOUT}. Received: {source}, which holds no SBD.")
    return masks


def _read(path):
    """The ids of one of SBD's masks, uint8 [H, W]."""
    try:
        return matlab.read(path)["GTcls"]["Segmentation"]
    except (KeyError, TypeError) as error:
        raise ValueError("Expected a structure GTcls with Segmentation. Received: none. Unpack SBD again") from error


def _names(path):
    """The names in a list, one in each line; empty if there is no such list."""
    return path.read_text().split() if path.is_file() else []
