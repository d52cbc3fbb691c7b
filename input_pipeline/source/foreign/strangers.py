"""Names exports that we recognise but cannot read: boxes, which are no masks, and formats for which we have no reader."""

import re

from input_pipeline.source.foreign.tools import yolo
from input_pipeline.source.foreign.tree import Tree

ADVICE = "Export it as COCO JSON or as masks, and convert that: python main.py --mode=convert --data_dir=<export> ..."
_KEYS = (
    ("a VGG Image Annotator (VIA) project", {"_via_img_metadata"}),
    ("a SuperAnnotate export", {"instances", "metadata"}),
    ("a Labelbox export", {"data_row"}),
    ("a V7 Darwin export", {"item", "annotations"}),
    ("a Datumaro export", {"items", "categories"}),
    ("a CreateML export (boxes)", {"[]", "image", "annotations"}),
)
_HEADS = (  # patterns for the first 4 KB of a file
    (".xml", r"<annotations>.*<(version|meta)>", "a CVAT XML export"),
    (".xml", r"<annotation>.*<polygon>", "LabelMe XML files"),
    (".xml", r"<annotation>.*<bndbox>", "PASCAL VOC XML files (boxes)"),
    (".csv", r"^#?filename,file_size,file_attributes", "a VGG Image Annotator (VIA) table"),
    (".ndjson", r'"data_row"', "a Labelbox export"),
    (".json", r'^\{\s*"[^"]+"\s*:\s*\{\s*"filename".*"regions"', "VGG Image Annotator (VIA) annotations"),
)
_LOOKED_AT = 3  # files of each kind that are opened


def title(tree: Tree) -> str:
    """The name of the export in the folder if it is one of these, otherwise ""."""
    for held, keys in _KEYS:
        if any(keys <= found for found in tree.sampled.values()):
            return held
    for end, pattern, held in _HEADS:
        for name in tree.ending(end)[:_LOOKED_AT]:
            with (tree.root / name).open(encoding="utf-8-sig", errors="replace") as file:
                if re.search(pattern, file.read(4096), re.DOTALL):
                    return held
    return "YOLO labels that are boxes or key points" if yolo.lines_of_boxes(tree) else ""
