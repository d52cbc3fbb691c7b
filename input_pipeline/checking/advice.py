"""What a value outside the class table most likely means, and what its owner does about it."""

import dataclasses
import itertools

from input_pipeline.source.files import IGNORE, color_text
from input_pipeline.source.listing import some

_NEAR = 32  # largest difference of a channel, 0..255, that JPEG or smooth scaling is taken to have made
_RARE = 1e-4  # share of all pixels below which a value is taken for a slip


@dataclasses.dataclass
class Value:
    """A raw id, or a colour's code, and how often it was found; `train_id` is None outside the class table."""

    colored: bool
    code: int
    name: str = ""
    train_id: int | None = None
    pixels: int = 0
    images: int = 0
    example: str = ""  # the first example that holds it

    def __str__(self):
        return color_text(self.code) if self.colored else str(self.code)


def suggest(values: dict[tuple[bool, int], Value], editable: bool) -> list[str]:
    """Returns what is to be said of the values outside the table, and of a table that does not fit.

    Args:
        values: of the table and found, by (colored, code).
        editable: whether the table is the owner's own classes.csv.
    """
    found = [v for v in values.values() if v.images]
    unknown = sorted((v for v in found if v.train_id is None), key=lambda v: -v.pixels)
    said = [hint] if (hint := _whole(values, editable)) else []
    if unknown:
        total = sum(v.pixels for v in found)
        lines = [
            f"{v}: {100 * v.pixels / total:.4f} % of the pixels, {v.images} images, as {v.example}: "
            + _single(v, values, v.pixels / total, editable)
            for v in unknown
        ]
        what = "colours" if unknown[0].colored else "ids"
        said.append(
            f"{what.capitalize()} outside the class table, {len(unknown)} in all:\n     " + some(lines, "\n     ")
        )
    return said


def _whole(values, editable):
    """What all values together say: shifted, spread or foreground ids, a table of the wrong kind; "" for nothing."""
    table = [v for v in values.values() if v.train_id is not None]
    ids = sorted(v.code for v in values.values() if v.images and not v.colored)
    classes = {v.code: v.name for v in table if not v.colored and v.train_id != IGNORE}
    unknown = [i for i in ids if values[False, i].train_id is None]
    if any(v.images and v.colored for v in values.values()) and not any(v.colored for v in table):
        do = "Give classes.csv the columns r,g,b" if editable else "Save ids"
        return f"The masks are in colours, and the class table has none. {do}."
    if unknown and not classes:
        return "The masks hold ids, and the class table knows colours only. Save them in colours."
    seen = [i for i in ids if i in classes]
    if ids == [0, IGNORE] and len(classes) == 2 and len(seen) < 2:
        other = next(name for code, name in classes.items() if code != 0)
        return f"The masks hold 0 and 255 only, and 255 is ignored: give {other} the id 255 if that is what it means."
    labelled = [i for i in ids if i != IGNORE or i in classes]
    if unknown == [max(classes, default=-2) + 1]:
        if 0 in classes and 0 not in ids:
            return "Every id is one higher than in the class table: the masks count from 1. Number the table from 1."
        if labelled == list(range(len(classes) + 1)):
            return (
                "There is one id more than classes. If 0 means unlabelled, name it `ignore` and count classes from 1."
            )
    steps = [b - a for a, b in itertools.pairwise(ids)]
    if unknown and len(ids) == len(classes) > 1 and min(steps) > 1 and max(steps) - min(steps) <= 1:
        pairs = [f"{i} is {name}" for i, (_, name) in zip(ids, sorted(classes.items()), strict=True)]
        return f"The ids are spread over the grays, as to be seen by eye. Most likely {', '.join(pairs)}."
    return ""


def _single(value, values, share, editable):
    """What one value most likely is."""
    table = {v.code: v.name for v in values.values() if v.train_id is not None and v.colored == value.colored}
    row = f"{value.code},ignore" if not value.colored else f"<id>,ignore,{str(value)[1:-1].replace(' ', '')}"
    if value.colored:
        r, g, b = _rgb(value.code)
        if (b << 16 | g << 8 | r) in table:
            return f"{table[b << 16 | g << 8 | r]} with red and blue exchanged. Save RGB, not BGR"
        near = min(table, key=lambda code: _distance(code, value.code), default=None)
        if near is not None and _distance(near, value.code) <= _NEAR:
            return f"nearly {table[near]} {color_text(near)}: a JPEG, or smooth scaling. Export without"
    if share < _RARE or value.code == (0 if value.colored else IGNORE):
        return f"most likely unlabelled: add the row {row}" if editable else "most likely unlabelled, or a slip"
    if editable:
        return f"add a row for it, or {row}"
    return "another release of the masks? `folder` with a classes.csv takes any ids"


def _rgb(code):
    return code >> 16, code >> 8 & 255, code & 255


def _distance(a, b):
    return max(abs(x - y) for x, y in zip(_rgb(a), _rgb(b), strict=True))
