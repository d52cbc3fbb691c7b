"""Judges from the values of all masks together whether the class table fits them. Check and preparation both use this.

A single mask may look right although all masks together show a mistake: ids that count from 1, 0 and 255 for two classes, or
a class that is 255 in some files and 1 in others.
"""

import collections
import dataclasses
import itertools

import numpy as np

from input_pipeline.source.class_tables import Class, Implied
from input_pipeline.source.listing import some
from input_pipeline.source.lookup import IGNORE, color_code, color_text

LIMIT = 1000  # so many values outside the table are counted separately; a mask saved as JPEG has a million
_FOREGROUND, _CLASSES, _BOTH = "0 and 255 only", "ids below 255 only", "ids and 255"  # kinds of masks


@dataclasses.dataclass
class Value:
    """A raw id or the code of a colour, and how often it was found; `train_id` is None if the table does not have it."""

    colored: bool
    code: int
    name: str = ""
    train_id: int | None = None
    pixels: int = 0
    images: int = 0
    example: str = ""  # the first example that holds it

    def __str__(self):
        return color_text(self.code) if self.colored else str(self.code)


@dataclasses.dataclass(frozen=True)
class Hint:
    """What all masks together show, and whether it is certain; if it is, preparation stops."""

    text: str
    certain: bool = True


class Tally:
    """The values of many masks; the tallies of parts can be merged in any order."""

    def __init__(self):
        self.values = {}  # {(whether a colour, code): Value}
        self.beyond = 0  # pixels of further values outside the table, after the first LIMIT values
        self.masks = collections.defaultdict(list)  # {kind of mask, or how it is read: masks}

    def start(self, rows, classes, by_color) -> None:
        """Adds the values of a class table, with no pixels found yet."""
        for row, train_id in rows:
            becomes = "ignored" if train_id == IGNORE else classes[train_id].name
            name = becomes if row.name in (becomes, "ignore") else f"{row.name} ({becomes})"
            if row.raw is not None:
                self.values[False, row.raw] = Value(False, row.raw, name, train_id)
            if row.color and by_color:
                code = int(color_code(row.color))
                self.values[True, code] = Value(True, code, name, train_id)

    def add(self, found: "Found", example: str) -> None:
        """Adds the values of one mask; `example` is its name."""
        self.beyond += found.beyond
        for key in filter(None, (found.how, found.holds)):
            self.masks[key].append(found.mask)
        for key, pixels in found.values.items():
            if key not in self.values and len(self.values) >= LIMIT:
                self.beyond += pixels
                continue
            value = self.values.setdefault(key, Value(*key))
            value.pixels, value.images, value.example = (
                value.pixels + pixels,
                value.images + 1,
                value.example or example,
            )

    def merge(self, other: "Tally") -> None:
        """Adds the masks of another tally."""
        self.beyond += other.beyond
        for key, masks in other.masks.items():
            self.masks[key] += masks
        for key, value in other.values.items():
            mine = self.values.setdefault(key, Value(*key))
            mine.pixels, mine.images = mine.pixels + value.pixels, mine.images + value.images
            mine.example = mine.example or value.example

    def to_json(self) -> dict:
        """The tally as JSON values; `from_json` reads it back."""
        return {
            "values": [dataclasses.astuple(v) for v in self.values.values()],
            "beyond": self.beyond,
            "masks": self.masks,
        }

    @classmethod
    def from_json(cls, values: dict) -> "Tally":
        """The tally from the values of `to_json`."""
        tally = cls()
        tally.values = {(v[0], v[1]): Value(*v) for v in values["values"]}
        tally.beyond = values["beyond"]
        tally.masks.update(values["masks"])
        return tally


@dataclasses.dataclass(frozen=True)
class Found:
    """The values in one mask."""

    mask: str  # its file
    values: dict = dataclasses.field(default_factory=dict)  # {(whether a colour, code): pixels}
    beyond: int = 0  # pixels of further values outside the table
    how: str = ""  # `evidence.Reading.how`
    holds: str = ""


