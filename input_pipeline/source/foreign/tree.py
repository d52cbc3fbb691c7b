"""Lists the files of an export once, and finds the image that an annotation means."""

import collections
import functools
import json
import os
import posixpath
import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from input_pipeline.source import files
from input_pipeline.source.listing import some

SAMPLED = 12  # JSON files that are opened to recognise a tool
LARGE = 64 << 20  # bytes from which a parsed JSON file is kept in memory, because parsing it takes seconds
_SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"}
_SPLITS |= {"test": "test", "testing": "test"}
_MASKS = ("SegmentationClass", "SegmentationObject")  # the names of PASCAL VOC's folders of masks begin with these
_PLAIN = ("images", "image", "img", "imgs", "jpegimages")


class Tree:
    """A folder and the sorted paths of its files, with / and relative to it. Hidden files are left out."""

    def __init__(self, root: Path, without: Path | None = None):
        """Lists the folder. `without` is a folder inside it that is not part of the export."""
        self.root, self.files = root, sorted(_below(root, without and without.resolve()))
        self.images = [name for name in self.files if name.lower().endswith(files.IMAGES)]
        self.there, self._parsed = set(self.files), {}  # a set, because it is searched for every image
        self._by_name, self._by_stem = collections.defaultdict(list), collections.defaultdict(list)
        for name in self.images:
            self._by_name[posixpath.basename(name)].append(name)
            self._by_stem[PurePosixPath(name).stem].append(name)

    def called(self, *names: str) -> list[str]:
        """The files with one of these names, in any folder; those nearest to the root come first."""
        found = [name for name in self.files if posixpath.basename(name).lower() in names]
        return sorted(found, key=lambda name: name.count("/"))

    def ending(self, *ends: str) -> list[str]:
        """The files whose names have one of these ends."""
        return [name for name in self.files if name.lower().endswith(ends)]

    def text(self, name: str) -> str:
        """A file's text. Raises ValueError if it is not UTF-8."""
        try:
            return (self.root / name).read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(f"{name}: Expected UTF-8. Received: {error}. Save it as UTF-8") from error

    def json(self, name: str):
        """The content of a JSON file. Raises ValueError, which names the file, if it is damaged."""
        if name in self._parsed:
            return self._parsed[name]
        try:
            found = json.loads(self.text(name))
        except json.JSONDecodeError as error:
            raise ValueError(f"{name}: Expected whole JSON. Received: {error}. Export it again") from error
        if (self.root / name).stat().st_size > LARGE:
            self._parsed[name] = found
        return found

    @functools.cached_property
    def sampled(self) -> dict[str, frozenset[str]]:
        """The keys of some JSON files, chosen at even distances: those of the object, or of the first object of a list."""
        every = sorted(self.ending(".json"), key=lambda name: (name.count("/"), name))
        return {name: self.keys(name) for name in every[:: max(1, len(every) // SAMPLED)]}

    def documents(self, wanted: Callable[[frozenset[str]], bool]) -> tuple[dict, list[str], list[str]]:
        """Returns ({file: content} of the JSON files for whose outermost keys `wanted` is true, other files, faults)."""
        found, others, faults = {}, [], []
        for name in self.ending(".json"):
            try:
                content = self.json(name)
            except ValueError as error:
                faults.append(str(error))
                continue
            if wanted(_keys(content)):
                found[name] = content
            else:
                others.append(name)
        return found, others, faults

    def keys(self, name: str) -> frozenset[str]:
        """The outermost keys of a JSON file, with `[]` as well if it is a list; empty if it cannot be read."""
        try:
            return _keys(self.json(name))
        except (OSError, ValueError):
            return frozenset()

    def image(self, name: str, near: str = "", split: str = "") -> str:
        """The path of the image that an annotation calls `name`.

        It is `name` below the folder `near`; otherwise the file of that name whose folders agree best with `name` and
        with `split`. Raises FileNotFoundError if there is none, and ValueError if several agree equally well.
        """
        wanted = name.replace("\\", "/")
        direct = posixpath.normpath(posixpath.join(near, wanted))
        if direct in self.there and not direct.lower().endswith(files.IMAGES):
            raise ValueError(
                f"Expected an image {' '.join(files.IMAGES)}. Received: {direct}. Convert it to one of them"
            )
        if direct in self.there:
            return direct
        return self._nearest(self._by_name[posixpath.basename(wanted)], wanted, split)

    def image_of(self, stem: str, split: str = "") -> str:
        """The same as `image`, for a path without an extension. It does not find masks, which lie in other folders."""
        path = PurePosixPath(stem.replace("\\", "/"))
        found = [
            name for name in self._by_stem[path.name] if not any(p.startswith(_MASKS) for p in name.split("/")[:-1])
        ]
        return self._nearest(found, str(path), split, without_end=True)

    def _nearest(self, found, wanted, split, without_end=False):
        parts = wanted.split("/")[::-1]

        def agreement(name):
            own = (posixpath.splitext(name)[0] if without_end else name).split("/")[::-1]
            same = next((i for i, pair in enumerate(zip(own, parts, strict=False)) if pair[0] != pair[1]), len(parts))
            return same, bool(split) and split_of(name) == split

        most = max(map(agreement, found), default=None)
        best = [name for name in found if agreement(name) == most]
        if len(best) > 1:
            raise ValueError(
                f"Expected one image {wanted}. Received: {some(best)}. Keep one, or the folders that the annotation names"
            )
        if not best:
            raise FileNotFoundError(f"Expected the image {wanted}. Received: none in {self.root}. Copy it there")
        return best[0]


def split_of(path: str) -> str:
    """`train`, `val` or `test` if a folder of `path` has this name (also `valid`, `train2017`), otherwise ""."""
    return next((_SPLITS[word] for word in map(_word, PurePosixPath(path).parts[:-1]) if word in _SPLITS), "")


def split_in(name: str) -> str:
    """`train`, `val` or `test` if it is a word of the name (`instances_val2017.json`), otherwise ""."""
    return next((_SPLITS[word] for word in re.split(r"[^a-z]+", name.lower()) if word in _SPLITS), "")


def without_split(path: str) -> str:
    """A path without the folders that name its split, and without those that only mean "images"."""
    *folders, name = PurePosixPath(path).parts
    return "/".join([*(f for f in folders if _word(f) not in _SPLITS and f.lower() not in _PLAIN), name])


def _keys(content):
    if isinstance(content, list):
        return frozenset(["[]", *(content[0] if content and isinstance(content[0], dict) else ())])
    return frozenset(content if isinstance(content, dict) else ())


def _word(folder):
    return folder.lower().rstrip("0123456789")


def listed(title: str, names: Sequence[str]) -> list[str]:
    """`[3 <title>: a, b, c]`, or [] if there are no names."""
    return [f"{len(names)} {title}: {some(sorted(names))}"] if names else []


def _below(root, without):
    """The paths below `root`. A folder that contains a link to itself is entered only once."""
    entered = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = Path(folder).resolve()
        if real in entered or real == without:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        for name in names:
            if not name.startswith("."):
                yield Path(folder, name).relative_to(root).as_posix()
