"""Writes the message for a folder in which images or masks are missing: it says what is there instead, and what to do."""

import collections
import os
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from input_pipeline.source import files
from input_pipeline.source.walk import below, holds, is_left_behind, is_picture, some

MASKS = (".png", ".bmp", ".tif", ".tiff")  # for other files, only reading shows whether they are masks
_TRIED = 20  # how many names are compared with all others
_SPLITS = ("train", "val", "test")
_ARRAY = "Save it as PNG: PIL.Image.fromarray(array.astype('uint8')).save(...)"
_REASONS = {
    ".json": "JSON holds polygons or other annotations, no pixels. Draw them as PNG masks",
    ".xml": "XML holds boxes or polygons, no pixels. Draw them as PNG masks",
    ".txt": "text holds boxes or polygons, no pixels. Draw them as PNG masks",
    ".npy": f"an array. {_ARRAY}",
    ".npz": f"an array. {_ARRAY}",
}


def likeness(stem: str) -> str:
    """A form of a name that is the same for names that differ only in case or in the encoding of accents (macOS, Windows)."""
    return unicodedata.normalize("NFC", stem).casefold()


def by_likeness(stems: Mapping[str, Path]) -> dict[str, Path]:
    """{that form of its name: file}."""
    return {likeness(stem): file for stem, file in stems.items()}


def unread(file: Path) -> str:
    """Why a file is no mask, judging by its extension; "" if only reading it can show that."""
    extension = file.suffix.lower()
    if extension in files.IMAGES or extension == ".gif":
        return ""
    why = _REASONS.get(
        extension, f"a file {f'of kind {extension}' if extension else 'without extension'}. Save PNG masks"
    )
    return f"Expected a PNG, BMP or TIFF mask. Received: {why}"


def check_masks(found: Mapping, labelled: Mapping, folder, end: str = "") -> None:
    """Raises if none of the images `found` has a readable mask among the files `labelled` of `folder`.

    Both are {name: file}; `folder` is a path or a folder of an archive.
    """
    matched = [labelled[stem] for stem in found if stem in labelled]
    if not matched:
        raise FileNotFoundError(_no_masks(found, labelled, folder, end))
    if any(not isinstance(file, Path) or file.suffix.lower() in MASKS for file in matched):
        return
    why = unread(matched[0]) or _not_a_mask(matched[0])
    if why:
        count = "the only file of an image's name" if len(matched) == 1 else f"one of {len(matched)} such files"
        raise ValueError(f"{matched[0]}: {why} (this is {count} in {folder}).")


def images_error(folder, end: str = "") -> Exception:
    """The error for a folder, on disk or in an archive, without a picture whose name ends with `end`."""
    names = f"*{end} ({' '.join(files.IMAGES)})"
    there = holds(folder.names() if not isinstance(folder, Path) else below(folder))
    beside = _elsewhere(folder, ()) if isinstance(folder, Path) and not there else []
    beside = f"; beside it are {some(beside)}" if beside else ""
    return ValueError(
        f"Expected images {names}. Received: none in {folder}, which holds {there or 'no files'}{beside}. Copy them there, "
        "in one of these formats."
    )


def no_images(source: Path, layout: str) -> Exception:
    """The error for a source tree without images/."""
    there = _elsewhere(source / "images", ())
    loose = holds(name for name in below_top(source) if is_picture(name))
    inner = sorted(p.parent for p in source.glob("*/images") if p.is_dir())
    there += [f"{loose} in it"] if loose else []
    alike = [e.name for e in os.scandir(source) if e.name.lower() == "images"]
    advice = "Rename the folder of the images to images, and that of the masks to masks, or link them (ln -s)."
    if alike:
        advice = f"Rename {alike[0]} to images: upper and lower case count."
    if inner:
        advice = f"If it is the tree in {inner[0].name}/, give data_dir={inner[0]}."
    return FileNotFoundError(
        f"Expected in data_dir {layout}. Received: {source}, which has no images/ but holds "
        f"{some(there) if there else 'none of it'}. {advice}"
    )


def below_top(folder: Path) -> list[str]:
    """The names of the files in a folder, without those in its sub-folders."""
    return sorted(e.name for e in os.scandir(folder) if not is_left_behind(e.name) and os.path.isfile(e.path))


