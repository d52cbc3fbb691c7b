"""Label Studio: its JSON (brushes, polygons, rectangles, ellipses), and the PNGs of "Brush labels to PNG".

The PNGs are called task-<id>-annotation-<id>-by-<who>-<control>-<label>-<k>.png. To find their images we need the JSON of
the same project beside them, or images called <task id>.*. Coordinates are percentages of the image. If a task has several
annotations, the ground truth is used, otherwise the latest. Later regions cover earlier ones. A pixel belongs to a brush
if the brush covers at least half of it.
"""

import collections
import posixpath
import re
import urllib.parse

import numpy as np

from input_pipeline.source import files
from input_pipeline.source.foreign import brush
from input_pipeline.source.foreign.export import Export, Item, mask_ids, table
from input_pipeline.source.foreign.shapes import corners, paint, polygons, region
from input_pipeline.source.foreign.tree import Tree, listed, split_of

TITLE = "a Label Studio export"
COVERED = 128  # the lowest alpha of a pixel that belongs to a brush
_PNG = re.compile(r"task-(\d+)-annotation-(\d+)-by-([^-]*)-([^-]+)-(.+)-(\d+)\.png")
_SIDES = 72  # corners of the polygon that we draw for an ellipse


def recognises(tree: Tree) -> bool:
    """Whether the folder has brush PNGs or lists of tasks."""
    return bool(_pngs(tree)) or any(_is_export(keys) for keys in tree.sampled.values())


def read(tree: Tree) -> Export:
    """Reads the tasks of every JSON file. The PNGs are used for tasks that have no brushes in the JSON."""
    documents, unknown, faults = tree.documents(_is_export)
    tasks, notes = [], listed("JSON files are not Label Studio's and are left out", unknown)
    for name, content in documents.items():
        tasks += [(name, task) for task in (content if isinstance(content, list) else [content])]
    pngs, wanted, others = _pngs(tree), [], collections.Counter()
    for name, task in tasks:
        what, held = f"{name}: task {task.get('id')}", pngs.pop(str(task.get("id")), [])
        try:
            regions, more = _regions(task)
            others.update(more)
            if regions is None and not held:
                others["tasks without an annotation"] += 1
                continue
            wanted.append((what, regions or (), _image(tree, task), held))
        except (AttributeError, KeyError, TypeError) as error:
            faults.append(f"{what}: Expected a task of Label Studio. Received: {error!r}. Export it again")
        except (FileNotFoundError, ValueError) as error:
            faults.append(f"{what}: {error}")
    for task_id, held in pngs.items():
        try:
            own = [n for n in tree.images if re.fullmatch(rf"(task-)?0*{task_id}\.\w+", posixpath.basename(n))]
            if len(own) != 1:
                raise ValueError(
                    f"Expected the image of task {task_id}. Received: no task of that id in a JSON export, and no image "
                    f"{task_id}.*. Export the project as JSON too, and copy it and the images there"
                )
            wanted.append((held[0][0], (), own[0], held))
        except ValueError as error:
            faults.append(f"{held[0][0]}: {error}")
    labels = {label for _, regions, _, held in wanted for label in [*(r[0] for r in regions), *(p[1] for p in held)]}
    if faults and not labels:
        return Export(TITLE, [], [], [], faults)  # the faults say more than an error about missing classes
    found = table([(label, None, None) for label in sorted(labels)])
    items = [
        Item(what, image, _drawer(tree, regions, held, found), _size(regions), split_of(image))
        for what, regions, image, held in wanted
    ]
    left = sorted(
        set(tree.images) - {item.image for item in items} - {name for held in _pngs(tree).values() for name, *_ in held}
    )
    notes += [f"{count} {what} are left out." for what, count in others.items()]
    notes += listed("images belong to no task and are left out", left)
    return Export(TITLE, found.classes, items, found.notes + notes, faults)


def _is_export(keys):
    tasks = {"annotations", "data"} <= keys or {"[]", "annotation_id"} <= keys
    return tasks and "images" not in keys


def _pngs(tree):
    """{task id: [(file, label)]} of the PNGs of each task's latest annotation, in their order."""
    found = collections.defaultdict(list)
    for name in tree.images:
        match = _PNG.fullmatch(posixpath.basename(name))
        if match:
            task, annotation, _, _, label, number = match.groups()
            found[task].append((int(annotation), int(number), name, label))
    return {
        task: [(name, label) for annotation, _, name, label in sorted(rows) if annotation == max(rows)[0]]
        for task, rows in found.items()
    }


