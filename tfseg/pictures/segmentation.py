"""Draws label maps in the colours of the classes: alone, over their image, beside the label, and with a legend."""

import cv2
import numpy as np

from input_pipeline import IGNORE
from tfseg.pictures import text
from tfseg.pictures.text import BLACK, WHITE

GRAY = (150, 150, 150)
RED = (214, 39, 40)
MARGIN, GAP, SWATCH = 10, 18, 14


def colorize(label, colors):
    """A label map in the classes' colours.

    Args:
        label: integer [H, W]; ids that have no colour, such as the ignored 255, become black.
        colors: [C, 3], RGB 0..255.
    """
    label, colors = np.asarray(label), np.asarray(colors, np.uint8)
    if label.ndim != 2 or not np.issubdtype(label.dtype, np.integer):
        raise ValueError(f"Expected an integer label map [height, width]. Received: {label.dtype} {label.shape}.")
    known = (label >= 0) & (label < len(colors))
    return np.concatenate([colors, [BLACK]]).astype(np.uint8)[np.where(known, label.astype(np.int32), len(colors))]


def overlay(image, label, colors, opacity=0.5):
    """The image with the classes' colours over it; pixels whose id has no colour stay as they are.

    Args:
        image: RGB uint8 [H, W, 3].
        label: integer [H, W].
        colors: [C, 3], RGB 0..255.
        opacity: of the colours, 0..1.
    """
    image, label = np.asarray(image), np.asarray(label)
    if image.shape != (*label.shape, 3):
        raise ValueError(f"Expected an image of the label's size. Received: {image.shape} and label {label.shape}.")
    known = ((label >= 0) & (label < len(colors)))[..., None]
    mixed = (1 - opacity) * image.astype(np.float32) + opacity * colorize(label, colors)
    return np.where(known, np.rint(mixed), image).astype(np.uint8)


def error_map(image, label, prediction):
    """Where a prediction is wrong: those pixels are red, right ones a pale gray image, ignored ones black.

    Args:
        image: RGB uint8 [H, W, 3].
        label: integer [H, W]; IGNORE does not count.
        prediction: integer [H, W].
    """
    image, label, prediction = np.asarray(image), np.asarray(label), np.asarray(prediction)
    if not image.shape[:2] == label.shape == prediction.shape:
        raise ValueError(
            "Expected an image, a label map and a prediction of one size. "
            f"Received: {image.shape}, {label.shape} and {prediction.shape}."
        )
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    drawn = np.repeat((170 + gray // 3)[..., None], 3, axis=-1)
    drawn[label != prediction] = RED
    drawn[label == IGNORE] = BLACK
    return drawn


def legend(names, colors, width=480):
    """Swatches and names in columns, as many as fit; names too long for the width are cut.

    Args:
        names: of the classes.
        colors: [C, 3], RGB 0..255.
        width: of the picture; it is as high as it needs to be.
    """
    pitch, room = SWATCH + 8, width - 2 * MARGIN
    lines = [text.line(text.shorten(name, room - SWATCH - 6)) for name in names]
    column = SWATCH + 6 + max((line.shape[1] for line in lines), default=0) + GAP
    columns = max(1, min(len(lines), (room + GAP) // column))
    rows = -(-len(lines) // columns)
    picture = _paper(rows * pitch + 2 * MARGIN, width)
    for i, (line, color) in enumerate(zip(lines, np.asarray(colors).tolist(), strict=True)):
        left, top = MARGIN + i // rows * column, MARGIN + i % rows * pitch
        box = (left, top + (pitch - SWATCH) // 2, SWATCH, SWATCH)
        cv2.rectangle(picture, box, color, cv2.FILLED)
        cv2.rectangle(picture, box, GRAY, 1)
        _paste(picture, line, left + SWATCH + 6, top + (pitch - line.shape[0]) // 2)
    return picture


def with_legend(picture, names, colors):
    """A picture with the legend beneath it; the text grows with pictures wider than 1000 pixels.

    Args:
        picture: RGB uint8 [H, W, 3]; white paper is added to one narrower than 240 pixels.
        names: of the classes.
        colors: [C, 3], RGB 0..255.
    """
    width = max(240, picture.shape[1])
    picture = np.pad(picture, ((0, 0), (0, width - picture.shape[1]), (0, 0)), constant_values=255)
    scale = max(1, round(width / 1000))
    drawn = legend(names, colors, -(-width // scale))
    if scale > 1:
        drawn = cv2.resize(drawn, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)[:, :width]
    return np.vstack([picture, drawn])


def panel(image, label, prediction, names, colors, width=480):
    """Input, label and prediction side by side, each under its caption, with a legend beneath.

    The legend has all classes, or, of more than 30, those that occur.

    Args:
        image: RGB uint8 [H, W, 3].
        label: integer [H, W]; None: there is none, and no such column.
        prediction: integer [H, W].
        names: of the classes.
        colors: [C, 3], RGB 0..255.
        width: of each of the three, whatever the image's size.
    """
    maps = {"label": label, "prediction": prediction}
    maps = {caption: np.asarray(ids) for caption, ids in maps.items() if ids is not None}
    tiles = {"input": image} | {caption: colorize(ids, colors) for caption, ids in maps.items()}
    height = max(1, round(width * image.shape[0] / image.shape[1]))
    smooth = cv2.INTER_AREA if width < image.shape[1] else cv2.INTER_CUBIC
    columns = []
    for caption, tile in tiles.items():
        tile = cv2.resize(
            tile, (width, height), interpolation=smooth if caption == "input" else cv2.INTER_NEAREST_EXACT
        )
        columns.append(np.vstack([text.centered(caption, width, text.SIZE + 14), tile]))
    gap = _paper(height + text.SIZE + 14, MARGIN)
    columns = [part for column in columns for part in (column, gap)][:-1]
    pictures = np.hstack([gap, *columns, gap])

    ids = np.unique([i for ids in maps.values() for i in np.unique(ids)])
    known = range(len(names)) if len(names) <= 30 else [i for i in ids if 0 <= i < len(names)]
    entries = [(names[i], colors[i]) for i in known]
    if without_color := {int(i) for i in ids if not 0 <= i < len(names)}:
        entries.append(("ignored" if without_color == {IGNORE} else "other", BLACK))
    return np.vstack([pictures, legend(*zip(*entries, strict=True), pictures.shape[1])])


def _paper(height, width, color=WHITE):
    return np.full((height, width, 3), color, np.uint8)


def _paste(picture, part, left, top):
    picture[top : top + part.shape[0], left : left + part.shape[1]] = part
