"""Finds the image and video files that --images names, and chooses the names of their predictions."""

import collections
import fnmatch
import glob
import os
import pathlib
from collections.abc import Iterable

from input_pipeline.source import files, listing, walk
from tfseg.prediction import video

KINDS = (*files.IMAGES, *video.EXTENSIONS)
# Of the predictions, below --output_dir:
FOLDERS = ("labels", "colors", "overlays", "uncertainty", "palette", "videos", "geotiff")


def find(given: str, output_dir: pathlib.Path) -> dict[str, pathlib.Path]:
    """The images and videos that --images names, by the names of their predictions; prints how many other files are left out.

    If the path exists, it is that file or folder, even if its name contains brackets; otherwise it is a pattern. In a folder,
    and with a pattern, hidden files, files that are no images and earlier predictions are left out. The name of a prediction
    is the path of the image relative to the folder (or to the folder of the pattern) without the extension. The extension is
    kept if two images differ only in it.

    Args:
        given: absolute path of a file or a folder, or a pattern with `*`, `?`, `[..]` and `**`.
        output_dir: the folder for the predictions.

    Raises:
        FileNotFoundError: if there is no image.
        ValueError: if the prediction of a single image might replace it.
    """
    if os.path.isdir(given):
        root, found = given, walk.below(pathlib.Path(given))
    elif os.path.lexists(given):
        if _is_output(given, os.path.dirname(given), output_dir):
            raise ValueError(
                f"Expected an image outside of the predictions' folders. Received: --images={given} with "
                f"--output_dir={output_dir}, where it might be replaced. Give another --output_dir."
            )
        return {pathlib.Path(given).stem: pathlib.Path(given)}
    else:
        root, found = _matching(given)
    own = [name for name in found if _is_output(os.path.join(root, name), root, output_dir)]
    found = sorted(set(found) - set(own))
    images = [name for name in found if os.path.splitext(name)[1].lower() in KINDS]
    notes = [_kinds(set(found) - set(images))] if len(images) < len(found) else []
    if own:
        notes.append(f"{len(own)} files of --output_dir={output_dir} are left out: predictions are no input.")
    if not images:
        notes = notes or ["No such file or folder." if glob.escape(given) == given else "Nothing matches."]
        raise FileNotFoundError(
            f"Expected images ({' '.join(files.IMAGES)}) at --images={given}. Received: none. {' '.join(notes)}"
        )
    names = _names(images)
    kept = [f"{image} -> {names[image]}.png" for image in images if names[image] == image]
    if kept:
        notes.append(f"The predictions of images that differ by the extension alone keep it: {listing.some(kept)}.")
    if notes:
        print("\n".join(notes))
    return {names[image]: pathlib.Path(root, image) for image in images}


def listed(lines: Iterable[str], output_dir: pathlib.Path) -> dict[str, pathlib.Path]:
    """The images and videos of a list of paths, one a line, by the names of their predictions.

    Names are relative to the folder that all have in common. A path that is no file stays in the list, so that it is reported
    with the images that cannot be read.

    Raises:
        FileNotFoundError: if the list is empty.
        ValueError: if the prediction of an image might replace it.
    """
    given = [os.path.abspath(os.path.expanduser(line.rstrip("\r\n"))) for line in lines if line.strip()]
    if not given:
        raise FileNotFoundError(
            "Expected paths of images on standard input, one a line, for --images=-. Received: none."
        )
    root = os.path.commonpath([os.path.dirname(path) for path in given])
    for path in given:
        if _is_output(path, root, output_dir):
            raise ValueError(
                f"Expected images outside of the predictions' folders. Received: {path} with --output_dir={output_dir}, where "
                "it might be replaced. Give another --output_dir, or leave it out."
            )
    names = _names(dict.fromkeys(os.path.relpath(path, root) for path in given))
    return {name: pathlib.Path(root, image) for image, name in names.items()}


def _matching(pattern):
    """The folder in which a pattern begins, and the paths below it of the files that match.

    Existing folders are taken by their names. Brackets that match nothing are taken literally.
    """
    root = pathlib.Path(pattern).parent
    while not root.is_dir():
        root = root.parent
    rest = os.path.relpath(pattern, root)
    found = []
    for one in dict.fromkeys((rest, rest.replace("[", "[[]"))):
        if "**" in one.split("/"):  # glob would follow links to folders in circles
            found = [name for name in walk.below(pathlib.Path(root)) if _fits(name.split("/"), one.split("/"))]
        else:
            found = [name for name in glob.glob(one, root_dir=root) if os.path.isfile(root / name)]
        found = [name for name in found if not os.path.basename(name).startswith(".")]
        if found:
            break
    return str(root), found


def _fits(parts, pattern):
    """Whether the parts of a path match those of a pattern, in which `**` is any number of folders."""
    if not pattern or not parts:
        return not pattern and not parts
    if pattern[0] == "**":
        return len(pattern) == 1 or any(_fits(parts[i:], pattern[1:]) for i in range(len(parts)))
    return fnmatch.fnmatchcase(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])


def _is_output(path, root, output_dir):
    """Whether a file may be a prediction: it is below --output_dir, or in its folders if the images are there too."""
    top = os.path.realpath(output_dir)
    inside = os.path.join(os.path.realpath(root), "")
    tops = [top] if top.startswith(inside) else [os.path.join(top, folder) for folder in FOLDERS]
    real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    return real == os.path.join(top, "legend.png") or any(real.startswith(os.path.join(one, "")) for one in tops)


def _kinds(names):
    """`3 files are no images: .txt (2), .csv (1)`"""
    counts = collections.Counter(os.path.splitext(name)[1].lower() or "without an extension" for name in names)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    kinds = [f"{kind} ({count})" if len(counts) > 1 else kind for kind, count in ranked]
    return f"{len(names)} {'file is no image' if len(names) == 1 else 'files are no images'}: {listing.some(kinds)}."


def _names(images):
    """{image: name of its prediction}: its path without the extension, or with it if two names would be the same."""
    names = {image: os.path.splitext(image)[0] for image in images}
    while True:
        counts = collections.Counter(names.values())
        same = [image for image, name in names.items() if counts[name] > 1 and name != image]
        if not same:
            return names
        names.update({image: image for image in same})
