"""COCO JSON: instances (also crowds) as polygons or run lengths, panoptic PNGs, Roboflow's _annotations.coco.json per split.

A smaller object covers a larger one, so that it stays visible. Of two objects of the same size, the later one covers the
earlier one. A crowd is drawn like any object. Several files are several splits, which their names or folders tell.
Source: cocodataset.org, "Data format".
"""

import collections
import posixpath

import numpy as np

from input_pipeline.source import files
from input_pipeline.source.foreign.export import Drawn, Export, Item, Table, table
from input_pipeline.source.foreign.shapes import corners, paint, polygons, run_lengths
from input_pipeline.source.foreign.tree import Tree, listed, split_in, split_of

TITLE = "COCO JSON"
_BOXES = "annotations without a segmentation (boxes, key points)"


def recognises(tree: Tree) -> bool:
    """Whether there are COCO JSON files."""
    return any(_is_coco(keys) for keys in tree.sampled.values())


def read(tree: Tree) -> Export:
    """Reads every JSON file that has segmentations or panoptic segments."""
    every, others, faults = tree.documents(_is_coco)
    used = _chosen(every)
    if not used:
        raise ValueError(
            f"Expected COCO JSON with segmentations. Received: {tree.root}, whose annotations have none (boxes are no masks)."
        )
    others += [name for name in every if name not in used]
    rows, notes = _categories(used)
    found = table(rows)
    items, empty, crowds = [], [], 0
    for name, content in used.items():
        labels = {c["id"]: found.ids[str(c["name"])] for c in content["categories"] if str(c["name"]) in found.ids}
        by_image = collections.defaultdict(list)
        for annotation in content["annotations"]:
            by_image[annotation.get("image_id")].append(annotation)
        crowds += sum(bool(a.get("iscrowd")) for a in content["annotations"])
        split = split_in(posixpath.basename(name)) or split_of(name)
        for entry in content["images"]:
            own = by_image.pop(entry.get("id"), [])
            try:
                image = tree.image(entry["file_name"], posixpath.dirname(name), split)
                size = (
                    (int(entry["height"]), int(entry["width"])) if entry.get("height") and entry.get("width") else None
                )
            except (KeyError, TypeError) as error:
                faults.append(f"{name}: Expected images with a file_name. Received: {str(entry)[:80]}, without {error}")
            except (FileNotFoundError, ValueError) as error:
                faults.append(f"{name}: {error}")
            else:
                empty += [] if own else [image]
                panoptic = any("segments_info" in a for a in own)
                draw = _panoptic(tree, name, own, labels) if panoptic else _drawer(own, labels, found)
                items.append(Item(f"{name} ({entry['file_name']})", image, draw, size, split or split_of(image)))
        if by_image:
            faults.append(f"{name}: {len(by_image)} ids of images that annotations name are not among its images")
    notes = found.notes + notes + listed("images have no annotation: all of them is background", empty)
    notes += [f"{crowds} crowds are drawn like other objects."] if crowds else []
    notes += listed(
        "JSON files have no segmentations, or repeat others as key points or panoptic, and are left out", others
    )
    return Export(TITLE, found.classes, items, notes, faults)


def _is_coco(keys):
    return {"images", "annotations"} <= keys and "[]" not in keys


def _chosen(every):
    """The files with segmentations. Panoptic files and files of key points are used only if there are no others."""
    kinds = collections.defaultdict(dict)
    for name, content in every.items():
        annotations = content["annotations"]
        if any("segments_info" in a for a in annotations):
            kinds["panoptic"][name] = content
        elif any(a.get("segmentation") for a in annotations):
            poses = any("keypoints" in c for c in content.get("categories", ()))
            kinds["poses" if poses else "instances"][name] = content
        elif not annotations and content["images"] and content.get("categories"):
            kinds["empty"][name] = content
    chosen = kinds["instances"] or kinds["panoptic"] or kinds["poses"]
    return chosen and chosen | kinds["empty"]


def _categories(used):
    """(rows (name, colour, id) of the class table, notes). Categories with the same name in several files are one class."""
    ids, colors, notes = collections.defaultdict(set), {}, []
    for content in used.values():
        parents = {c.get("supercategory") for c in content["categories"]}
        labelled = {a.get("category_id") for a in content["annotations"]}
        labelled |= {s["category_id"] for a in content["annotations"] for s in a.get("segments_info", ())}
        for category in content["categories"]:
            # Roboflow puts the project, which is no class, before its classes.
            if (
                category["id"] == 0
                and category["name"] in parents
                and 0 not in labelled
                and len(content["categories"]) > 1
            ):
                notes.append(f"The category {category['name']} only names the others' group and is left out.")
                continue
            ids[str(category["name"])].add(category["id"])
            colors.setdefault(str(category["name"]), tuple(category.get("color") or ()) or None)
    rows = [(name, colors[name], min(found) if len(found) == 1 else -1) for name, found in ids.items()]
    return rows, list(dict.fromkeys(notes))


def _drawer(annotations, labels, found: Table):
    def draw(size):
        regions, dropped = [], collections.Counter()
        for annotation in annotations:
            held, what = annotation.get("segmentation"), f"annotation {annotation.get('id')}"
            if annotation.get("category_id") not in labels:
                raise ValueError(f"{what} has the category {annotation.get('category_id')}. Expected one of the file's")
            if not held:
                dropped[_BOXES] += 1
                continue
            class_id = labels[annotation["category_id"]]
            if isinstance(held, dict):
                regions.append(run_lengths(held, size, class_id))
            else:
                held = held if isinstance(held[0], (list, tuple)) else [held]
                odd = [len(points) for points in held if len(points) % 2]
                if odd:
                    raise ValueError(f"{what} has a polygon of {odd[0]} numbers. Expected x, y for each point")
                outlines = [corners(points, 3, f"{what}, polygon {i}") for i, points in enumerate(held)]
                regions.append(polygons(outlines, size, class_id, union=True))
        drawn = paint(regions, size, found.background, larger_first=True)
        drawn.dropped.update(dropped)
        return drawn

    return draw


def _panoptic(tree, name, annotations, labels):
    """Reads the PNG in which the value r + 256 g + 65536 b of a pixel is the id of its segment."""

    def draw(size):
        segments = {s["id"]: labels[s["category_id"]] for a in annotations for s in a["segments_info"]}
        path = tree.image(annotations[0]["file_name"], posixpath.splitext(name)[0])
        rgb = files.decode_mask(files.read(tree.root / path))
        if rgb.shape != (*size, 3):
            raise ValueError(
                f"Expected in {path} an RGB mask of the size of its image. Received: another. Export it again"
            )
        ids = files.color_code(rgb[..., ::-1])
        present, place = np.unique(ids, return_inverse=True)
        unknown = [int(i) for i in present if i and int(i) not in segments]
        if unknown:
            raise ValueError(f"Expected in {path} the ids of its segments. Received: {unknown[:5]}. Export it again")
        table_of = np.array([segments.get(int(i), files.IGNORE) for i in present], np.uint8)
        dropped = collections.Counter({"unlabelled pixels, which are ignored (255)": int((ids == 0).sum())})
        return Drawn(table_of[place].reshape(size), +dropped)

    return draw
