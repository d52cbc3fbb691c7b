"""Supervisely projects: meta.json, and for each data set a folder with img/ and ann/<image>.json.

Later objects cover earlier ones. Like Supervisely's SDK, we fill a polygon with its outline and without its interior
polygons. A bitmap is a PNG, compressed by zlib, in base64, with the position of its upper left corner.
Source: developer.supervisely.com, "Objects".
"""

import base64
import binascii
import posixpath
import zlib

import cv2
import numpy as np
from tqdm import tqdm

from input_pipeline.source.files import FAULTS, IMAGES
from input_pipeline.source.foreign.export import Export, Item, table
from input_pipeline.source.foreign.shapes import Region, bitmap, corners, paint, region
from input_pipeline.source.foreign.tree import Tree, listed, split_in, split_of

TITLE = "a Supervisely project"
_DRAWN = ("polygon", "bitmap", "alpha_mask", "rectangle")


def recognises(tree: Tree) -> bool:
    """Whether the folder has meta.json with classes, and annotations in folders called ann."""
    return any("classes" in tree.keys(name) for name in tree.called("meta.json")) and bool(_annotations(tree))


def read(tree: Tree) -> Export:
    """Reads meta.json and every annotation."""
    metas = tree.called("meta.json")
    meta = tree.json(metas[0])
    if any(tree.json(other).get("classes") != meta["classes"] for other in metas[1:]):
        raise ValueError(
            f"Expected one project. Received: {tree.root}, which has {', '.join(metas)}. Give one's folder."
        )
    found = table([(c["title"], _color(c.get("color")), None) for c in meta["classes"]])
    items, faults = [], []
    for name in tqdm(_annotations(tree), "Reading", unit=" files", delay=1):
        try:
            annotation = tree.json(name)
            regions, size, other = _regions(annotation, found)
            folder = posixpath.dirname(posixpath.dirname(name))
            wanted = posixpath.basename(name).removesuffix(".json")
            if wanted.lower().endswith(IMAGES):
                image = tree.image(wanted, posixpath.join(folder, "img"), split_of(name))
            else:  # old projects have ann/<name without extension>.json
                image = tree.image_of(posixpath.join(folder, "img", wanted))
        except (AttributeError, KeyError, TypeError) as error:
            faults.append(f"{name}: Expected an annotation of Supervisely. Received: {error!r}. Export it again")
        except FAULTS as error:
            faults.append(str(error) if str(error).startswith(name) else f"{name}: {error}")
        else:
            tags = (str(tag.get("name", "")).lower() for tag in annotation.get("tags") or ())
            split = split_of(name) or next(filter(None, map(split_in, tags)), "")
            items.append(Item(name, image, _drawer(regions, found.background, other), size, split))
    alone = sorted(set(tree.images) - {item.image for item in items})
    notes = listed("images have no annotation, or one with a fault, and are left out", alone)
    return Export(TITLE, found.classes, items, found.notes + notes, faults)


def _annotations(tree):
    return [name for name in tree.ending(".json") if posixpath.basename(posixpath.dirname(name)) == "ann"]


def _color(text):
    """(r, g, b) of `#RRGGBB`."""
    try:
        return tuple(bytes.fromhex(text.removeprefix("#"))) if text and len(text) == 7 else None
    except ValueError:
        return None


def _regions(annotation, found):
    """(objects to draw, size, kinds of objects that cannot be drawn). Bitmaps are decoded when they are drawn."""
    objects, other = [], []
    for i, each in enumerate(annotation["objects"]):
        title, kind = each["classTitle"], each.get("geometryType", "")
        if title not in found.ids:
            raise ValueError(f"object {i} has the class {title!r}. Expected one of meta.json. Export it again")
        what = f"{kind} {i} ({title})"
        if kind == "polygon":
            points = each["points"]
            outlines = [corners(points["exterior"], 3, what)]
            outlines += [corners(inner, 3, f"{what}, interior") for inner in points.get("interior") or ()]
            objects.append((found.ids[title], kind, outlines, what))
        elif kind == "rectangle":
            objects.append((found.ids[title], kind, [corners(each["points"]["exterior"], 2, what)], what))
        elif kind in _DRAWN:
            held = each.get(kind) or each["bitmap"]
            objects.append((found.ids[title], kind, (held["data"], held["origin"]), what))
        else:
            other.append(f"objects of the kind {kind}")
    size = annotation.get("size") or {}
    return objects, (int(size["height"]), int(size["width"])) if size else None, other


def _drawer(objects, background, other):
    def draw(size):
        drawn = paint((_region(each, size) for each in objects), size, background)
        drawn.dropped.update(other)
        return drawn

    return draw


def _region(each, size):
    class_id, kind, held, what = each
    if kind in ("bitmap", "alpha_mask"):
        data, (x, y) = held
        try:
            return Region(bitmap(zlib.decompress(base64.b64decode(data))), class_id, int(x), int(y))
        except (binascii.Error, *FAULTS) as error:
            raise ValueError(f"{what}: expected a PNG, compressed by zlib, in base64. Received: {error}") from error
    inside = np.zeros(size, np.uint8)
    outline, *holes = (np.rint(points).astype(np.int32) for points in held)
    if kind == "rectangle":
        (left, top), (right, bottom) = outline.min(0), outline.max(0)
        inside[max(top, 0) : max(bottom + 1, 0), max(left, 0) : max(right + 1, 0)] = 1
    else:
        cv2.fillPoly(inside, [outline], 1)
        for hole in holes:
            cv2.fillPoly(inside, [hole], 0)
    return region(inside.astype(bool), class_id)
