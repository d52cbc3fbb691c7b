"""Draws lines of text in the font that comes with matplotlib, which has Latin, Greek and Cyrillic letters."""

import functools
import pathlib

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

WHITE, BLACK = (255, 255, 255), (0, 0, 0)
SIZE = 13  # height of text, pixels


@functools.cache
def font(size: int = SIZE, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The font at a size in pixels."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(pathlib.Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name, size)


def width(text: str, size: int = SIZE, bold: bool = False) -> int:
    """The width of a line in pixels, with a pixel of paper at each side."""
    left, _, right, _ = font(size, bold).getbbox(text)
    return right - min(left, 0) + 3


def shorten(text: str, limit: int, size: int = SIZE) -> str:
    """The text, or as much of its beginning as fits into `limit` pixels before an ellipsis."""
    if width(text, size) <= limit:
        return text
    return next((t for n in range(len(text), 0, -1) if width(t := text[:n].rstrip() + "…", size) <= limit), "…")


def shorten_start(text: str, limit: int, size: int = SIZE) -> str:
    """The text, or as much of its end as fits into `limit` pixels after an ellipsis: the end tells paths apart."""
    if width(text, size) <= limit:
        return text
    return next((t for n in range(1, len(text)) if width(t := "…" + text[n:], size) <= limit), "…")


def line(text: str, size: int = SIZE, color=BLACK, background=WHITE, bold: bool = False) -> np.ndarray:
    """A line of text as a picture, as wide as the text: RGB uint8 [height, width, 3]."""
    face = font(size, bold)
    paper = Image.new("RGB", (width(text, size, bold), round(1.4 * size) + 2), background)
    ImageDraw.Draw(paper).text((1 - min(face.getbbox(text)[0], 0), size + 1), text, fill=color, font=face, anchor="ls")
    return np.asarray(paper)


def centered(text: str, across: int, height: int, bold: bool = False) -> np.ndarray:
    """A line of text in the middle of white paper of `across` x `height` pixels."""
    written = line(text, bold=bold)[:height, :across]
    picture = np.full((height, across, 3), 255, np.uint8)
    left, top = (across - written.shape[1]) // 2, (height - written.shape[0]) // 2
    picture[top : top + written.shape[0], left : left + written.shape[1]] = written
    return picture
