"""What a source tree holds, for its owner's eyes: every file read once, nothing written.

report = check("folder", "path/to/folder")
report.findings   -> what keeps the data from being right; [] where it is clean
report.notes      -> what is good to know
"""

import collections
import dataclasses
import functools
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from input_pipeline import records
from input_pipeline.checking.advice import Value, suggest
from input_pipeline.preparation import cache
from input_pipeline.preparation.convert import check_sizes, contents, in_parallel, reason
from input_pipeline.source import files, sequences
from input_pipeline.source.class_tables import Class
from input_pipeline.source.files import IGNORE
from input_pipeline.source.listing import Example, some
from input_pipeline.source.walk import is_picture

UNKNOWN = -1  # in a tile's label, pixels outside the class table
TILES, TILE_WIDTH = 12, 320  # of the contact sheet: how many, and their width in pixels
_VALUES = 1000  # values outside the table that are told apart: a mask saved as JPEG has a million


@dataclasses.dataclass(frozen=True)
class Tile:
    """An example in small: image RGB uint8 [h, w, 3], label int16 [h, w] of train ids, IGNORE and UNKNOWN."""

    split: str
    id: str
    image: np.ndarray
    label: np.ndarray


@dataclasses.dataclass
class Report:
    """What was found. A value is a raw id, or the code of a colour (`files.color_code`)."""

    name: str
    source: Path | None
    classes: tuple[Class, ...]
    splits: dict[str, int]
    values: dict[tuple[bool, int], Value]  # by (whether it is a colour, its code): those of the table, and found ones
    table: frozenset  # the keys of those of the table
    lenient: bool = False  # whether preparation ignores colours outside the table
    beyond: int = 0  # pixels of values outside the table beyond the first _VALUES
    image_kinds: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    mask_kinds: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    sizes: collections.Counter = dataclasses.field(default_factory=collections.Counter)  # of (height, width)
    faults: list[str] = dataclasses.field(default_factory=list)  # `file: what is wrong`
    outside: list[str] = dataclasses.field(default_factory=list)  # masks with values outside the table
    turned: list[str] = dataclasses.field(default_factory=list)  # examples that EXIF turns
    leaks: list[str] = dataclasses.field(default_factory=list)  # the same image in two splits
    repeated: list[str] = dataclasses.field(default_factory=list)  # the same image twice in a split
    alone: list[str] = dataclasses.field(default_factory=list)  # masks without an image
    unlisted: list[str] = dataclasses.field(default_factory=list)  # images that no split names
    sequences: list[str] = dataclasses.field(default_factory=list)  # of frames of a video, that are in two splits
    tiles: list[Tile] = dataclasses.field(default_factory=list)

    @property
    def findings(self) -> list[str]:
        """What keeps the data from being right, each with what to do."""
        found = []
        groups = collections.defaultdict(list)
        for fault in self.faults:
            groups[re.sub(r"[\d.]+|(?<=Received: )[^.]*", "#", fault.partition(": ")[2])].append(fault)
        for group in groups.values():
            found.append(f"{_files(len(group))} cannot be used:\n     " + some(group, "\n     "))
        found += [] if self.lenient else self._strange
        if self.leaks:
            found.append(
                f"{_files(len(self.leaks), 'image')} in two splits, which makes scores too good. Remove from one: "
                + some(self.leaks)
            )
        if self.alone:
            found.append(
                f"{_files(len(self.alone), 'mask')} without an image; add the image, or rename one of the two: "
                + some(self.alone)
            )
        return found

    @property
    def notes(self) -> list[str]:
        """What is good to know and no fault."""
        seen = {v.train_id for v in self.values.values() if v.images}
        missing = [c.name for i, c in enumerate(self.classes) if i not in seen]
        lines = {
            "classes without a pixel": missing,
            "images turned upright, as their EXIF says": self.turned,
            "images that are twice in their split": self.repeated,
            "images that are in no split": self.unlisted,
            sequences.NOTE: self.sequences,
        }
        lines = [f"{len(names)} {what}: {some(names)}" for what, names in lines.items() if names]
        return lines + ["Preparation will ignore these pixels. " + line for line in self._strange if self.lenient]

    @property
    def _strange(self):
        said = suggest(self.values, bool(self.source and (self.source / "classes.csv").is_file()))
        if self.beyond:
            said.append(f"{self.beyond} pixels have still other values: smooth edges, as of a JPEG or a scaled mask.")
        return said


