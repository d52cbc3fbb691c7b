"""Lists the files below a folder. It follows links to folders, but no loops, and leaves out files of the operating system."""

import collections
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from absl import logging

from input_pipeline.source import files

_NAMED = 10  # how many names a message gives; the others are counted
# Files that are often beside images and are no images.
_NOTES = {
    ".txt",
    ".csv",
    ".tsv",
    ".json",
    ".xml",
    ".yaml",
    ".yml",
    ".md",
    ".html",
    ".log",
    ".ini",
    ".db",
    ".tfw",
    ".pgw",
}
_LEFT_BEHIND = {"__macosx", "@eadir", "thumbs.db", "desktop.ini"}  # by macOS, Synology and Windows


def pictures(folder: Path) -> list[Path]:
    """The pictures (`files.IMAGES`, in any case) below a folder, sorted: the ones that training and prediction read.

    A link to a picture counts even if its target is missing, so that reading it gives an error with its name. Raises
    FileNotFoundError if there is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"Expected a folder of images. Received: {folder}, which is none. Correct the path.")
    names = below(folder)
    say_unread(folder, names)
    return [folder / name for name in names if is_picture(name)]


def say_unread(folder: Path, names: Iterable[str]) -> None:
    """Logs which of the files `names` below a folder of images are neither readable pictures nor usual files beside them."""
    unread = [name for name in names if not is_picture(name) and os.path.splitext(name)[1].lower() not in _NOTES]
    if unread:
        logging.warning(
            "%d files in %s are left out, as images are read from %s only: %s.",
            len(unread), folder, " ".join(files.IMAGES), holds(unread),
        )  # fmt: skip


def is_picture(name: str) -> bool:
    """Whether a file has the name of a readable picture and is no file of the operating system."""
    return os.path.splitext(name)[1].lower() in files.IMAGES and not is_left_behind(name)


def is_left_behind(name: str) -> bool:
    """Whether a path has a hidden name (`._a.png`, `.thumbnails/a.png`) or the name of a file of the operating system."""
    return any(part.startswith(".") or part.lower() in _LEFT_BEHIND for part in name.split("/"))


def below(folder: Path) -> list[str]:
    """The sorted paths, relative to `folder` and with /, of its files (except those of the operating system) and broken links.

    Every folder is listed once. Folders come before links to them, so that a file has the path of the place where it is.
    """
    top = os.path.realpath(folder)
    names, seen, folders, links = [], {top}, [""], []
    while folders or links:
        inner = folders.pop() if folders else links.pop(0)
        real = os.path.realpath(os.path.join(folder, inner))
        # A link to a parent folder would list other folders, for example the masks, as if they were in this one.
        if inner and (real in seen or top.startswith(os.path.join(real, ""))):
            logging.warning("Not followed: %s leads to %s, which is listed already.", folder / inner, real)
            continue
        seen.add(real)
        for entry in sorted(os.scandir(os.path.join(folder, inner)), key=lambda entry: entry.name):
            name = f"{inner}{entry.name}"
            if is_left_behind(entry.name):
                continue
            if os.path.isdir(entry.path):
                (links if entry.is_symlink() else folders).append(f"{name}/")
            elif os.path.isfile(entry.path):
                names.append(name)
            elif entry.is_symlink():
                logging.warning("The link %s leads nowhere: %s.", entry.path, os.readlink(entry.path))
                names.append(name)
    return sorted(names)


def some(names: Sequence[str], separator: str = ", ") -> str:
    """The first few of `names`, and how many more there are."""
    more = [f"and {len(names) - _NAMED} more"] if len(names) > _NAMED else []
    return separator.join([*names[:_NAMED], *more])


def holds(names: Iterable[str], start: str = "") -> str:
    """The files of a folder in short: `6 .png, 2 .json, as a0.png`; "" for none."""
    names = list(names)
    kinds = collections.Counter(os.path.splitext(name)[1].lower() or "without extension" for name in names)
    first = next((name for name in names if is_picture(name)), names[0] if names else "")
    return f"{', '.join(f'{n} {kind}' for kind, n in kinds.most_common(5))}, as {start}{first}" if names else ""
