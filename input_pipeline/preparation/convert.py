"""From an example of the source tree to its record: read, checked, mapped to train ids, counted; on all cores."""

import collections
import concurrent.futures
import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from input_pipeline import progress
from input_pipeline.preparation.counts import Counted, count
from input_pipeline.preparation.encoding import Storage
from input_pipeline.source import files
from input_pipeline.source.class_tables import Class
from input_pipeline.source.files import IGNORE
from input_pipeline.source.listing import Example, Part, some


@dataclasses.dataclass(frozen=True)
class Converted:
    """An example's record and what is counted of it; or, where a file is at `fault`, which and why."""

    id: str
    record: dict | None = None
    fault: str = ""
    counts: Counted | None = None
    turned: bool = False  # whether EXIF turned the image
    outside: dict = dataclasses.field(default_factory=dict)  # {colour code: pixels} that a lenient table ignored


class Conversion:
    """Converts examples by a class table. It can be pickled: Beam sends it to its workers."""

    def __init__(self, rows: Sequence[tuple[Class, int]], by_color: bool = False, lenient: bool = False):
        """`rows` have their train ids, IGNORE too; `by_color` and `lenient` are those of `builder.Builder`."""
        self.rows = tuple(rows)
        by_id = {row.raw: i for row, i in rows if row.raw is not None}
        colors = {int(files.color_code(row.color)): i for row, i in rows if row.color}
        self.by_id = files.Lookup(by_id) if by_id else None
        self.by_color = files.Lookup(colors) if by_color else None
        self.lenient = lenient
        self.storage = Storage()

    def __call__(self, example: Example) -> Converted:
        """Returns the record, or the fault, of an example."""
        part = example.image
        try:
            encoded, image, turned = read_image(part)
            part = example.mask
            raw = read_mask(part)
            check_sizes(image, raw, turned)
            label, outside = self._label(raw)
            part = example.boxes
            found = part.read().within(image.shape[:2]) if part else None
        except files.FAULTS as error:
            return Converted(example.id, fault=f"{part}: {reason(error)}")
        encoded, image, label = self.storage(encoded, image, label)
        record = {"image": encoded, "label": files.encode_png(label), "id": example.id}
        if found:
            record |= found.record(label.shape)
        return Converted(example.id, record, "", count(image, label), turned, outside)

    def table(self, raw: np.ndarray) -> tuple[files.Lookup, np.ndarray]:
        """Returns the lookup for a mask as it was read and what is looked up: its ids, or the codes of its colours."""
        if raw.ndim == 2:
            if not self.by_id:
                raise ValueError(
                    "Expected an RGB mask in the colours of the class table. Received: a gray or palette mask. "
                    "Save it as RGB"
                )
            return self.by_id, raw
        if self.by_color:
            return self.by_color, files.color_code(raw)
        if (raw == raw[..., :1]).all():
            return self.by_id, raw[..., 0]  # gray ids saved as RGB
        raise ValueError(
            "Expected ids (a palette or gray mask): the class table has no colours. Received: an RGB mask. "
            "Save ids, or give the classes their colours"
        )

    def _label(self, raw):
        """Returns (train ids, what a lenient table ignored) of a mask as it was read."""
        lookup, raw = self.table(raw)
        try:
            return lookup(raw), {}
        except files.UnknownIdsError as error:
            pairs = list(zip(error.ids.tolist(), error.counts.tolist(), strict=True))
            colored = lookup is self.by_color
            if self.lenient and colored:
                return lookup(raw, IGNORE), dict(pairs)
            what, named = ("colours", files.color_text) if colored else ("ids", str)
            raise ValueError(
                f"Expected {what} of the class table: {', '.join(map(named, lookup.known))}. "
                f"Received: {some([f'{named(i)} on {n} pixels' for i, n in pairs])}. Add them to the table, or mend the mask"
            ) from error


def read_image(source: Path | Part | bytes | np.ndarray) -> tuple[bytes, np.ndarray, bool]:
    """Returns (encoded, RGB uint8 [height, width, 3], whether EXIF turned it) of what an example holds as its image."""
    found = contents(source)
    if isinstance(found, np.ndarray):
        return files.encode_png(found), found, False
    return *files.decode_image(found), files.is_turned(found)


def read_mask(source: Path | Part | bytes | np.ndarray) -> np.ndarray:
    """Returns the raw ids, or colours, of what an example holds as its mask."""
    found = contents(source)
    return found if isinstance(found, np.ndarray) else files.decode_mask(found)


def contents(source: Path | Part | bytes | np.ndarray) -> bytes | np.ndarray:
    """Returns an image or a mask as it is held: encoded, or an array."""
    found = source.read() if isinstance(source, Part) else source
    return files.read(found) if isinstance(found, Path) else found


def check_sizes(image: np.ndarray, raw: np.ndarray, turned: bool) -> None:
    """Raises ValueError where a mask has not the size of its image, which EXIF may have turned."""
    if raw.shape[:2] != image.shape[:2]:
        expected, received = (f"{a.shape[1]} x {a.shape[0]}" for a in (image, raw))
        hint = ", as EXIF turns the image" if turned and raw.shape[:2] == image.shape[1::-1] else ""
        raise ValueError(
            f"Expected the size of its image, {expected} (width x height). Received: {received}. "
            f"Export the mask at that size{hint}"
        )


def reason(error: Exception) -> str:
    """What went wrong with a file, in a line."""
    if isinstance(error, FileNotFoundError):
        return "Expected a file. Received: none. Add it, or remove its partner"
    return str(error) if isinstance(error, ValueError) else f"Expected a whole file. Received: {files.message(error)}"


def in_parallel(function: Callable, items: Iterable, total: int, title: str) -> Iterator:
    """`map` in order, on all cores, with a bar; few results wait, so memory does not grow with the number of items."""
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