def check(spec: str, data_dir: str = "") -> Report:
    """Reads every image and mask of a source tree; raises only where its files cannot be listed at all."""
    if data_dir and records.is_prepared(Path(data_dir).expanduser()):
        raise ValueError(
            f"Expected data_dir to be the source tree. Received: {data_dir}, which is records made and checked of one."
        )
    builder = cache.source_builder(spec, data_dir)
    splits = {split: len(examples) for split, examples in builder.splits.items()}
    values = _table(builder)
    lenient = builder.conversion.lenient
    report = Report(builder.name, builder.source, builder.classes, splits, values, frozenset(values), lenient)
    first_of = {}  # {digest of an image: its place}
    total = sum(splits.values())
    look = functools.partial(_look, builder.conversion)
    for seen in in_parallel(look, _items(builder.splits), total, f"{builder.name} check"):
        _add(report, seen, first_of)
    if getattr(builder, "chosen_by_name", False):
        report.sequences = sequences.split_sequences(builder.splits)
    if builder.source:
        report.alone, report.unlisted = _strays(builder.splits)
    return report


@dataclasses.dataclass
class _Seen:
    """What one example holds."""

    split: str
    id: str
    faults: list[str] = dataclasses.field(default_factory=list)
    image_kind: str = ""
    mask_kind: str = ""
    mask: str = ""
    size: tuple[int, int] | None = None
    digest: bytes = b""
    turned: bool = False
    values: dict = dataclasses.field(default_factory=dict)  # {(whether a colour, code): pixels}
    beyond: int = 0
    tile: Tile | None = None


