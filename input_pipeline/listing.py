"""Which image goes with which mask: the files of a source tree, listed and not yet read."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import logging

from input_pipeline import files

_NAMED = 10  # names that a message gives; the rest are counted


@dataclasses.dataclass(frozen=True)
class Example:
    """An image and its mask: files, or arrays (RGB uint8 [H, W, 3] and raw ids [H, W])."""

    id: str
    image: Path | np.ndarray
    mask: Path | np.ndarray


def pairs(images: Path, masks: Path) -> list[Example]:
    """The images of a folder and its sub-folders with the masks of the same names; [] where there is no such folder.

    A mask that is missing is found when the pair is read, so that it is reported with whatever else is at fault there.
    """
    if not images.is_dir():
        return []
    found, labelled = stems(images), stems(masks)
    if not found:
        raise ValueError(f"Expected images ({' '.join(files.IMAGES)}). Received: none in {images}. Copy them there.")
    alone = [str(labelled[stem]) for stem in sorted(labelled.keys() - found.keys())]
    if alone:
        logging.warning("%d masks have no image in %s and are left out: %s", len(alone), images, some(alone))
    return [Example(stem, path, labelled.get(stem, masks / f"{stem}.png")) for stem, path in found.items()]


def stems(folder: Path) -> dict[str, Path]:
    """{path below `folder` without its extension: file} of every image in it; two of one name are an error."""
    found = {}
    # Not rglob, which does not follow a link to a folder.
    for path in sorted(Path(root, name) for root, _, names in os.walk(folder, followlinks=True) for name in names):
        if path.suffix.lower() in files.IMAGES and not path.name.startswith("."):
            stem = path.relative_to(folder).with_suffix("").as_posix()
            if stem in found:
                raise ValueError(
                    f"Expected one file of a name. Received: {found[stem]} and {path}. Remove one of them."
                )
            found[stem] = path
    return found


def some(names: Sequence[str], separator: str = ", ") -> str:
    """The first few of `names`, and how many more there are."""
    more = [f"and {len(names) - _NAMED} more"] if len(names) > _NAMED else []
    return separator.join([*names[:_NAMED], *more])
