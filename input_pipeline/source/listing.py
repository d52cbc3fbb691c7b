"""Lists the files of a source tree and finds the mask of each image, without reading any of them."""

import dataclasses
import functools
import hashlib
import os
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from absl import logging

from input_pipeline.source import missing, walk
from input_pipeline.source.walk import pictures, some

__all__ = [
    "Example",
    "Part",
    "Window",
    "Zipped",
    "held_out",
    "mask_files",
    "mask_of",
    "pairs",
    "pictures",
    "root",
    "some",
    "stems",
]


@dataclasses.dataclass(frozen=True)
class Part:
    """An image or a mask that is a part of a file or made from one, as an array or an encoded image; read when converted."""

    file: Path
    name: str
    read: Callable[[], np.ndarray | bytes]

    def __str__(self):
        return f"{self.file} ({self.name})" if self.name else str(self.file)


@dataclasses.dataclass(frozen=True)
class Window:
    """Masks of past frames, the oldest first, which become the image of an example (`windows.py`)."""

    past: tuple["Path | Part | np.ndarray", ...]

    def __str__(self):
        return f"the window of {self.past[0]} .. {self.past[-1]}"


@dataclasses.dataclass(frozen=True)
class Example:
    """An image and its mask: files, parts of files, or arrays (RGB uint8 [H, W, 3] and raw ids [H, W])."""

    id: str
    image: Path | Part | np.ndarray | Window
    mask: Path | Part | np.ndarray
    boxes: Part | None = None  # whose `read` returns `annotations.Boxes`
    # Ids [H, W] of any values, 0 where there is no object; they give the boxes too.
    instances: Part | np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Zipped:
    """A folder in a zip archive; its files are read without unpacking the archive."""

    archive: Path
    folder: str  # its path in the archive, with /

    def __str__(self):
        return f"{self.archive} ({self.folder})"

    def __truediv__(self, name: str) -> Part:
        """A file of the folder, as a part of the archive."""
        member = f"{self.folder}/{name}"
        return Part(self.archive, member, functools.partial(_unzip, self.archive, member))

    def is_dir(self) -> bool:
        """Whether the archive has files below this folder."""
        return any(True for _ in self.names())

    def names(self) -> Iterator[str]:
        """The paths of the files in this folder, relative to it."""
        start = f"{self.folder}/"
        names = (name for name in _archive(self.archive).namelist() if name.startswith(start))
        return (name.removeprefix(start) for name in names if not name.endswith("/"))


def root(source: Path, *folders: str, holds: str) -> Path:
    """The first of `source` and its `folders` that contains `holds`; `source` if none does."""
    return next((source / folder for folder in ("", *folders) if (source / folder / holds).exists()), source)


def pairs(
    images: Path | Zipped, masks: Path | Zipped, image_end: str = "", mask_end: str = "", own: bool = False
) -> list[Example]:
    """The images of a folder and its sub-folders with the masks of the same names; [] if there is no such folder.

    The names are equal except for `image_end` and `mask_end`; files with other endings are ignored. A mask that is missing, or
    of a kind that cannot be read, is found when the pair is read, and is then reported together with other faults. With `own`
    (a layout that the user made), it is an error if there is no mask at all; the message says what is there instead.
    """
    if not images.is_dir():
        return []
    names = list(_names(images))
    found = _outside(_by_stem(images, filter(walk.is_picture, names), image_end), images, masks)
    if not found:
        raise missing.images_error(images, image_end)
    if isinstance(images, Path):
        walk.say_unread(images, _outside(dict.fromkeys(names), images, masks))
    labelled = _outside(mask_files(masks, mask_end), masks, images)
    if own:
        missing.check_masks(found, labelled, masks, mask_end)
    alone = [str(labelled[s]) for s in sorted(labelled.keys() - found.keys()) if walk.is_picture(str(labelled[s]))]
    if alone:
        logging.warning("%d masks have no image in %s and are left out: %s", len(alone), images, some(alone))
    near = missing.by_likeness(labelled)
    return [
        Example(s, image, mask_of(s, labelled.get(s), masks / f"{s}{mask_end}.png", near)) for s, image in found.items()
    ]


def stems(folder: Path | Zipped, end: str = "") -> dict[str, Path | Part]:
    """{path below `folder` without `end` and extension: file} for every picture in it; two with the same name are an error."""
    return _by_stem(folder, filter(walk.is_picture, _names(folder)), end)


def mask_files(folder: Path | Zipped, end: str = "") -> dict[str, Path | Part]:
    """The same as `stems` for masks; if a name has no picture, another file of that name, which may turn out to be no mask."""
    names = list(_names(folder))
    others = {}
    for name in (name for name in names if not walk.is_picture(name) and not walk.is_left_behind(name)):
        stem = os.path.splitext(name)[0]
        if stem.endswith(end):
            others.setdefault(Path(stem.removesuffix(end)).as_posix(), folder / name)
    return others | _by_stem(folder, filter(walk.is_picture, names), end)