def found(mask: str, codes: np.ndarray, colored: bool, lookup, how: str = "") -> Found:
    """Counts the values of a mask; `lookup` is the table that reads it, None if no table fits."""
    known = lookup.known if lookup else []
    small = codes.dtype.itemsize < 3 and codes.dtype.kind == "u"
    counts = np.bincount(codes.ravel()) if small else None
    values, counts = (np.flatnonzero(counts), counts[counts > 0]) if small else np.unique(codes, return_counts=True)
    order = np.lexsort((-counts, ~np.isin(values, known)))  # values in the table first, then the most frequent
    kept = order[: len(known) + LIMIT]
    pixels = {(colored, int(values[i])): int(counts[i]) for i in kept}
    holds = ""
    if lookup and not colored:
        ids = {code for _, code in pixels}
        classes = any(i and lookup.train_ids.get(i, IGNORE) != IGNORE for i in ids - {IGNORE})
        if IGNORE in ids:
            holds = _BOTH if classes else _FOREGROUND if ids <= {0, IGNORE} else ""
        else:
            holds = _CLASSES if classes else ""
    return Found(mask, pixels, int(counts.sum()) - sum(pixels.values()), how, holds)


def hints(tally: Tally, rows: list[tuple[Class, int]], editable: bool) -> list[Hint]:
    """Returns the mistakes that all masks together show.

    Args:
        tally: of all masks, with the values of the table.
        rows: the rows of the class table with their train ids.
        editable: whether the table is a classes.csv, which the user can change.
    """
    said, implied = [], any(isinstance(row, Implied) for row, _ in rows)
    if whole := _whole(tally.values, editable, implied):
        said.append(whole)
    if implied and (mixed := _mixed(tally.masks)):
        said.append(Hint(mixed))
    colors, ids = tally.masks.get("gray colours"), tally.masks.get("gray ids")
    if colors and ids:
        said.append(
            Hint(
                f"Some gray masks hold the grays of the class table ({some(colors)}), others hold ids ({some(ids)}). "
                "Save all of them as ids, or all of them in colours."
            )
        )
    return said


def _mixed(masks):
    """A hint if some masks use 255 for a class that has an id in other masks, and 255 is not in the table."""
    foreground, classes = masks.get(_FOREGROUND), masks.get(_CLASSES)
    if not (foreground and classes) or masks.get(_BOTH):
        return ""
    return (
        f"{len(foreground)} masks hold {_FOREGROUND} ({some(foreground)}), and {len(classes)} hold ids without 255 "
        f"({some(classes)}), perhaps 1-bit masks, whose white is 1: the same object would be ignored in some files and a "
        "class in others. Save all masks alike; if 255 does mean unlabelled, add the row 255,ignore."
    )


def _whole(values, editable, implied):
    """A hint about the ids (shifted, spread, foreground only, or a table of the wrong kind), None if they look right."""
    table = [v for v in values.values() if v.train_id is not None]
    ids = sorted(v.code for v in values.values() if v.images and not v.colored)
    classes = {v.code: v.name for v in table if not v.colored and v.train_id != IGNORE}
    unknown = [i for i in ids if values[False, i].train_id is None]
    if any(v.images and v.colored for v in values.values()) and not any(v.colored for v in table):
        do = "Give classes.csv the columns r,g,b" if editable else "Save ids"
        return Hint(f"The masks are in colours, and the class table has none. {do}.")
    if unknown and not classes:
        return Hint("The masks hold ids, and the class table knows colours only. Save them in colours.")
    seen = [i for i in ids if i in classes]
    if ids == [0, IGNORE] and (len(classes) == 2 or (implied and len(classes) > 2)) and len(seen) < 2:
        others = [name for code, name in classes.items() if code != 0]
        other = others[0] if len(others) == 1 else f"one of {some(others)}"
        return Hint(
            f"The masks hold 0 and 255 only, and 255 is ignored: give {other} the id 255 if that is what it means."
        )
    labelled = [i for i in ids if i != IGNORE or i in classes]
    if unknown == [max(classes, default=-2) + 1]:
        if 0 in classes and 0 not in ids:
            return Hint(
                "Every id is one higher than in the class table: the masks count from 1. Number the table from 1."
            )
        if labelled == list(range(len(classes) + 1)):
            text = (
                "There is one id more than classes. If 0 means unlabelled, name it `ignore` and count classes from 1."
            )
            return Hint(text, certain=False)
    steps = [b - a for a, b in itertools.pairwise(ids)]
    if unknown and len(ids) == len(classes) > 1 and min(steps) > 1 and max(steps) - min(steps) <= 1:
        pairs = [f"{i} is {name}" for i, (_, name) in zip(ids, sorted(classes.items()), strict=True)]
        return Hint(f"The ids are spread over the grays, so that people can see them. Most likely {', '.join(pairs)}.")
    return None
