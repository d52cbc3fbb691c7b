"""Class tables: which value of a mask is which class, and the colour that the class is shown in."""

import csv
import dataclasses
from pathlib import Path

from input_pipeline.source.files import IGNORE


@dataclasses.dataclass(frozen=True)
class Class:
    """One row of a class table: its train id is its place in the table, `raw` the id that the source's masks hold."""

    name: str
    color: tuple[int, int, int]
    raw: int | None = None


class Implied(Class):
    """A row that the table does not have: 255 is ignored where no row says what it is."""


def color_of(index: int) -> tuple[int, int, int]:
    """The colour of a class that has none: PASCAL VOC's rule, where each index spreads its bits over r, g and b."""
    color, index = [0, 0, 0], index + 1  # 0 would be black, which is what ignored pixels are shown as
    for bit in range(8):
        for channel in range(3):
            color[channel] |= (index >> (3 * bit + channel) & 1) << (7 - bit)
    return tuple(color)


def read(path: Path) -> tuple[list[Class], list[Class], bool]:
    """Returns (classes, ignored rows, whether the table has colours) of a classes.csv."""
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected a class table with the header id,name or id,name,r,g,b. Received: no {path}."
        )
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, skipinitialspace=True)
        header = [name.strip().lower() for name in reader.fieldnames or ()]
        reader.fieldnames = header
        by_color = {"r", "g", "b"} <= set(header)
        if not {"id", "name"} <= set(header) or (len(header) > 2 and not by_color):
            raise ValueError(f"Expected the header id,name or id,name,r,g,b. Received: {','.join(header)!r} in {path}.")
        rows, faults = [], []
        for row in reader:
            try:
                color = tuple(int(row[c]) for c in "rgb") if by_color else None
                rows.append(Class(row["name"].strip(), color, int(row["id"])))
                if not rows[-1].name or rows[-1].raw < 0 or (color and not all(0 <= c <= 255 for c in color)):
                    raise ValueError
            except (AttributeError, TypeError, ValueError):
                faults.append(f"line {reader.line_num}: {','.join(str(v) for v in row.values())}")
    columns = {"ids": [r.raw for r in rows], "names": [r.name for r in rows]} | (
        {"colours": [r.color for r in rows]} if by_color else {}
    )
    for what, values in columns.items():
        faults += [f"{what}: {v} more than once" for v in sorted({v for v in values if values.count(v) > 1})]
    if faults or not rows:
        raise ValueError(
            f"Expected rows of a whole id from 0, a name and, in 0..255, r,g,b, none of them twice. "
            f"Received in {path}: {'; '.join(faults) or 'no row'}."
        )
    ignored = [row for row in rows if row.name == "ignore"]
    classes = [row for row in rows if row.name != "ignore"]
    if IGNORE not in columns["ids"]:
        ignored.append(Implied("ignore", None, IGNORE))
    return [Class(c.name, c.color or color_of(i), c.raw) for i, c in enumerate(classes)], ignored, by_color