def mask_of(stem: str, file: Path | Part | None, expected: Path | Part, near: Mapping[str, Path | Part]) -> Path | Part:
    """The mask of an image: the `file` with its name, or the `expected` file, so that reading it fails with the reason."""
    other = near.get(missing.likeness(stem))
    if isinstance(file, Path) and (why := missing.unread(file)):
        return Part(file, "", functools.partial(_refuse, why))
    if file is None and other is not None and isinstance(expected, Path):
        why = (
            f"Expected a file of this name. Received: {other}, whose name is written otherwise. Rename one of the pair"
        )
        return Part(expected, "", functools.partial(_refuse, why))
    return expected if file is None else file


def _by_stem(folder, names, end):
    found = {}
    for name in sorted(names):
        stem, file = os.path.splitext(name)[0], folder / name
        if stem.endswith(end):
            stem = Path(stem.removesuffix(end)).as_posix()
            if stem in found:
                raise ValueError(
                    f"Expected one file of a name. Received: {found[stem]} and {file}. Move the one that is not meant "
                    "elsewhere, or give it another name."
                )
            found[stem] = file
    return found


def _names(folder):
    """The paths of the files in a folder, relative to it; none if there is no such folder."""
    if isinstance(folder, Zipped):
        return folder.names()
    return walk.below(folder) if folder.is_dir() else ()


def _outside(found, folder, other):
    """The files that are not in `other`, if that is inside `folder`, for example masks/ in a folder of images."""
    if not (isinstance(folder, Path) and isinstance(other, Path) and other.is_dir()):
        return found
    inner, outer = os.path.realpath(other), os.path.realpath(folder)
    if inner == outer or not inner.startswith(os.path.join(outer, "")):
        return found
    start = f"{Path(os.path.relpath(inner, outer)).as_posix()}/"
    return {stem: file for stem, file in found.items() if not stem.startswith(start)}


def _refuse(why):
    raise ValueError(why)


def held_out(
    examples: Sequence[Example], fraction: float, seed: int = 0, group: str = ""
) -> dict[str, Sequence[Example]]:
    """Divides examples into train and val by a hash of their names, so that the division is the same on every machine.

    `group` is a regular expression that is searched in each name (without extension). Images for which its first group (or, if
    it has none, the whole match) is the same text stay together. Val then has about `fraction` of the images, and at least
    one group.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"Expected val_fraction in [0, 1). Received: {fraction}.")
    groups = _groups(examples, group) if group else {e.id: [e.id] for e in examples}
    if not examples or not fraction:
        return {"train": examples}
    if group and len(groups) < 2:
        raise ValueError(
            f"Expected a group that gives at least two groups of images. Received: group={group!r}, by which all "
            f"{len(examples)} are of {next(iter(groups))!r}. Give another one, or lists train.txt and val.txt."
        )
    wanted = min(max(1, round(fraction * len(examples))), len(examples) - 1)
    val = set()
    for name in sorted(groups, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest()):
        count = len(val) + len(groups[name])
        if abs(count - wanted) < abs(len(val) - wanted) and count < len(examples):  # nearer with it than without
            val |= set(groups[name])
    if not val and len(examples) > 1:  # each group has more than twice what is wanted
        val = set(min(groups.values(), key=len))
    logging.info(
        "Of %d images %d, chosen by %s, are the val split.", len(examples), len(val), "group" if group else "name"
    )
    return {"train": [e for e in examples if e.id not in val], "val": [e for e in examples if e.id in val]}


def _groups(examples, pattern):
    """{group: ids of its images}."""
    try:
        found = {e.id: re.search(pattern, e.id) for e in examples}
    except re.error as error:
        raise ValueError(f"Expected group to be a regular expression. Received: {pattern!r}: {error}.") from error
    names = {name: match and match[min(1, match.re.groups)] for name, match in found.items()}
    without = [name for name, of in names.items() if of is None]
    if without:
        raise ValueError(
            f"Expected group to match the name, without extension, of every image. Received: group={pattern!r}, which "
            f"does not match {some(without)}. Give one that matches these too, or rename them."
        )
    groups = {}
    for name, of in names.items():
        groups.setdefault(of, []).append(name)
    return groups


def _archive(path):
    """Opens an archive only once. Threads may share one `ZipFile`, and reading the list of its files takes some time."""
    return _opened(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=16)
def _opened(path, _changed):
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise ValueError(f"Expected a whole zip archive. Received: {path}: {error}. Download it again.") from error


def _unzip(archive, member):
    """Reads a file of an archive and verifies its checksum."""
    try:
        return _archive(archive).read(member)
    except KeyError as error:
        raise FileNotFoundError(member) from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:  # damaged, unknown packing, encrypted
        raise OSError(str(error)) from error