def _image(tree, task):
    """The image of a task: a path below an upload folder, a local file, or a URL whose last part names it."""
    data = task.get("data", task)
    values = [data[key] for key in ("image", "img", "ocr") if key in data] or list(data.values())
    address = next(
        (v for v in values if isinstance(v, str) and ("?d=" in v or v.lower().split("?")[0].endswith(files.IMAGES))),
        "",
    )
    if not address:
        raise ValueError(f"Expected the path of an image in the task's data. Received: {str(data)[:80]}")
    path = urllib.parse.unquote(address.split("?d=")[-1].split("?")[0])
    try:
        return tree.image(path)
    except FileNotFoundError:
        folder, name = posixpath.split(path)  # Label Studio puts 8 hexadecimal digits before an upload's name
        return tree.image(posixpath.join(folder, re.sub(r"^[0-9a-f]{8}-", "", name)))


def _regions(task):
    """([(label, kind, value, size)] of the annotation that counts, or None if there is none; what is left out)."""
    others = collections.Counter()
    if "annotations" not in task:  # JSON-MIN: the regions are in the task itself
        results = [
            r for v in task.values() if isinstance(v, list) for r in v if isinstance(r, dict) and "original_width" in r
        ]
        results = [{"value": r, "type": next((k for k in r if k.endswith("labels")), ""), **r} for r in results]
    else:
        done = [a for a in task["annotations"] if not a.get("was_cancelled")]
        if not done:
            return None, others
        chosen = max(done, key=lambda a: (bool(a.get("ground_truth")), a.get("id") or 0))
        results = chosen["result"]
        if len(done) > 1:
            others["further annotations of tasks that have several"] += len(done) - 1
    apart = {
        r["id"]: r["value"]["labels"]
        for r in results
        if r.get("type") == "labels" and "labels" in r["value"] and "id" in r
    }
    regions = []
    for i, result in enumerate(results):
        value, kind = result["value"], result.get("type", "")
        labels = value.get(kind) or value.get("labels") or apart.get(result.get("id"))
        shape = kind.removesuffix("labels")
        drawn = {"brush": "rle", "polygon": "points", "rectangle": "width", "ellipse": "radiusX", "": "rle"}.get(
            shape, ""
        )
        if not drawn or drawn not in value:
            if kind not in ("labels", "choices"):
                others[f"regions of the kind {kind}"] += 1
            continue
        if result.get("image_rotation"):
            raise ValueError(
                f"region {i} was drawn while the image was turned by {result['image_rotation']} degrees. Turn it back"
            )
        if not labels:
            others["regions without a label"] += 1
            continue
        size = int(result["original_height"]), int(result["original_width"])
        if shape == "polygon":
            corners(value["points"], 3, f"polygon {i} ({labels[0]})")
        regions.append((labels[0], shape or "brush", value, size))
    return regions, others


def _size(regions):
    return regions[0][3] if regions else None


def _drawer(tree, regions, pngs, found):
    def draw(size):
        drawn = [_region(label, kind, value, size, found) for label, kind, value, _ in regions]
        brushed = any(kind == "brush" for _, kind, *_ in regions)
        for name, label in () if brushed else pngs:
            alpha = mask_ids(files.read(tree.root / name))
            if alpha.shape != tuple(size):
                raise ValueError(
                    f"Expected in {name} the size of the image, {size}. Received: {alpha.shape}. Export it again"
                )
            drawn.append(region(alpha >= min(COVERED, max(int(alpha.max()), 1)), found.ids[label]))
        return paint(drawn, size, found.background)

    return draw


def _region(label, kind, value, size, found):
    height, width = size
    if kind == "brush":
        return region(brush.decode(value["rle"], size) >= COVERED, found.ids[label])
    scale = np.array([width, height]) / 100
    if kind == "polygon":
        points = np.asarray(value["points"], np.float64)
    else:
        box = kind == "rectangle"
        w, h = (value["width"], value["height"]) if box else (value["radiusX"], value["radiusY"])
        angles = np.linspace(0, 2 * np.pi, _SIDES, endpoint=False)
        unit = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) if box else np.stack([np.cos(angles), np.sin(angles)], 1)
        turn = np.deg2rad(value.get("rotation") or 0)  # clockwise, around the upper left corner or the centre
        offsets = unit * [w, h] * scale
        turned = np.stack([offsets @ [np.cos(turn), -np.sin(turn)], offsets @ [np.sin(turn), np.cos(turn)]], 1)
        points = np.array([value["x"], value["y"]]) + turned / scale
    return polygons([points * scale], size, found.ids[label])
