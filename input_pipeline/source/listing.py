"""Which image goes with which mask: the files of a source tree, listed and not yet read."""

import dataclasses
import functools
import hashlib
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from absl import logging

from input_pipeline.source import files

_NAMED = 10  # names that a message gives; the rest are counted


@dataclasses.dataclass(frozen=True)
class Part:
    """An image or a mask that is a part of a file, or made from one: an array or an encoded image, read when converted."""

    file: Path
    name: str
    read: Callable[[], np.ndarray | bytes]

    def __str__(self):
        return f"{self.file} ({self.name})"


@dataclasses.dataclass(frozen=True)
class Example:
    """An image and its mask: files, parts of files, or arrays (RGB uint8 [H, W, 3] and raw ids [H, W])."""

    id: str
    image: Path | Part | np.ndarray
    mask: Path | Part | np.ndarray
    boxes: Part | None = None  # whose `read` returns `annotations.Boxes`


@dataclasses.dataclass(frozen=True)
class Zipped:
    """A folder of a zip archive, whose files are read where they are."""

    archive: Path
    folder: str  # its path in the archive, with /

    def __str__(self):
        return f"{self.archive} ({self.folder})"

    def __truediv__(self, name: str) -> Part:
        """A file of the folder, as a part of the archive."""
        member = f"{self.folder}/{name}"
        return Part(self.archive, member, functools.partial(_unzip, self.archive, member))

    def is_dir(self) -> bool:
        """Whether the archive holds files below this."""
        return any(True for _ in self.names())

    def names(self) -> Iterator[str]:
        """The paths below this folder of its files."""
        start = f"{self.folder}/"
        names = (name for name in _archive(self.archive).namelist() if name.startswith(start))
        return (name.removeprefix(start) for name in names if not name.endswith("/"))


def root(source: Path, *folders: str, holds: str) -> Path:
    """The first of `source` and `folders` of it in which there is `holds`; `source` where it is in none."""
    return next((source / folder for folder in ("", *folders) if (source / folder / holds).exists()), source)


def pairs(images: Path | Zipped, masks: Path | Zipped, image_end: str = "", mask_end: str = "") -> list[Example]:
    """The images of a folder and its sub-folders with the masks of the same names; [] where there is no such folder.

    The names are the same but for `image_end` and `mask_end`; a file whose name ends otherwise is none of them. A mask
    that is missing is found when the pair is read, so that it is reported with whatever else is at fault there.
    """
    if not images.is_dir():
        return []
    found, labelled = stems(images, image_end), stems(masks, mask_end)
    if not found:
        names = f"*{image_end} ({' '.join(files.IMAGES)})"
        raise ValueError(f"Expected images {names}. Received: none in {images}. Copy them there.")
    alone = [str(labelled[stem]) for stem in sorted(labelled.keys() - found.keys())]
    if alone:
        logging.warning("%d masks have no image in %s and are left out: %s", len(alone), images, some(alone))
    return [Example(stem, path, labelled.get(stem, masks / f"{stem}{mask_end}.png")) for stem, path in found.items()]


def stems(folder: Path | Zipped, end: str = "") -> dict[str, Path | Part]:
    """{path below `folder` without `end` and extension: file} of every image in it; two of one name are an error."""
    found = {}
    if isinstance(folder, Zipped):
        names = folder.names()
    else:  # not rglob, which does not follow a link to a folder
        below = ((parent, name) for parent, _, names in os.walk(folder, followlinks=True) for name in names)
        names = (os.path.relpath(os.path.join(parent, name), folder) for parent, name in below)
    for name in sorted(names):
        stem, extension = os.path.splitext(name)
        if extension.lower() in files.IMAGES and not os.path.basename(name).startswith(".") and stem.endswith(end):
            stem, file = Path(stem.removesuffix(end)).as_posix(), folder / name
            if stem in found:
                raise ValueError(
                    f"Expected one file of a name. Received: {found[stem]} and {file}. Remove one of them."
                )
            found[stem] = file
    return found


def held_out(examples: Sequence[Example], fraction: float, seed: int = 0) -> dict[str, Sequence[Example]]:
    """Splits examples in train and val, by a hash of their names: the same files go the same way on every machine."""
    if not 0 <= fraction < 1:
        raise ValueError(f"Expected val_fraction in [0, 1). Received: {fraction}.")
    if not examples or not fraction:
        return {"train": examples}
    count = min(max(1, round(fraction * len(examples))), len(examples) - 1)
    order = sorted(examples, key=lambda e: hashlib.sha256(f"{seed} {e.id}".encode()).digest())
    val = {e.id for e in order[:count]}
    logging.info("Of %d images %d, chosen by name, are the val split.", len(examples), count)
    return {"train": [e for e in examples if e.id not in val], "val": [e for e in examples if e.id in val]}


def some(names: Sequence[str], separator: str = ", ") -> str:
    """The first few of `names`, and how many more there are."""
    more = [f"and {len(names) - _NAMED} more"] if len(names) > _NAMED else []
    return separator.join([*names[:_NAMED], *more])


def _archive(path):
    """Opens an archive once: threads may read through one `ZipFile`, and the list of its files takes a while to read."""
    return _opened(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=16)
def _opened(path, _changed):
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise ValueError(f"Expected a whole zip archive. Received: {path}: {error}. Download it again.") from error


def _unzip(archive, member):
    """Reads a file of an archive, and checks it against the sum that the archive keeps of it."""
    try:
        return _archive(archive).read(member)
    except KeyError as error:
        raise FileNotFoundError(member) from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:  # damaged, unknown packing, encrypted
        raise OSError(str(error)) from error
