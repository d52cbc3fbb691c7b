"""Pictures for people: label maps in colour, overlays, legends, panels and confusion matrices.

NumPy and OpenCV; every picture is RGB uint8 [height, width, 3], lengths are pixels. Class colours are [C, 3], 0..255.
"""

import functools

import cv2
import numpy as np

from input_pipeline import IGNORE

WHITE, BLACK, GRAY, GRID, PALE = (255, 255, 255), (0, 0, 0), (150, 150, 150), (225, 225, 225), (240, 240, 240)
RIGHT, WRONG = (26, 84, 144), (196, 62, 28)  # of a full cell on the diagonal of a confusion matrix and off it
TEXT = 14  # height of text
MARGIN, GAP = 10, 18


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


def legend(names, colors, width=480):
    """Swatches and names in columns, as many as fit; names too long for the width are cut.

    Args:
        names: of the classes.
        colors: [C, 3], RGB 0..255.
        width: of the picture; it is as high as it needs to be.
    """
    swatch, pitch, room = TEXT, TEXT + 8, width - 2 * MARGIN
    lines = [_line(_shorten(name, room - swatch - 6)) for name in names]
    column = swatch + 6 + max((line.shape[1] for line in lines), default=0) + GAP
    columns = max(1, min(len(lines), (room + GAP) // column))
    rows = -(-len(lines) // columns)
    picture = _paper(rows * pitch + 2 * MARGIN, width)
    for i, (line, color) in enumerate(zip(lines, np.asarray(colors).tolist(), strict=True)):
        left, top = MARGIN + i // rows * column, MARGIN + i % rows * pitch
        box = (left, top + (pitch - swatch) // 2, swatch, swatch)
        cv2.rectangle(picture, box, color, cv2.FILLED)
        cv2.rectangle(picture, box, GRAY, 1)
        _paste(picture, line, left + swatch + 6, top + (pitch - line.shape[0]) // 2)
    return picture


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
        columns.append(np.vstack([_centered(caption, width, TEXT + 14), tile]))
    gap = _paper(height + TEXT + 14, MARGIN)
    columns = [part for column in columns for part in (column, gap)][:-1]
    pictures = np.hstack([gap, *columns, gap])

    ids = np.unique([i for ids in maps.values() for i in np.unique(ids)])
    known = range(len(names)) if len(names) <= 30 else [i for i in ids if 0 <= i < len(names)]
    entries = [(names[i], colors[i]) for i in known]
    if without_color := {int(i) for i in ids if not 0 <= i < len(names)}:
        entries.append(("ignored" if without_color == {IGNORE} else "other", BLACK))
    return np.vstack([pictures, legend(*zip(*entries, strict=True), pictures.shape[1])])


def confusion_picture(confusion, names):
    """A confusion matrix with rows of 100 %: what became of each class's pixels.

    Args:
        confusion: integer [C, C], rows are labels, columns predictions; classes beyond the names are drawn as one
            column "other". A row without pixels is gray.
        names: of the classes.
    """
    confusion, count = np.asarray(confusion, np.float64), len(names)
    extra = confusion[:count, count:].sum(1, keepdims=True)
    confusion, columns = confusion[:count, :count], [*names]
    if extra.any():
        confusion, columns = np.hstack([confusion, extra]), [*columns, "other"]
    pixels = confusion.sum(1, keepdims=True)
    share = np.divide(confusion, pixels, out=np.zeros_like(confusion), where=pixels > 0)

    cell = max(40 if count <= 12 else 34 if count <= 25 else 26 if count <= 40 else 12, 84 // count)
    size = min(TEXT, cell - 3)
    rows = [_line(_shorten(name, 180, size), size) for name in names]
    heads = [np.rot90(_line(_shorten(name, 180, size), size)) for name in columns]
    left = MARGIN + TEXT + 12 + max(line.shape[1] for line in rows) + 6
    top = MARGIN + TEXT + 12 + max(line.shape[0] for line in heads) + 6
    picture = _paper(top + count * cell + MARGIN, left + len(columns) * cell + MARGIN)

    _paste(picture, _centered("prediction", len(columns) * cell, TEXT + 8, bold=True), left, MARGIN)
    _paste(picture, np.rot90(_centered("label", count * cell, TEXT + 8, bold=True)), MARGIN, top)
    for j, line in enumerate(heads):
        _paste(picture, line, left + j * cell + (cell - line.shape[1]) // 2, top - 6 - line.shape[0])
    for i, line in enumerate(rows):
        _paste(picture, line, left - 6 - line.shape[1], top + i * cell + (cell - line.shape[0]) // 2)
        for j in range(len(columns)):
            x, y = left + j * cell, top + i * cell
            color = _shade(share[i, j], RIGHT if i == j else WRONG) if pixels[i] else PALE
            cv2.rectangle(picture, (x, y, cell, cell), color, cv2.FILLED)
            percent = f"{100 * share[i, j]:.0f}"
            if cell > TEXT and pixels[i] and percent != "0":
                number = _line(percent, min(TEXT, cell // 2 - 2), WHITE if sum(color) < 390 else BLACK, color)
                _paste(picture, number, x + (cell - number.shape[1]) // 2, y + (cell - number.shape[0]) // 2)
    bottom, right = top + count * cell, left + len(columns) * cell
    picture[top : bottom + 1 : cell, left : right + 1] = picture[top : bottom + 1, left : right + 1 : cell] = GRID
    return picture


def _shade(share, color):
    """From white at 0 to `color` at 1; the square root lets a few percent be seen."""
    return tuple(round(255 + (c - 255) * float(share) ** 0.5) for c in color)


def _paper(height, width, color=WHITE):
    return np.full((height, width, 3), color, np.uint8)


def _paste(picture, part, left, top):
    picture[top : top + part.shape[0], left : left + part.shape[1]] = part


@functools.cache
def _face():
    return cv2.FontFace("sans")  # OpenCV's own TrueType font; it has more than ASCII


def _width(text, size=TEXT, weight=400):
    return cv2.getTextSize((0, 0), text, (0, 0), _face(), size, weight)[2] + 2


def _shorten(text, width, size=TEXT):
    """The text, or as much of its beginning as fits before an ellipsis."""
    if _width(text, size) <= width:
        return text
    return next((t for n in range(len(text), 0, -1) if _width(t := text[:n].rstrip() + "…", size) <= width), "…")


def _line(text, size=TEXT, color=BLACK, background=WHITE, weight=400):
    """A line of text as a picture, as wide as the text."""
    picture = _paper(round(1.3 * size), _width(text, size, weight), background)
    cv2.putText(picture, text, (1, size), color, _face(), size, weight)
    return picture


def _centered(text, width, height, bold=False):
    line, picture = _line(text, weight=600 if bold else 400)[:, :width], _paper(height, width)
    _paste(picture, line, (width - line.shape[1]) // 2, (height - line.shape[0]) // 2)
    return picture