def _items(splits) -> Iterator[tuple[str, Example, bool]]:
    """Every example with its split and whether it is one of those, spread evenly, that the contact sheet shows."""
    for split, examples in splits.items():
        count = min(len(examples), max(1, TILES // len(splits)))
        shown = {round(i * (len(examples) - 1) / max(count - 1, 1)) for i in range(count)}
        for i, example in enumerate(examples):
            yield split, example, i in shown


def _look(conversion, item) -> _Seen:
    """Reads an example."""
    split, example, shown = item
    seen, image, raw = _Seen(split, example.id, mask=_named(example.mask)), None, None
    try:
        data = contents(example.image)
        seen.image_kind = _kind(data)
        image = files.decode_image(data)[1] if isinstance(data, bytes) else data
        seen.turned = isinstance(data, bytes) and files.is_turned(data)
        seen.size = image.shape[:2]
        seen.digest = hashlib.blake2b(image.tobytes() + repr(seen.size).encode(), digest_size=16).digest()
    except files.FAULTS as error:
        seen.faults.append(f"{example.image}: {reason(error)}")
    try:
        data = contents(example.mask)
        seen.mask_kind = _kind(data)
        raw = files.decode_mask(data) if isinstance(data, bytes) else data
        if image is not None:
            check_sizes(image, raw, seen.turned)
    except files.FAULTS as error:
        seen.faults.append(f"{example.mask}: {reason(error)}")
    if example.boxes and image is not None:
        try:
            example.boxes.read().within(seen.size)
        except files.FAULTS as error:
            seen.faults.append(f"{example.boxes}: {reason(error)}")
    if raw is not None:
        lookup, codes = _count(conversion, raw, seen)
        if shown and not seen.faults:
            label = np.full(codes.shape, UNKNOWN, np.int16)
            if lookup:  # filled in: np.where would make 255 of UNKNOWN beside the lookup's uint8
                known = np.isin(codes, lookup.known)
                label[known] = lookup(codes[known])
            seen.tile = _tile(split, example.id, image, label)
    return seen


def _named(part):
    return "an array" if isinstance(part, (bytes, np.ndarray)) else str(part)


def _kind(data):
    return files.kind(data) if isinstance(data, bytes) else "array"


def _count(conversion, raw, seen):
    """Counts the values of a mask into `seen`; returns them, and the lookup of the table, None where none fits."""
    try:
        lookup, codes = conversion.table(raw)
    except ValueError:  # colours without a table of colours, or ids without one of ids: all are outside
        lookup, codes = None, files.color_code(raw) if raw.ndim == 3 else raw
    colored = raw.ndim == 3 and lookup is not conversion.by_id
    in_table = lookup.known if lookup else []
    small = codes.dtype.itemsize < 3 and codes.dtype.kind == "u"
    counts = np.bincount(codes.ravel()) if small else None
    found, counts = (np.flatnonzero(counts), counts[counts > 0]) if small else np.unique(codes, return_counts=True)
    order = np.lexsort((-counts, ~np.isin(found, in_table)))  # those of the table first, then the commonest
    kept = order[: len(in_table) + _VALUES]
    seen.values = {(colored, int(found[i])): int(counts[i]) for i in kept}
    seen.beyond = int(counts.sum()) - sum(seen.values.values())
    return lookup, codes


def _tile(split, name, image, label):
    width = min(TILE_WIDTH, image.shape[1])
    size = width, max(1, round(width * image.shape[0] / image.shape[1]))
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return Tile(split, name, image, cv2.resize(label, size, interpolation=cv2.INTER_NEAREST_EXACT))


def _table(builder):
    """The values of the class table, none of them found yet."""
    values = {}
    for row, train_id in builder.conversion.rows:
        becomes = "ignored" if train_id == IGNORE else builder.classes[train_id].name
        name = becomes if row.name in (becomes, "ignore") else f"{row.name} ({becomes})"
        if row.raw is not None:
            values[False, row.raw] = Value(False, row.raw, name, train_id)
        if row.color and builder.conversion.by_color:
            code = int(files.color_code(row.color))
            values[True, code] = Value(True, code, name, train_id)
    return values


def _add(report, seen, first_of):
    place = f"{seen.split}/{seen.id}"
    report.faults += seen.faults
    report.image_kinds.update([seen.image_kind] if seen.image_kind else [])
    report.mask_kinds.update([seen.mask_kind] if seen.mask_kind else [])
    report.sizes.update([seen.size] if seen.size else [])
    report.turned += [place] if seen.turned else []
    report.tiles += [seen.tile] if seen.tile else []
    report.beyond += seen.beyond
    unknown = [value for value in seen.values if value not in report.table]
    if unknown:
        values = [str(Value(*value)) for value in unknown]
        report.outside.append(f"{seen.mask} ({place}): {some(values)}")
    for (colored, code), pixels in seen.values.items():
        if (colored, code) not in report.values and len(report.values) >= _VALUES:
            report.beyond += pixels
            continue
        value = report.values.setdefault((colored, code), Value(colored, code))
        value.pixels, value.images, value.example = value.pixels + pixels, value.images + 1, value.example or place
    if seen.digest:
        split, other = first_of.setdefault(seen.digest, (seen.split, place))
        if other != place:
            (report.repeated if split == seen.split else report.leaks).append(f"{place} = {other}")


def _strays(splits):
    """Returns (masks without an image, images that no split names) in the folders that the examples are in."""
    examples = [e for of_split in splits.values() for e in of_split]
    images, masks = ({p for e in examples if isinstance(p := getattr(e, key), Path)} for key in ("image", "mask"))
    known = images | masks
    stems = {e.id.rpartition("/")[2] for e in examples} | {p.stem for p in known}
    folders = {p.parent for p in masks} - {p.parent for p in images}
    unlisted = [p for p in _pictures({p.parent for p in images}) if p not in known and not _sibling(p, stems)]
    stems |= {p.stem for p in unlisted}  # their masks are not alone
    alone = [p for p in _pictures(folders) if p not in masks and p.stem not in stems and not _sibling(p, stems)]
    return [str(p) for p in alone], [str(p) for p in unlisted]


def _pictures(folders):
    found = (p for folder in sorted(folders) if folder.is_dir() for p in sorted(folder.iterdir()))
    return (p for p in found if is_picture(p.name) and not p.is_dir())


def _sibling(path, stems):
    """Whether a file is another product of a known example, as Cityscapes' `<id>_gtFine_color.png`."""
    return any(path.stem[: end.start()] in stems for end in re.finditer(r"[^0-9A-Za-z]", path.stem))


def _files(count, what="file"):
    return f"{count} {what}{'s' if count > 1 else ''}"
