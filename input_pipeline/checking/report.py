"""Reads every file of a source tree once and reports its content and faults; writes nothing.

report = check("folder", "path/to/folder")
report.findings   -> the faults, each with what to do; [] if there are none
report.notes      -> other facts that are good to know
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

from input_pipeline import records, windows
from input_pipeline.checking import objects as objects_lib
from input_pipeline.checking.advice import suggest
from input_pipeline.preparation import cache
from input_pipeline.preparation.convert import check_sizes, contents, in_parallel, named, read_image, read_mask
from input_pipeline.preparation.judgement import Found, Tally, Value, found
from input_pipeline.source import files, sequences
from input_pipeline.source.class_tables import Class
from input_pipeline.source.evidence import ConflictError, Reading
from input_pipeline.source.images import Picture, Range, range_text
from input_pipeline.source.listing import Example, Window, some
from input_pipeline.source.walk import is_picture

UNKNOWN = -1  # in a tile's label, pixels outside the class table
HOW = {  # how masks are read, if there was a choice
    "palette colours": "palette masks are read by their colours, which are the table's in another order",
    "gray colours": "gray masks are read by the class table's grays",
}
TILES, TILE_WIDTH = 12, 320  # of the contact sheet: their number, and their width in pixels


@dataclasses.dataclass(frozen=True)
class Tile:
    """A small copy of an example: image RGB uint8 [h, w, 3], label int16 [h, w] of train ids, IGNORE and UNKNOWN."""

    split: str
    id: str
    image: np.ndarray
    label: np.ndarray


@dataclasses.dataclass
class Report:
    """The result of a check. A value is a raw id, or the code of a colour (`files.color_code`)."""

    name: str
    source: Path | None
    classes: tuple[Class, ...]
    splits: dict[str, int]
    rows: tuple[tuple[Class, int], ...]  # of the class table, with their train ids
    tally: Tally  # of the values of the table and of those found in masks
    table: frozenset  # the keys of the values of the table
    lenient: bool = False  # whether preparation ignores colours outside the table
    image_range: str = ""  # the option's value
    image_kinds: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    mask_kinds: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    sizes: collections.Counter = dataclasses.field(default_factory=collections.Counter)  # of (height, width)
    faults: list[str] = dataclasses.field(default_factory=list)  # `file: what is wrong`
    outside: list[str] = dataclasses.field(default_factory=list)  # masks with values outside the table
    turned: list[str] = dataclasses.field(default_factory=list)  # examples that EXIF turns
    left_out: dict[str, list[str]] = dataclasses.field(default_factory=dict)  # {channels that are left out: examples}
    range: Range | None = None  # of the images deeper than 8 bits
    leaks: list[str] = dataclasses.field(default_factory=list)  # the same image in two splits
    repeated: list[str] = dataclasses.field(default_factory=list)  # the same image twice in a split
    alone: list[str] = dataclasses.field(default_factory=list)  # masks without an image
    unlisted: list[str] = dataclasses.field(default_factory=list)  # images that no split names
    sequences: list[str] = dataclasses.field(default_factory=list)  # sequences of video frames that are in two splits
    tiles: list[Tile] = dataclasses.field(default_factory=list)
    # Of each split, if the data set has any.
    objects: dict[str, objects_lib.Objects] = dataclasses.field(default_factory=dict)
    instances: bool = False  # whether the objects are instances; otherwise they are boxes alone

    @property
    def values(self) -> dict[tuple[bool, int], Value]:
        """{(whether it is a colour, its code): value}, of the table and of those found in masks."""
        return self.tally.values

    @property
    def beyond(self) -> int:
        """Pixels of further values outside the table, which are not counted separately."""
        return self.tally.beyond

    @property
    def findings(self) -> list[str]:
        """The faults of the data, each with what to do."""
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
        """Facts that are good to know but are no faults."""
        seen = {v.train_id for v in self.values.values() if v.images}
        missing = [c.name for i, c in enumerate(self.classes) if i not in seen]
        lines = {
            "classes without a pixel": missing,
            "images turned upright, as their EXIF says": self.turned,
            "images that are twice in their split": self.repeated,
            "images that are in no split": self.unlisted,
            sequences.NOTE: self.sequences,
        } | {f"images have {what}, which is left out": names for what, names in sorted(self.left_out.items())}
        lines = [f"{len(names)} {what}: {some(names)}" for what, names in lines.items() if names]
        lines += [f"{range_text(self.range, self.image_range)[0]}."] if self.range else []
        for how, text in HOW.items():
            masks = self.tally.masks.get(how)
            lines += [f"{len(masks)} {text}: {some(masks)}"] if masks else []
        if left_out := sum(counts.left_out for counts in self.objects.values()):
            what = "instances without a labelled pixel" if self.instances else "boxes outside their image"
            lines.append(f"{left_out} {what} will be left out.")
        return lines + ["Preparation will ignore these pixels. " + line for line in self._strange if self.lenient]

    @property
    def _strange(self):
        said = suggest(self.tally, self.rows, bool(self.source and (self.source / "classes.csv").is_file()))
        if self.beyond:
            said.append(f"{self.beyond} pixels have still other values: smooth edges, as of a JPEG or a scaled mask.")
        return said


def check(spec: str, data_dir: str = "", image_range: str = "") -> Report:
    """Reads every image and mask of a source tree; raises only if the files cannot be listed."""
    files.limits_of(image_range)
    if data_dir and records.is_prepared(Path(data_dir).expanduser()):
        raise ValueError(
            f"Expected data_dir to be the source tree. Received: {data_dir}, which is records made and checked of one."
        )
    builder = cache.source_builder(spec, data_dir)
    splits = {split: len(examples) for split, examples in builder.splits.items()}
    table, tally = builder.conversion, Tally()
    tally.start(table.rows, builder.classes, table.by_color)
    with_objects = {split: objects_lib.Objects() for split in splits} if builder.boxes else {}
    report = Report(
        builder.name, builder.source, builder.classes, splits, table.rows, tally, frozenset(tally.values),
        table.lenient, image_range, objects=with_objects, instances=builder.instances,
    )  # fmt: skip
    first_of = {}  # {digest of an image: its place}
    total = sum(splits.values())
    drawn = functools.partial(
        windows.shown, steps=builder.steps, colors=np.array([c.color for c in builder.classes], np.uint8)
    )
    look = functools.partial(_look, table, image_range, drawn)
    for seen in in_parallel(look, _items(builder.splits), total, f"{builder.name} check"):
        _add(report, seen, first_of)
    if getattr(builder, "chosen_by_name", False):
        report.sequences = sequences.split_sequences(builder.splits)
    if builder.source:
        report.alone, report.unlisted = _strays(builder.splits)
    return report


@dataclasses.dataclass
class _Seen:
    """The content of one example."""

    split: str
    id: str
    faults: list[str] = dataclasses.field(default_factory=list)
    image_kind: str = ""
    mask_kind: str = ""
    size: tuple[int, int] | None = None
    digest: bytes = b""
    picture: Picture | None = None  # without its pixels
    found: Found | None = None  # what the mask holds
    tile: Tile | None = None
    objects: objects_lib.Seen | None = None


def _items(splits) -> Iterator[tuple[str, Example, bool]]:
    """Every example with its split, and whether the contact sheet shows it; the sheet's are evenly spread."""
    for split, examples in splits.items():
        count = min(len(examples), max(1, TILES // len(splits)))
        shown = {round(i * (len(examples) - 1) / max(count - 1, 1)) for i in range(count)}
        for i, example in enumerate(examples):
            yield split, example, i in shown


def _look(conversion, image_range, drawn, item) -> _Seen:
    """Reads an example; `drawn` makes the picture of its image."""
    split, example, shown = item
    seen, image, mask = _Seen(split, example.id), None, None
    try:
        windowed = isinstance(example.image, Window)
        data = conversion.picture(example.image).pixels if windowed else contents(example.image)
        seen.image_kind = "label maps" if windowed else _kind(data)
        picture = Picture(b"", data) if isinstance(data, np.ndarray) else read_image(data, image_range)
        image, seen.picture = picture.pixels, dataclasses.replace(picture, encoded=b"", pixels=None)
        seen.size = image.shape[:2]
        seen.digest = hashlib.blake2b(image.tobytes() + repr(seen.size).encode(), digest_size=16).digest()
    except files.FAULTS as error:
        seen.faults.append(f"{example.image}: {files.reason(error)}")
    try:
        data = contents(example.mask)
        seen.mask_kind = _kind(data)
        mask = read_mask(data)
        if image is not None:
            check_sizes(image, mask.values, seen.picture.turned)
    except files.FAULTS as error:
        seen.faults.append(f"{example.mask}: {files.reason(error)}")
    label = None
    if mask is not None:
        reading = _reading(conversion, mask, seen, example)
        seen.found = found(named(example.mask), reading.codes, reading.colored, reading.lookup, reading.how)
        if shown or example.instances is not None:
            label = _label(reading)
    if image is not None:
        try:
            seen.objects = objects_lib.read(example, image, label, seen.picture.turned)
        except files.FAULTS as error:
            part = example.boxes if example.instances is None else example.instances
            seen.faults.append(f"{part}: {files.reason(error)}")
    if shown and label is not None and not seen.faults:
        seen.tile = tile(split, example.id, drawn(image), label, boxes=seen.objects.boxes if seen.objects else ())
    return seen


def _label(reading):
    """The train ids of a mask, int16, with UNKNOWN outside the table."""
    label = np.full(reading.codes.shape, UNKNOWN, np.int16)
    if reading.lookup:  # filled in: np.where would make 255 of UNKNOWN beside the lookup's uint8
        known = np.isin(reading.codes, reading.lookup.known)
        label[known] = reading.lookup(reading.codes[known])
    return label


def _kind(data):
    return files.kind(data) if isinstance(data, bytes) else "array"


def _reading(conversion, mask, seen, example):
    """How a mask is read. The lookup is None if the table lacks its kind of values or the evidence conflicts."""
    try:
        return conversion.reading(mask)
    except ConflictError as error:
        seen.faults.append(f"{example.mask}: {files.reason(error)}")
    except ValueError:  # colours without a table of colours, or ids without one of ids: all are outside
        pass
    colored = mask.values.ndim == 3
    return Reading(None, files.color_code(mask.values) if colored else mask.values, colored)


def tile(split: str, name: str, image: np.ndarray, label: np.ndarray, width: int = TILE_WIDTH, boxes=()) -> Tile:
    """A small copy of an example, at most `width` pixels wide, with its boxes (x1, y1, x2, y2, pixels) drawn in white."""
    if len(boxes):
        image = image.copy()
    for box in boxes:
        left, top, right, bottom = (round(float(edge)) for edge in box)
        cv2.rectangle(image, (left, top), (right - 1, bottom - 1), (255, 255, 255), max(1, image.shape[1] // width))
    width = min(width, image.shape[1])
    size = width, max(1, round(width * image.shape[0] / image.shape[1]))
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return Tile(split, name, image, cv2.resize(label, size, interpolation=cv2.INTER_NEAREST_EXACT))


def _add(report, seen, first_of):
    place = f"{seen.split}/{seen.id}"
    report.faults += seen.faults
    report.image_kinds.update([seen.image_kind] if seen.image_kind else [])
    report.mask_kinds.update([seen.mask_kind] if seen.mask_kind else [])
    report.sizes.update([seen.size] if seen.size else [])
    report.tiles += [seen.tile] if seen.tile else []
    if seen.objects:
        report.objects[seen.split].add(seen.objects)
    if seen.picture:
        report.turned += [place] if seen.picture.turned else []
        report.range = seen.picture.range | report.range if seen.picture.range else report.range
        if seen.picture.left_out:
            report.left_out.setdefault(seen.picture.left_out, []).append(place)
    if seen.found:
        unknown = [str(Value(*value)) for value in seen.found.values if value not in report.table]
        if unknown:
            report.outside.append(f"{seen.found.mask} ({place}): {some(unknown)}")
        report.tally.add(seen.found, place)
    if seen.digest:
        split, other = first_of.setdefault(seen.digest, (seen.split, place))
        if other != place:
            (report.repeated if split == seen.split else report.leaks).append(f"{place} = {other}")


def _strays(splits):
    """Returns (masks without an image, images that no split names) in the folders that the examples are in."""
    examples = [e for of_split in splits.values() for e in of_split]
    past = [part for e in examples if isinstance(e.image, Window) for part in e.image.past]
    images, masks = (
        {p for p in parts if isinstance(p, Path)}
        for parts in ([e.image for e in examples], [*(e.mask for e in examples), *past])
    )
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
    """Whether a file is another form of a known example, such as Cityscapes' `<id>_gtFine_color.png`."""
    return any(path.stem[: end.start()] in stems for end in re.finditer(r"[^0-9A-Za-z]", path.stem))


def _files(count, what="file"):
    return f"{count} {what}{'s' if count > 1 else ''}"
