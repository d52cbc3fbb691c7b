"""CVAT's "Segmentation mask 1.1": PASCAL VOC's layout with masks in colours, and labelmap.txt.

A line of labelmap.txt is `name:r,g,b:parts:actions`; masks do not need parts and actions. CVAT's own background is the
row `background:0,0,0::`, a class like the others. Source: docs.cvat.ai, "Segmentation mask".
"""

import io

import numpy as np
from PIL import Image

from input_pipeline.source import files
from input_pipeline.source.foreign import voc
from input_pipeline.source.foreign.export import Export, mask_ids, table
from input_pipeline.source.foreign.tree import Tree

TITLE = 'a CVAT "Segmentation mask 1.1" export'
_BLACK = (0, 0, 0)


def recognises(tree: Tree) -> bool:
    """Whether the folder has labelmap.txt and masks."""
    return bool(tree.called("labelmap.txt") and voc.masks(tree))


def read(tree: Tree) -> Export:
    """Reads labelmap.txt and lists the masks."""
    name = tree.called("labelmap.txt")[0]
    rows = _rows(tree, name)
    colors = [color for _, color in rows]
    found = table([(label, color, None) for label, color in rows], background=False)
    lookup = files.Lookup({int(files.color_code(color)): found.ids[label] for label, color in rows})
    by_place = np.array([found.ids[label] for label, _ in rows])
    notes = list(found.notes)
    if _BLACK not in colors:
        notes.append(f"{name} has no class in black, so black pixels are an error.")
    items, more, faults = voc.items(tree, lambda data: _ids(data, lookup, by_place), [c.raw for c in found.classes])
    return Export(TITLE, found.classes, items, notes + more, faults)


def _rows(tree, name):
    """(label, colour) of each line."""
    rows = []
    for number, line in enumerate(tree.text(name).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        label, *fields = line.strip().rsplit(":", 3) if line.count(":") >= 3 else line.strip().split(":")
        try:
            color = tuple(map(int, fields[0].split(",")))
            if len(color) != 3 or not all(0 <= value <= 255 for value in color) or color in [c for _, c in rows]:
                raise ValueError
        except (IndexError, ValueError) as error:
            raise ValueError(
                f"Expected lines name:r,g,b:parts:actions, no colour twice. Received: {line!r} "
                f"({tree.root / name}, line {number})."
            ) from error
        rows.append((label, color))
    return rows


def _ids(data, lookup, by_place):
    """The ids of a mask. `lookup` gives those of colours (RGB or palette); a gray level is a position in labelmap.txt."""
    with Image.open(io.BytesIO(data)) as image:
        palette = image.mode == "P"
        pixels = np.asarray(image.convert("RGB")) if palette else files.decode_mask(data)
    if palette:
        files.decode_mask(data)  # refuses damaged files and formats that change pixels
    if pixels.ndim == 2:
        places = mask_ids(data)
        if places.max(initial=0) >= len(by_place):
            raise ValueError(
                f"Expected gray levels 0..{len(by_place) - 1}, positions in labelmap.txt. Received: {places.max()}. "
                "Export it again"
            )
        return by_place[places]
    try:
        return lookup(files.color_code(pixels))
    except files.UnknownIdsError as error:
        colors = [f"{files.color_text(i)} on {n} pixels" for i, n in zip(error.ids.tolist(), error.counts, strict=True)]
        raise ValueError(
            f"Expected the colours of labelmap.txt. Received: {', '.join(colors[:5])}. "
            "Add them to labelmap.txt, or export again"
        ) from error
