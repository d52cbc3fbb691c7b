"""Turns an example of the source tree into its record: reads, checks and counts it and maps it to train ids, on all cores."""

import collections
import concurrent.futures
import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from input_pipeline import instances, progress, windows
from input_pipeline.preparation.counts import Counted, count
from input_pipeline.preparation.encoding import Storage
from input_pipeline.preparation.judgement import Found, found
from input_pipeline.source import files, images, masks
from input_pipeline.source.class_tables import Class, Implied
from input_pipeline.source.evidence import Reading, read_by
from input_pipeline.source.files import IGNORE
from input_pipeline.source.images import Picture
from input_pipeline.source.listing import Example, Part, Window, some
from input_pipeline.source.masks import Mask


@dataclasses.dataclass(frozen=True)
class Converted:
    """An example's record and its counts, or, if a file has a `fault`, which file and why."""

    id: str
    record: dict | None = None
    fault: str = ""
    counts: Counted | None = None
    found: Found | None = None  # the values in its mask, if it could be read
    outside: dict = dataclasses.field(default_factory=dict)  # {colour code: pixels} that a lenient table ignored


class Conversion:
    """Converts examples with a class table. It can be pickled, because Beam sends it to its workers."""

    def __init__(self, rows: Sequence[tuple[Class, int]], by_color: bool = False, lenient: bool = False):
        """`rows` are (class, train id or IGNORE); `by_color` and `lenient` are those of `builder.Builder`."""
        self.rows = tuple(rows)
        by_id = {row.raw: i for row, i in rows if row.raw is not None}
        colors = {int(files.color_code(row.color)): i for row, i in rows if row.color}
        self.by_id = files.Lookup(by_id) if by_id else None
        self.by_color = files.Lookup(colors) if by_color else None
        self.implied = tuple(row.raw for row, _ in rows if isinstance(row, Implied))
        self.lenient = lenient
        self.storage = Storage()

    def __call__(self, example: Example) -> Converted:
        """Returns the record, or the fault, of an example."""
        part, seen = example.image, None
        try:
            picture = self.picture(part)
            part = example.mask
            mask = read_mask(part)
            check_sizes(picture.pixels, mask.values, picture.turned)
            reading = self.reading(mask)
            if not reading.colored:
                seen = found(named(part), reading.codes, False, reading.lookup, reading.how)
            label, outside = self._label(reading)
            part = example.boxes
            boxes = part.read().within(picture.pixels.shape[:2]) if part else None
            part = example.instances
            ids = None if part is None else instances.dense(contents(part))
            if ids is not None:
                check_sizes(picture.pixels, ids, picture.turned)
        except files.FAULTS as error:
            return Converted(example.id, fault=f"{part}: {files.reason(error)}", found=seen)
        exact = isinstance(example.image, Window)
        encoded, image, label = self.storage(picture.encoded, picture.pixels, label, exact)
        record = {"image": encoded, "label": files.encode_png(label), "id": example.id}
        if boxes:
            record |= boxes.record(label.shape)
        if ids is not None:
            record |= instances.record(ids, label)
        seen = seen or Found(named(example.mask), how=reading.how)
        return Converted(example.id, record, "", count(image, label, picture), seen, outside)

    def picture(self, source: Path | Part | np.ndarray | Window) -> Picture:
        """Reads the image of an example, or makes it of the masks of past frames."""
        if not isinstance(source, Window):
            return read_image(source, self.storage.image_range)
        maps = []
        for part in source.past:
            try:
                maps.append(self._label(self.reading(read_mask(part)))[0])
            except files.FAULTS as error:
                raise ValueError(f"{named(part)}: {files.reason(error)}") from error
        return read_image(windows.pack(maps))

    def reading(self, mask: Mask) -> Reading:
        """Returns how a mask is read by the class table: its ids, or the codes of its colours, and the lookup for them."""
        return read_by(mask, self.by_id, self.by_color, self.implied)

    def _label(self, reading):
        """Returns (train ids, what a lenient table ignored) of a mask."""
        lookup, colored = reading.lookup, reading.colored
        try:
            return lookup(reading.codes), {}
        except files.UnknownIdsError as error:
            pairs = list(zip(error.ids.tolist(), error.counts.tolist(), strict=True))
            if self.lenient and colored:
                return lookup(reading.codes, IGNORE), dict(pairs)
            what, text = ("colours", files.color_text) if colored else ("ids", str)
            raise ValueError(
                f"Expected {what} of the class table: {', '.join(map(text, lookup.known))}. "
                f"Received: {some([f'{text(i)} on {n} pixels' for i, n in pairs])}. Add them to the table, or correct the mask"
            ) from error


def read_image(source: Path | Part | bytes | np.ndarray, image_range: str = "") -> Picture:
    """Reads the image of an example; an array is RGB uint8 [height, width, 3]."""
    data = contents(source)
    return Picture(files.encode_png(data), data) if isinstance(data, np.ndarray) else images.look(data, image_range)


def read_mask(source: Path | Part | bytes | np.ndarray) -> Mask:
    """Reads the mask of an example; an array is raw ids [height, width] or colours [height, width, 3]."""
    data = contents(source)
    return Mask(data) if isinstance(data, np.ndarray) else masks.look(data)


def contents(source: Path | Part | bytes | np.ndarray) -> bytes | np.ndarray:
    """Returns an image or a mask as the example has it: encoded, or an array."""
    data = source.read() if isinstance(source, Part) else source
    return files.read(data) if isinstance(data, Path) else data


def named(source: Path | Part | bytes | np.ndarray) -> str:
    """The name of an example's image or mask in messages."""
    return "an array" if isinstance(source, (bytes, np.ndarray)) else str(source)


def check_sizes(image: np.ndarray, raw: np.ndarray, turned: bool) -> None:
    """Raises ValueError if the size of a mask is not that of its image, which EXIF may have turned."""
    if raw.shape[:2] != image.shape[:2]:
        expected, received = (f"{a.shape[1]} x {a.shape[0]}" for a in (image, raw))
        hint = ", as EXIF turns the image" if turned and raw.shape[:2] == image.shape[1::-1] else ""
        raise ValueError(
            f"Expected the size of its image, {expected} (width x height). Received: {received}. "
            f"Export the mask at that size{hint}"
        )


def in_parallel(function: Callable, items: Iterable, total: int, title: str) -> Iterator:
    """`map` in order, on all cores, with a progress bar. Few results wait, so memory does not grow with the items."""
    cores = os.cpu_count() or 1
    bar = progress.bar(title, total, "images")
    with bar, concurrent.futures.ThreadPoolExecutor(cores) as pool:
        waiting = collections.deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) == 2 * cores:
                bar.update()
                yield waiting.popleft().result()
        while waiting:
            bar.update()
            yield waiting.popleft().result()
