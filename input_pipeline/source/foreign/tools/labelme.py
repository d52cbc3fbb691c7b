"""labelme's own files: one JSON with shapes for each image. We draw them as labelme's converter does, later over earlier.

Source: wkentaro/labelme, `_utils/_shape.py` (outlines belong to the shape, lines are 10 pixels wide, points have a radius
of 5) and `_label_file.py` (an image is turned according to EXIF before it is annotated). A group_id joins shapes to one
object, which makes no difference in a mask of classes. X-AnyLabeling writes the same files; it calls oriented rectangles
`rotation`.
"""

import base64
import collections
import math
import posixpath

import numpy as np
from PIL import Image, ImageDraw
from tqdm import tqdm

from input_pipeline.source.foreign.export import Drawn, Export, Item, table
from input_pipeline.source.foreign.shapes import NOTHING, bitmap, corners
from input_pipeline.source.foreign.tree import Tree, listed, split_of

TITLE = "labelme JSON files"
LINE, POINT = 10, 5  # the width of a line and the radius of a point, pixels
_KEYS = {"shapes", "imagePath"}
_TABLES = ("labels.txt", "class_names.txt")
# The least and the largest number of points of a shape.
_POINTS = {
    "polygon": (3, math.inf),
    "rectangle": (2, 2),
    "oriented_rectangle": (4, 4),
    "circle": (2, 2),
    "line": (2, 2),
}
_POINTS |= {"rotation": (4, 4), "linestrip": (2, math.inf), "point": (1, 1), "mask": (2, 2)}


def recognises(tree: Tree) -> bool:
    """Whether there are JSON files of labelme."""
    return any(found >= _KEYS and "[]" not in found for found in tree.sampled.values())


def read(tree: Tree) -> Export:
    """Reads every JSON file. The order of the classes is that of labels.txt, otherwise alphabetical."""
    read, faults, others, kinds = {}, [], [], collections.Counter()
    for name in tqdm(tree.ending(".json"), "Reading", unit=" files", delay=1):
        try:
            found = tree.json(name)
            if not isinstance(found, dict) or not found.keys() >= _KEYS:
                others.append(name)
                continue
            embedded = bool(found.get("imageData"))
            shapes = [_checked(shape, i) for i, shape in enumerate(found["shapes"])]
            read[name] = shapes, str(found["imagePath"]), _size(found), embedded
            kinds.update(kind for _, kind, _, _ in shapes)
        except ValueError as error:
            faults.append(str(error) if str(error).startswith(name) else f"{name}: {error}")
    used = sorted({label for shapes, *_ in read.values() for label, *_ in shapes})
    stated = [
        line.strip() for name in tree.called(*_TABLES)[:1] for line in tree.text(name).splitlines() if line.strip()
    ]
    names = list(dict.fromkeys(stated + used))
    if faults and not used:
        return Export(TITLE, [], [], [], faults)  # the faults say more than an error about missing classes
    found = table([(name, None, None) for name in names])
    items = []
    for name, (shapes, path, size, embedded) in read.items():
        data = _embedded(tree, name) if embedded else None
        try:
            image = tree.image(path, posixpath.dirname(name), split_of(name))
        except (FileNotFoundError, ValueError) as error:
            if not data:
                faults.append(f"{name}: {error}")
                continue
            image = posixpath.join(posixpath.dirname(name), posixpath.basename(path.replace("\\", "/")))
        draw = _drawer(shapes, found)
        items.append(Item(name, image, draw, size, split_of(name), data if image not in tree.there else None))
    notes = [*found.notes, *listed("JSON files are not labelme's and are left out", others)]
    notes += listed("images have no JSON file and are left out", sorted(set(tree.images) - {i.image for i in items}))
    for kinds_of, how in ((("line", "linestrip"), f"{LINE} pixels wide"), (("point",), f"as discs of radius {POINT}")):
        count = sum(kinds[kind] for kind in kinds_of)
        notes += [f"{count} shapes ({' or '.join(kinds_of)}) are drawn {how}, as labelme does."] if count else []
    return Export(TITLE, found.classes, items, notes, faults)


def _checked(shape, i):
    """(label, kind, points, encoded mask or None) of a shape."""
    if not isinstance(shape, dict) or not isinstance(shape.get("label"), str):
        raise ValueError(f"shape {i} has no label. Expected one. Export it again")
    kind = shape.get("shape_type") or "polygon"
    points = shape.get("points") or ()
    if kind in _POINTS:
        least, most = (4, 4) if kind == "rectangle" and len(points) == 4 else _POINTS[kind]
        points = corners(points, least, f"{kind} {i} ({shape['label']})")
        if len(points) > most:
            raise ValueError(f"{kind} {i} ({shape['label']}) has {len(points)} points. Expected {most}. Draw it again")
        if kind == "mask" and not shape.get("mask"):
            raise ValueError(f"mask {i} ({shape['label']}) has no pixels. Draw it again, or remove it")
    return shape["label"], kind, points, shape.get("mask") if kind == "mask" else None


def _size(found):
    size = found.get("imageHeight"), found.get("imageWidth")
    return tuple(map(int, size)) if all(size) else None


def _embedded(tree, name):
    """Returns a function that reads the image inside a JSON file."""
    return lambda: base64.b64decode(tree.json(name)["imageData"])


def _drawer(shapes, found):
    def draw(size):
        canvas, dropped = Image.new("L", size[::-1], found.background), collections.Counter()
        for label, kind, points, mask in shapes:
            if kind not in _POINTS:
                dropped[f"shapes of the unknown kind {kind}"] += 1
                continue
            reach = {"circle": _radius(points), "point": POINT, "line": LINE / 2, "linestrip": LINE / 2}.get(kind, 0)
            if (points.max(0) + reach < 0).any() or (points.min(0) - reach >= size[::-1]).any():
                dropped[NOTHING] += 1
            else:
                _draw(canvas, kind, points, mask, found.ids[label])
        return Drawn(np.array(canvas), dropped)

    return draw


def _radius(points):
    return math.dist(points[0], points[-1])


def _draw(canvas, kind, points, mask, class_id):
    pen, xy = ImageDraw.Draw(canvas), [tuple(point) for point in points.tolist()]
    if kind == "mask":
        pixels = bitmap(base64.b64decode(mask))
        if (points == np.trunc(points)).all():  # whole numbers are the corner pixels, and the lower right one is inside
            width, height = (points[1] - points[0]).astype(int) + 1
            pixels = pixels[:height, :width]
        canvas.paste(class_id, tuple(np.rint(points[0]).astype(int).tolist()), Image.fromarray(pixels))
    elif kind == "circle":
        pen.ellipse([*(points[0] - _radius(points)), *(points[0] + _radius(points))], fill=class_id, outline=class_id)
    elif kind == "point":
        pen.ellipse([*(points[0] - POINT), *(points[0] + POINT)], fill=class_id, outline=class_id)
    elif kind == "rectangle" and len(xy) == 2:
        pen.rectangle([*points.min(0), *points.max(0)], fill=class_id, outline=class_id)
    elif kind in ("line", "linestrip"):
        pen.line(xy, fill=class_id, width=LINE, joint="curve" if kind == "linestrip" else None)
    else:
        pen.polygon(xy, fill=class_id, outline=class_id)
