"""What our HTML pages share: the form, pictures as data, figures of pictures side by side.

A page needs no other file and no network. Its template is one of the standard library's `string.Template`.
"""

import base64
import html
import pathlib
import string
from collections.abc import Iterable, Sequence

import cv2
import numpy as np

import input_pipeline

WIDTH = 480  # of a picture at most, pixels
HERE = pathlib.Path(__file__).parent


def page(content: str, title: str, about: str, cards: Iterable[tuple[str, str]], **parts: str) -> str:
    """A page as HTML.

    Args:
        content: the template beside this file, of what is below the cards.
        title, about: plain text; the heading, and a line below it.
        cards: (number, what it is) of the figures to see first, plain text.
        parts: of the content, HTML.
    """
    shown = (
        f'<div class="card"><b>{html.escape(number)}</b><span>{html.escape(what)}</span></div>'
        for number, what in cards
    )
    return _template("page.html").substitute(
        title=html.escape(title),
        about=html.escape(about),
        cards="\n".join(shown),
        content=_template(content).substitute(parts),
        style=_read("page.css"),
        sorting=_read("page.js"),
    )


def write(path: pathlib.Path, text: str) -> None:
    """Writes a page, first under another name."""
    aside = path.with_suffix(".writing")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)


def _template(name):
    return string.Template(_read(name))


def _read(name):
    return (HERE / name).read_text(encoding="utf-8")


def encoded(picture: np.ndarray, suffix: str) -> str:
    """The picture, RGB uint8 [height, width, 3], as a data URL, no wider than WIDTH; `suffix` is .png or .jpg."""
    height, width = picture.shape[:2]
    if width > WIDTH:
        size = (WIDTH, max(1, round(height * WIDTH / width)))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    data = cv2.imencode(suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    kind = {".jpg": "jpeg", ".png": "png"}[suffix]
    return f"data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode()}"


def figures(entries: Iterable[tuple[str, str, dict[str, str]]]) -> str:
    """Pictures side by side, under the name of their image.

    Args:
        entries: (name, HTML before the name, {caption: data URL}) of each image.
    """
    return "\n".join(_figure(*entry) for entry in entries) or "<p>None.</p>"


def _figure(name, before, tiles):
    name = html.escape(name)
    shown = (
        f'<div>{html.escape(what)}<img src="{data}" alt="{html.escape(what)} of {name}"></div>'
        for what, data in tiles.items()
    )
    kind = "tiles five" if len(tiles) == 5 else "tiles"
    return f'<figure><figcaption>{before} {name}</figcaption><div class="{kind}">{"".join(shown)}</div></figure>'


def swatch(c: "input_pipeline.Class") -> str:
    """A square in the colour of a class."""
    return '<i class="swatch" style="background:rgb({},{},{})"></i>'.format(*c.color)


def legend(classes: Sequence["input_pipeline.Class"]) -> str:
    """The colour and the name of each class."""
    return "".join(f"<span>{swatch(c)}{html.escape(c.name)}</span>" for c in classes)
