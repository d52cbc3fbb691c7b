"""Draws the contact sheet of --mode=check: each image, and beside it the same image with its mask drawn over it."""

import numpy as np

from input_pipeline import IGNORE, checking
from tfseg.pictures import text
from tfseg.pictures.segmentation import legend, overlay

OUTSIDE = (255, 0, 255)  # how pixels outside the class table are shown: no data set's colour is as loud
COLUMNS, GAP, CAPTION, STRIPE = 3, 10, 24, 6  # lengths in pixels


def contact_sheet(report: checking.Report) -> np.ndarray:
    """Images, each beside itself under its mask's colours, with the legend: RGB uint8 [height, width, 3]."""
    colors = np.array([c.color for c in report.classes], np.uint8)
    cells = [_cell(tile, colors) for tile in report.tiles]
    width = max(cell.shape[1] for cell in cells)
    rows = [cells[i : i + COLUMNS] for i in range(0, len(cells), COLUMNS)]
    sheet = [np.hstack([_padded(cell, max(c.shape[0] for c in row), width) for cell in row]) for row in rows]
    across = max(part.shape[1] for part in sheet)
    present = np.unique(np.concatenate([np.unique(tile.label) for tile in report.tiles]))
    entries = [(c.name, c.color) for i, c in enumerate(report.classes) if len(report.classes) <= 30 or i in present]
    if IGNORE in present:
        entries.append(("ignored: striped", text.WHITE))
    if checking.UNKNOWN in present:
        entries.append(("outside the class table", OUTSIDE))
    sheet.append(legend(*zip(*entries, strict=True), across))
    return np.vstack([_padded(part, part.shape[0], across) for part in sheet])


def _cell(tile, colors):
    """Caption, image and overlay of one example; ignored pixels are striped."""
    ignored, outside = (tile.label == value for value in (IGNORE, checking.UNKNOWN))
    shown = overlay(tile.image, tile.label, colors, 0.6)
    shown[ignored] //= 3
    shown[ignored & (np.indices(ignored.shape).sum(0) % STRIPE < STRIPE // 3)] = text.WHITE  # dark may be a class
    shown[outside] = OUTSIDE
    pair = np.hstack([tile.image, shown])
    caption = np.full((CAPTION, pair.shape[1], 3), 255, np.uint8)
    name = text.line(text.shorten_start(f"{tile.split}/{tile.id}", pair.shape[1] - 8))[:CAPTION, : pair.shape[1] - 4]
    caption[(CAPTION - len(name)) // 2 :][: len(name), 4 : 4 + name.shape[1]] = name
    return np.pad(np.vstack([caption, pair]), ((0, GAP), (GAP, 0), (0, 0)), constant_values=255)


def _padded(picture, height, width):
    gap = [(0, height - picture.shape[0]), (0, width - picture.shape[1]), (0, 0)]
    return np.pad(picture, gap, constant_values=255)
