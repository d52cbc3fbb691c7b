"""Draws objects: boxes with their class and score, and instances in a colour each.

`found` is a `tfseg.objects.Objects`.
"""

import colorsys

import cv2
import numpy as np

from tfseg.pictures import text
from tfseg.pictures.segmentation import GRAY, MARGIN, legend, overlay

GOLDEN = 0.61803398875  # steps of this part of the circle of hues are never near the ones before
WHITE, BLACK = text.WHITE, text.BLACK


def instance_colors(count):
    """Colours for ids 1..count, uint8 [count, 3]: neighbouring ids differ, and an id has the same colour in every picture."""
    rows = [colorsys.hsv_to_rgb(i * GOLDEN % 1, (0.9, 0.55)[i % 2], (1.0, 0.85)[i // 2 % 2]) for i in range(count)]
    return np.rint(255 * np.array(rows, np.float64).reshape(-1, 3)).astype(np.uint8)


def with_instances(image, label, found, colors, opacity=0.5):
    """The overlay of the classes, on which each instance has a colour of its own in place of that of its class.

    Args:
        image: RGB uint8 [H, W, 3].
        label: integer [H, W].
        found: the objects; without a map of instances the result is that of `overlay`.
        colors: [C, 3], RGB 0..255, of the classes.
        opacity: of the colours, 0..1.
    """
    if found.ids is None or not found.ids.any():
        return overlay(image, label, colors, opacity)
    table = np.concatenate([np.asarray(colors, np.uint8), instance_colors(int(found.ids.max()))])
    both = np.where(found.ids > 0, found.ids.astype(np.int32) + len(colors) - 1, label)
    # A class without a colour must not get the colour of an instance.
    both[(found.ids == 0) & (np.asarray(label) >= len(colors))] = len(table)
    return overlay(image, both, table, opacity)


def with_objects(picture, found, names, colors):
    """A picture with boxes in the colours of their classes, outlines around instances, and the class and score of each.

    Texts and lines grow with the picture. The best boxes are on top.

    Args:
        picture: RGB uint8 [H, W, 3], of the size that the boxes are in.
        found: the objects.
        names: of the classes.
        colors: [C, 3], RGB 0..255.
    """
    height, width = picture.shape[:2]
    size, thick = int(np.clip(round(min(height, width) / 30), 9, 40)), max(1, round(min(height, width) / 300))
    drawn = _outlined(picture, found.ids, thick)
    of_instances = instance_colors(max((one.instance for one in found.listed), default=0))
    for one in reversed(found.listed):
        name, color = (names[one.kind], colors[one.kind]) if one.kind < len(names) else (f"class {one.kind}", GRAY)
        color = np.asarray(of_instances[one.instance - 1] if one.instance else color).tolist()
        left, top, right, bottom = (round(edge) for edge in one.box)
        if not one.instance:
            # A white line under the coloured one, which would not be seen on pixels of its own colour.
            cv2.rectangle(drawn, (left, top), (right - 1, bottom - 1), WHITE, thick + 2)
            cv2.rectangle(drawn, (left, top), (right - 1, bottom - 1), color, thick)
        _tag(drawn, name if one.score is None else f"{name} {one.score:.2f}", left, top, size, color)
    return drawn


def objects_panel(image, columns, names, colors, width=480):
    """An image once for each of several sets of objects, side by side under their captions, with a legend of the classes.

    Args:
        image: RGB uint8 [H, W, 3].
        columns: {caption: objects}, whose boxes are in pixels of the image.
        names: of the classes.
        colors: [C, 3], RGB 0..255.
        width: of each of the columns, whatever the image's size.
    """
    height = max(1, round(width * image.shape[0] / image.shape[1]))
    scales = np.tile([width / image.shape[1], height / image.shape[0]], 2)
    smooth = cv2.INTER_AREA if width < image.shape[1] else cv2.INTER_CUBIC
    large, parts = cv2.resize(image, (width, height), interpolation=smooth), []
    gap = np.full((height + text.SIZE + 14, MARGIN, 3), 255, np.uint8)
    for caption, found in columns.items():
        ids = found.ids
        if ids is not None:
            ids = cv2.resize(ids, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        listed = [one._replace(box=tuple((np.array(one.box) * scales).tolist())) for one in found.listed]
        scaled = found._replace(listed=listed, ids=ids)
        nothing = np.full((height, width), len(colors))  # no class is drawn
        tile = with_objects(with_instances(large, nothing, scaled, colors), scaled, names, colors)
        title = f"{caption}: {_counted(found)}"
        parts += [np.vstack([text.centered(text.shorten(title, width), width, text.SIZE + 14), tile]), gap]
    pictures = np.hstack([gap, *parts])
    kinds = sorted({one.kind for found in columns.values() for one in found.listed if not one.instance})
    kinds = [kind for kind in kinds if kind < len(names)]
    if not kinds:
        return np.pad(pictures, ((0, MARGIN), (0, 0), (0, 0)), constant_values=255)
    return np.vstack([pictures, legend([names[i] for i in kinds], np.asarray(colors)[kinds], pictures.shape[1])])


def _counted(found):
    """How many boxes and instances there are."""
    instances = sum(bool(one.instance) for one in found.listed)
    counts = {"box": len(found.listed) - instances, "instance": instances}
    plural = {"box": "boxes", "instance": "instances"}
    said = [f"{n} {what if n == 1 else plural[what]}" for what, n in counts.items() if n]
    return " and ".join(said) or "none"


def _outlined(picture, ids, thick):
    """A copy with white lines along the borders of instances."""
    drawn = picture.copy()
    if ids is None:
        return drawn
    edge = np.zeros(ids.shape, bool)
    edge[:, 1:] |= ids[:, 1:] != ids[:, :-1]
    edge[1:] |= ids[1:] != ids[:-1]
    if thick > 1:
        edge = cv2.dilate(edge.astype(np.uint8), np.ones((thick, thick), np.uint8)) > 0
    drawn[edge] = WHITE
    return drawn


def _tag(picture, words, left, top, size, color):
    """Puts words on a ground of a colour above a box, or where there is no room inside its upper edge."""
    height, width = picture.shape[:2]
    light = np.dot(color, (0.299, 0.587, 0.114)) > 140
    line = text.line(text.shorten(words, width, size), size, BLACK if light else WHITE, tuple(color))[:height, :width]
    top = top - line.shape[0] if top >= line.shape[0] else top
    left, top = (
        max(0, min(at, room - n)) for at, room, n in ((left, width, line.shape[1]), (top, height, line.shape[0]))
    )
    picture[top : top + line.shape[0], left : left + line.shape[1]] = line
