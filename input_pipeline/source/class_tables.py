"""Reads class tables, which say which value of a mask is which class, and the colour of each class in pictures."""

import csv
import dataclasses
import io
import re
from pathlib import Path

from input_pipeline.source import texts
from input_pipeline.source.files import IGNORE, color_text
from input_pipeline.source.palette import color_of, colors_of, voc_color

__all__ = ["Class", "Implied", "Uncolored", "color_of", "colors_of", "read", "voc_color"]

HEADERS = "id,name or id,name,r,g,b"
_IDS = range(-(1 << 31), 1 << 31)  # the ids that a mask of up to 32 bits can hold


@dataclasses.dataclass(frozen=True)
class Class:
    """One row of a class table. Its train id is its position in the table, `raw` is its id in the masks of the source."""

    name: str
    color: tuple[int, int, int]
    raw: int | None = None


class Uncolored(Class):
    """A class whose table gives no colour; pictures show it in a colour that we choose."""


class Implied(Class):
    """A row that we add: 255 is ignored if the table does not say what it is."""


def read(path: Path) -> tuple[list[Class], list[Class], bool]:
    """Returns (classes, ignored rows, whether the table has colours) of a classes.csv.

    Rows called `ignore`, in any case, are ids (and colours) of pixels that do not count. There may be several of them, and
    the id or the colour may be missing. An id is a whole number of 32 bits, such as -1. Columns are divided by commas,
    semicolons or tabs. Raises ValueError, with the lines, for a row that is not understood, for an id, a name (in any
    case) or a colour that stands for two things, and for fewer than two classes.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected a class table with the header {HEADERS}. Received: no {path}.{_beside(path)}"
        )
    rows, by_color, faults = _rows(path)
    for what, values in _columns(rows).items():
        for shown, lines in values.items():
            faults += [f"{what}: {shown} more than once (lines {_listed(lines)})"] if len(lines) > 1 else []
    if faults or not rows:
        raise ValueError(
            "Expected rows of a whole id, a name and, with r,g,b in the header, three values in 0..255; no id, name or "
            f"colour twice. Received in {path}: {'; '.join(faults) or 'no row'}. Correct these lines."
        )
    ignored = [Class("ignore", row.color, row.raw) for _, row in rows if _is_ignore(row)]
    classes = [row for _, row in rows if not _is_ignore(row)]
    if len(classes) < 2:
        only = f"one class, {classes[0].name!r}" if classes else "none, all rows are ignored"
        raise ValueError(
            f"Expected at least two classes: with fewer there is nothing to tell apart. Received in {path}: {only}. "
            "Give the background (or everything else) a row of its own, with the id that its pixels have."
        )
    if IGNORE not in {row.raw for _, row in rows}:
        ignored.append(Implied("ignore", None, IGNORE))
    colors = colors_of([row.name for row in classes])
    shown = zip(classes, colors, strict=True)
    classes = [c if c.color else Uncolored(c.name, color, c.raw) for c, color in shown]
    return classes, ignored, by_color


def _rows(path):
    """Returns ([(line, row)], whether there are columns r,g,b, faults) of a table."""
    text = texts.read(path)
    start = 0
    if sep := re.match(r"sep=(.)\r?\n", text, re.IGNORECASE):  # written by Excel, which does not show it
        text, start = text[sep.end() :], 1
    first = next((line for line in text.splitlines() if line.strip()), "")
    divider = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=divider, skipinitialspace=True)
    rows, faults, header = [], [], None
    try:
        for values in reader:
            values = [value.strip() for value in values]
            line = reader.line_num + start
            if not any(values):
                continue  # spreadsheets write such rows below a table
            if header is None:
                header = _header(values, path)
                continue
            try:
                rows.append((line, _row(header, values)))
            except ValueError as error:
                faults.append(f"line {line}: {divider.join(values)} ({error})")
    except csv.Error as error:
        faults.append(f"line {reader.line_num + start}: {error}")
    return rows, "r" in (header or _header([], path)), faults


def _header(values, path):
    """The names of the columns, in lower case; empty ones at the end are dropped."""
    header = [value.lower() for value in values]
    while header and not header[-1]:
        header.pop()
    colored = {"r", "g", "b"} <= set(header)
    if not {"id", "name"} <= set(header) or (len(header) > 2 and not colored) or len(set(header)) < len(header):
        raise ValueError(
            f"Expected the header {HEADERS}. Received: {','.join(header)!r} in {path}. Make it the first line."
        )
    return header


def _row(header, values):
    """The class of a row; raises ValueError with what is wrong."""
    if any(values[len(header) :]):
        raise ValueError(f"{len(values)} values for {len(header)} columns; put a name with a separator in quotes")
    row = dict.fromkeys(header, "") | dict(zip(header, values, strict=False))
    name, shade = row["name"], [row[channel] for channel in "rgb" if channel in row]
    ignored = name.casefold() == "ignore"
    if not name or not name.isprintable():
        raise ValueError(
            "no name" if not name else "a name with a line break or another control character; a lone quote?"
        )
    colored = any(shade) or bool(shade and not ignored)
    if colored and not all(re.fullmatch("[0-9]{1,3}", value) and int(value) <= 255 for value in shade):
        raise ValueError("r,g,b are no three values in 0..255")
    if (row["id"] or not (ignored and colored)) and not re.fullmatch(r"[+-]?[0-9]{1,10}", row["id"]):
        raise ValueError("the id is no whole number")
    raw = int(row["id"]) if row["id"] else None
    if raw is not None and raw not in _IDS:
        raise ValueError("the id has more than 32 bits")
    return Class(name, tuple(map(int, shade)) if colored else None, raw)


def _columns(rows):
    """{what: {value as shown: lines}} for values that must be unique; ignored rows may share their colour and name."""
    found = {"ids": {}, "names": {}, "colours": {}}
    known = {}
    for line, row in rows:
        ignored = _is_ignore(row)
        if row.raw is not None:
            found["ids"].setdefault(str(row.raw), []).append(line)
        if not ignored:
            shown = known.setdefault(" ".join(row.name.casefold().split()), row.name)
            found["names"].setdefault(shown, []).append(line)
        if row.color:
            found["colours"].setdefault(row.color, []).append((line, ignored))
    colors = {
        color_text(r << 16 | g << 8 | b): [line for line, _ in users] if not all(i for _, i in users) else []
        for (r, g, b), users in found["colours"].items()
    }
    return found | {"colours": colors}


def _is_ignore(row):
    return row.name.casefold() == "ignore"


def _listed(lines):
    return f"{', '.join(map(str, lines[:-1]))} and {lines[-1]}"


def _beside(path):
    """Suggests a file that may be the missing class table."""
    there = sorted(p.name for p in path.parent.iterdir() if p.is_file()) if path.parent.is_dir() else []
    alike = [name for name in there if name.lower() == path.name.lower()]
    tables = dict.fromkeys(alike + [n for n in there if n.lower().endswith((".csv", ".tsv"))])
    return f" There is {', '.join(tables)}: if that is it, write it as {path.name}." if tables else ""
