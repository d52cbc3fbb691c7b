"""labelme's export to PASCAL VOC's layout (labelme2voc.py): class_names.txt, masks with a palette, images.

The id of a class is its line in class_names.txt, counted from 0; 255 is ignored. `SegmentationClass` holds the masks, or
NumPy arrays; in that case `SegmentationClassPNG` holds the masks. Source: wkentaro/labelme, examples/semantic_segmentation.
"""

from input_pipeline.source.files import IGNORE
from input_pipeline.source.foreign import voc
from input_pipeline.source.foreign.export import Export, mask_ids, table
from input_pipeline.source.foreign.tree import Tree

TITLE = "labelme's PASCAL VOC export"


def recognises(tree: Tree) -> bool:
    """Whether the folder has class_names.txt and masks."""
    return bool(tree.called("class_names.txt") and voc.masks(tree))


def read(tree: Tree) -> Export:
    """Reads class_names.txt and lists the masks."""
    names = [line.strip() for line in tree.text(tree.called("class_names.txt")[0]).splitlines() if line.strip()]
    names = [name for name in names if name != "__ignore__"]  # its id is -1, so it is not counted
    found = table([(name, None, i) for i, name in enumerate(names)], background=False)
    items, notes, faults = voc.items(tree, mask_ids, [*(c.raw for c in found.classes), IGNORE])
    return Export(TITLE, found.classes, items, found.notes + notes, faults)
