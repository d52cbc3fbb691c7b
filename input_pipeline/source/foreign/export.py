"""What we read from a tool's export: a class table, and images with the functions that draw their masks."""

import collections
import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from input_pipeline.source import files
from input_pipeline.source.class_tables import Class, color_of
from input_pipeline.source.files import IGNORE
from input_pipeline.source.listing import some


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A mask of ids, uint8 [height, width]; `dropped` counts what could not be drawn, by its kind."""

    ids: np.ndarray
    dropped: collections.Counter = dataclasses.field(default_factory=collections.Counter)


@dataclasses.dataclass(frozen=True)
class Item:
    """An image with its annotation."""

    annotation: str  # the file that annotates it, for messages
    image: str  # its path in the tree
    draw: Callable[[tuple[int, int]], Drawn]  # takes the upright image's height and width
    size: tuple[int, int] | None = None  # height and width as the annotation states them
    split: str = ""
    embedded: Callable[[], bytes] | None = None  # reads the image from the annotation, if there is no image file


@dataclasses.dataclass
class Export:
    """The content of a tool's export."""

    title: str
    classes: list[Class]
    items: list[Item]
    notes: list[str]  # what was decided, and what was left out, in sentences
    faults: list[str]  # annotations that cannot be read


@dataclasses.dataclass(frozen=True)
class Table:
    """A class table and the ids of its classes by the names that the annotations use."""

    classes: list[Class]
    ids: dict[str, int]
    background: int  # the id of the pixels that nothing covers
    notes: list[str]


def table(rows: Sequence[tuple], background: bool = True) -> Table:
    """Makes the class table of the rows (name, colour or None, id or None).

    Ids are kept if all rows have one, all differ and all fit in a byte. Otherwise the rows are numbered from 1, or from 0
    if one of them is the background. With `background` there is a class for the pixels that nothing covers: the row of
    that name, or a new one with id 0. labelme's `__ignore__` has id 255 and is called `ignore`.

    Raises ValueError if two rows have the same name (in any case), or for fewer than 2 or more than 255 classes.
    """
    names = ["ignore" if str(row[0]).strip().lower() == "ignore" else str(row[0]).strip() for row in rows]
    folded = [name.casefold() for name in names]
    wrong = sorted({n for n in names if folded.count(n.casefold()) > 1 or not n or not n.isprintable()})
    if wrong:
        raise ValueError(
            f"Expected classes with names that differ by more than case and spaces. "
            f"Received: {some([repr(n) for n in wrong])}. Rename them in the tool."
        )
    notes, chosen, own = [], {}, next((name for name in names if _is_background(name)), "")
    plain = [(name, row) for name, row in zip(names, rows, strict=True) if name != "__ignore__"]
    given = [row[2] for _, row in plain]
    taken = {0} if background and not own else set()
    kept = all(isinstance(i, int) and 0 <= i < IGNORE for i in given) and len(taken | set(given)) == len(given) + len(
        taken
    )
    if not kept:
        first = [name for name, row in plain if name == own or (not own and row[1] == (0, 0, 0))][:1]
        order = [*first, *(name for name, _ in plain if name not in first)]
        given = [order.index(name) + len(taken) for name, _ in plain]
        if any(row[2] is not None for _, row in plain):
            notes.append("The tool's ids are not kept: classes.csv has new ones.")
    if max(given, default=0) >= IGNORE:
        raise ValueError(
            f"Expected at most {IGNORE - 1} classes. Received: {len(plain)}. Join some of them in the tool."
        )
    if background and not own:
        chosen["background"] = (0, None)
    chosen |= {name: (i, row[1]) for (name, row), i in zip(plain, given, strict=True)}
    if len(plain) < len(rows):
        chosen.setdefault("ignore", (IGNORE, None))
    if "ignore" in chosen:
        notes.append(f"Pixels of the class ignore have the id {chosen['ignore'][0]} and count for nothing.")
    if len(chosen.keys() - {"ignore"}) < 2:
        raise ValueError(
            f"Expected at least two classes. Received: {', '.join(chosen) or 'none'}. With fewer there is nothing to learn."
        )
    classes, changed = _colored(chosen)
    if changed:
        notes.append(
            f"Colours that two classes share, or that are another class's id as gray, are new: {some(changed)}."
        )
    ids = {
        str(row[0]): chosen["ignore" if name == "__ignore__" else name][0]
        for name, row in zip(names, rows, strict=True)
    }
    nothing = chosen[own][0] if own else 0
    if background:
        notes.insert(0, f"Pixels that nothing covers are the class {own or 'background'}, id {nothing}.")
    return Table(classes, ids, nothing, notes)


def whole(ids: np.ndarray, size: tuple[int, int], known: Sequence[int]) -> Drawn:
    """A mask that the tool drew itself. Raises ValueError if its size is not `size` or some ids are not in `known`."""
    if ids.shape != tuple(size):
        raise ValueError(
            f"Expected a mask of the size of its image, {size[1]} x {size[0]} (width x height). "
            f"Received: {ids.shape[1]} x {ids.shape[0]}. Export it again"
        )
    found, counts = np.unique(ids, return_counts=True)
    unknown = [f"{i} on {n} pixels" for i, n in zip(found, counts, strict=True) if i not in known]
    if unknown:
        raise ValueError(
            f"Expected the ids {some([str(i) for i in sorted(known)])}. Received: {some(unknown)}. Add them to the tool's table"
        )
    return Drawn(ids.astype(np.uint8))


def _is_background(name):
    return name.strip("_").lower() == "background"


def _colored(chosen):
    """The classes of {name: (id, colour)} in the order of their ids, and the names of those that need another colour."""
    ids, classes, changed = {IGNORE, *(i for i, _ in chosen.values())}, [], []
    used = {color for _, color in chosen.values() if color}
    seen = set()
    for name, (i, color) in sorted(chosen.items(), key=lambda pair: pair[1][0]):
        # A gray colour whose level is the id of another class would make gray masks ambiguous.
        gray = color and len(set(color)) == 1 and color[0] in ids - {i}
        if color is None or color in seen or gray:
            changed += [name] if color else []
            free = (color_of(k) for k in range(3 * IGNORE))
            color = next(c for c in free if c not in used | seen and not (len(set(c)) == 1 and c[0] in ids))
        seen.add(color)
        classes.append(Class(name, tuple(color), i))
    return classes, changed


def mask_ids(data: bytes) -> np.ndarray:
    """The ids of an encoded mask, [height, width]. Raises ValueError if it holds colours."""
    ids = files.decode_mask(data)
    if ids.ndim == 3 and (ids == ids[..., :1]).all():
        ids = ids[..., 0]
    if ids.ndim != 2:
        raise ValueError("Expected a mask of ids, gray or with a palette. Received: colours. Export it again")
    return ids