def _no_masks(found, labelled, folder, end):
    """The message if no image has a mask."""
    stem, image = next(iter(found.items()))
    expected = f"Expected masks called as their images, {folder}/{stem}{end}.png for {image}"
    test = ""
    if Path(str(folder)).name == "test":
        test = (
            " Images without masks are no test split: keep them elsewhere; --mode=predict --images=FOLDER takes them."
        )
    there = _elsewhere(folder, found) if isinstance(folder, Path) else []
    beside = f"; beside it {'is' if len(there) == 1 else 'are'} {some(there)}" if there else ""
    if labelled:
        like = by_likeness(labelled)
        alike = [f"{like[likeness(s)]}" for s in found if likeness(s) in like]
        if alike:
            what = (
                f"none, but {alike[0]}, written otherwise (upper and lower case, or accents), for {len(alike)} of them"
            )
            return f"{expected}. Received: {what}. Rename the masks or the images.{test}"
        pattern = _pattern(found, labelled)
        called = f"; most are called as {pattern}" if pattern else beside
        return (
            f"{expected}. Received: none of {len(found)}; {folder} holds {holds(map(str, labelled.values()))}{called}. "
            f'Rename the masks, or list the pairs: folder(list="pairs.txt"), lines `image mask`.{test}'
        )
    exists = folder.is_dir()
    received = f"{folder}, which is empty" if exists else f"no folder {folder}"
    base = _base(folder) if isinstance(folder, Path) else None
    if (
        base
        and base == folder.parent
        and folder.name in _SPLITS
        and (loose := list(filter(is_picture, below_top(base))))
    ):
        return f"{expected}. Received: {received}, but {base} itself holds {holds(loose)}. Move its masks there.{test}"
    if not there:
        return f"{expected}. Received: {received}, and no other folder beside it that looks like masks. Put them there.{test}"
    name, wanted = there[0].partition(" (")[0].rstrip("/"), folder.relative_to(base).parts[0]
    first = f"remove the empty {folder.name}/ and " if exists else ""
    return (
        f"{expected}. Received: {received}{beside}. If the masks are in {name}, {first}rename it to {wanted}, or link it: "
        f"ln -s {name} {wanted}.{test}"
    )


def _base(folder):
    """The nearest parent folder that exists."""
    base = folder.parent
    while not base.is_dir():
        base = base.parent
    return base


def _elsewhere(folder, found):
    """The folders with pictures next to a missing folder (or next to its nearest parent that exists).

    Folders whose files have names in `found` come first. Each is written as `labels/ (6 .png, as labels/a0.png)`.
    """
    base = _base(folder)
    images = {os.path.realpath(file.parent) for file in found.values() if isinstance(file, Path)} if found else set()
    stems = {stem.rpartition("/")[2] for stem in found}
    rated = []
    for entry in sorted(os.scandir(base), key=lambda entry: entry.name):
        real = os.path.realpath(entry.path)
        if is_left_behind(entry.name) or not os.path.isdir(entry.path) or entry.path == str(folder):
            continue
        if folder.name in _SPLITS and entry.name in _SPLITS:
            continue  # the masks of another split
        if any(image == real or image.startswith(f"{real}/") or real == os.path.realpath(base) for image in images):
            continue
        names = below(base / entry.name)
        shared = sum(os.path.splitext(os.path.basename(name))[0] in stems for name in names)
        if shared or any(map(is_picture, names)):
            rated.append((-shared, f"{entry.name}/ ({holds(names, f'{entry.name}/')})"))
    return [text for _, text in sorted(rated)]


def _pattern(found, labelled):
    """`a0_mask for a0`, if all names of masks contain those of the images (or the reverse) in the same way; otherwise ""."""
    ways = collections.Counter()
    shown = {}
    for stem in list(found)[:_TRIED]:
        for other in labelled:
            if stem in other or other in stem:
                way = other.replace(stem, "*") if stem in other else f"-{stem.replace(other, '*')}"
                ways[way] += 1
                shown.setdefault(way, f"{Path(str(labelled[other])).name} for {stem}")
    return shown[ways.most_common(1)[0][0]] if ways else ""


def _not_a_mask(file):
    """Why a file cannot be read as a mask; "" if it can."""
    try:
        files.decode_mask(files.read(file))
    except files.FAULTS as error:
        return files.message(error)
    return ""
