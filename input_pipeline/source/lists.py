r"""Reads lists of images and masks: `train.txt`, `pairs.txt`.

A line has the path of an image and the path of its mask, separated by a comma, a tab or white space. Or it has one
name, with or without extension, for an image below images/ and its mask below masks/. If a whole line is the name of an
image, it means that image, even with blanks, commas or brackets in it. Paths are absolute, or relative to data_dir (or
to images/ and masks/). If there is no file of that name, \ is read as /. Quotes around a path are removed. Blank lines
and lines that begin with # are ignored.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from input_pipeline.source import files, listing, missing, texts

_FORMS = "`image mask`, with a comma, a tab or a blank between, or `name`"


def read(source: Path, path: Path, split: str) -> list[listing.Example]:
    """The examples that a list names. Raises ValueError for lines that are not understood, and for images listed twice.

    A missing file is found when the pair is read; if no line names an existing file, that is one error.
    """
    if not path.is_file():
        raise FileNotFoundError(f"Expected a list of images and masks. Received: {path}, which is no file.")
    tree = _Tree(source)
    found, faults, lines_of = [], [], {}
    for number, line in enumerate(texts.lines(path), 1):
        if not line or (line.startswith("#") and not tree.image(line)):
            continue
        try:
            example = tree.example(line)
        except ValueError as error:
            faults.append(f"line {number}, {line!r}: {error}")
            continue
        found.append((line, example))
        lines_of.setdefault(os.path.abspath(str(example.image)), []).append((number, example.id))
    if faults:
        raise ValueError(f"Expected lines {_FORMS}. Received in {path}: {listing.some(faults, '; ')}.")
    if not found:
        raise ValueError(f"Expected lines {_FORMS}. Received: none in {path}.")
    twice = {users[0][1]: [number for number, _ in users] for users in lines_of.values() if len(users) > 1}
    if twice:
        where = listing.some([" and ".join(map(str, numbers)) for numbers in twice.values()])
        raise ValueError(
            f"Expected each image of {split} once. Received twice or more, on lines {where} of {path}: "
            f"{listing.some(list(twice))}."
        )
    if not any(Path(str(example.image)).is_file() for _, example in found):
        line, example = found[0]
        raise FileNotFoundError(
            f"Expected lines {_FORMS}. Received: {path}, none of whose {len(found)} lines names an image that is there; "
            f"the first is {line!r}, for which {example.image} is missing. Give paths below {source}, or names of files in "
            f"{source / 'images'}; a comma or a tab must be between paths with blanks."
        )
    return [example for _, example in found]


class _Tree:
    """The files that the lines of a list may name."""

    def __init__(self, source: Path):
        self.source = source
        images, masks = source / "images", source / "masks"
        self.images = listing.stems(images) if images.is_dir() else {}
        self.masks = listing.mask_files(masks) if masks.is_dir() else {}
        self.near = missing.by_likeness(self.masks)
        self.near_images = missing.by_likeness(self.images)

    def image(self, text: str) -> tuple[str, Path] | None:
        """(name, file) of the image that a text names; None if there is no such image."""
        for name in dict.fromkeys((text, text.replace("\\", "/"))):
            for stem in (name, _stem(name)):
                if stem in self.images:
                    return stem, self.images[stem]
            file = self.file(name, "images")
            if file and file.suffix.lower() in files.IMAGES:
                below = self.source / "images"
                return _inner(_stem(file.relative_to(below).as_posix() if file.is_relative_to(below) else name)), file
        return None

    def file(self, text: str, folder: str) -> Path | None:
        """The file that a path names: absolute, below data_dir or one of its folders, or the same with / for each backslash."""
        for name in dict.fromkeys((text, text.replace("\\", "/"))):
            for path in (self.source / name, self.source / folder / name, self.source / name.lstrip("/")):
                if path.is_file():
                    return Path(os.path.normpath(path))
        return None

    def example(self, line: str) -> listing.Example:
        """The pair of a line."""
        image = self.image(line) or self.image(_unquoted(line))
        if image:
            return self._alone(*image)
        pairs = list(_pairs(line))
        there = [[bool(self.file(a, "images")), bool(self.file(b, "masks"))] for a, b in pairs]
        # If no way gives two files, one of the two may be missing.
        known = [pair for pair, both in zip(pairs, there, strict=True) if all(both)] or [
            pair for pair, both in zip(pairs, there, strict=True) if any(both)
        ]
        if len(known) > 1 or (not known and len(pairs) > 1):
            raise ValueError("it can be read as two paths in more than one way; put each path in quotes")
        if known or (pairs and all(os.path.splitext(part)[1] for part in pairs[0])):
            return self._pair(*(known or pairs)[0])
        if sum(os.path.splitext(word)[1].lower() in files.IMAGES for word in line.split()) > 1:
            raise ValueError("put a comma or a tab between paths with spaces, or each path in quotes")
        return self._alone(_stem(_unquoted(line).replace("\\", "/")), None)

    def _alone(self, stem, image):
        """The example for a name that image and mask share; a missing image is found when it is read."""
        expected = self.source / "images" / f"{stem}.png"
        image = image or listing.mask_of(stem, None, expected, self.near_images)
        mask = self.source / "masks" / f"{stem}.png"
        return listing.Example(stem, image, listing.mask_of(stem, self.masks.get(stem), mask, self.near))

    def _pair(self, image, mask):
        """The example for two paths."""
        files_of = [
            self.file(text, folder) or self.source / text.replace("\\", "/")
            for text, folder in ((image, "images"), (mask, "masks"))
        ]
        inside = files_of[0].is_relative_to(self.source)
        name = files_of[0].relative_to(self.source).as_posix() if inside else image.replace("\\", "/")
        return listing.Example(_inner(_stem(name)), files_of[0], listing.mask_of(name, files_of[1], files_of[1], {}))


def _pairs(line: str) -> Iterator[tuple[str, str]]:
    """The ways to read a line as two paths: divided by a tab, otherwise at a comma, otherwise by white space."""
    if line[0] in "\"'" and (end := line.find(line[0], 1)) > 0 and line[end + 1 :].strip(" ,\t"):
        yield line[1:end], _unquoted(line[end + 1 :].strip(" ,\t"))
        return
    for sign in ("\t", ","):
        parts = line.split(sign)
        pairs = [(sign.join(parts[:i]).strip(), sign.join(parts[i:]).strip()) for i in range(1, len(parts))]
        pairs = [(_unquoted(a), _unquoted(b)) for a, b in pairs if a and b]
        if pairs:
            yield from pairs
            return
    parts = line.split()
    if len(parts) == 2:
        yield parts[0], _unquoted(parts[1])


def _unquoted(text):
    return text[1:-1] if len(text) > 2 and text[0] == text[-1] and text[0] in "\"'" else text.strip(",")


def _stem(name):
    """A name without the extension of a picture."""
    return str(Path(name).with_suffix("")) if Path(name).suffix.lower() in files.IMAGES else name


def _inner(name):
    """A safe form of a name, so that its file is written below the intended folder: not absolute, without `..`."""
    return "/".join(part for part in Path(name).parts if part not in ("/", ".."))
