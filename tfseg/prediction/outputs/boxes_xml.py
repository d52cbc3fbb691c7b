"""`boxes_xml/NAME.xml`: the objects of an image as PASCAL VOC annotates them, which labelling tools open.

VOC counts pixels from 1, and the last column and row of a box belong to it. `folder(boxes="..")` reads these files.
"""

import pathlib
import xml.etree.ElementTree as ElementTree

from tfseg.prediction.outputs import Output
from tfseg.prediction.outputs.boxes import check


def boxes_xml() -> Output:
    """Refuses a network that finds no objects."""

    def draw(prediction, run):
        root = ElementTree.Element("annotation")
        _add(root, filename=pathlib.Path(prediction.source).name)
        height, width = prediction.label.shape
        _add(ElementTree.SubElement(root, "size"), width=width, height=height, depth=3)
        _add(root, segmented=0)
        for one in prediction.objects.listed:
            item = ElementTree.SubElement(root, "object")
            _add(item, name=run.names[one.kind], difficult=0, score=round(one.score, 4))
            left, top, right, bottom = (round(edge) for edge in one.box)
            edges = {"xmin": left + 1, "ymin": top + 1, "xmax": max(right, left + 1), "ymax": max(bottom, top + 1)}
            _add(ElementTree.SubElement(item, "bndbox"), **edges)
        ElementTree.indent(root)
        return ElementTree.tostring(root) + b"\n"

    return Output("boxes_xml", draw, ".xml", needs_objects=True, check_run=check)


def _add(element, **values):
    for name, value in values.items():
        ElementTree.SubElement(element, name).text = str(value)
