"""<workdir>/images_<split>.npz: what an evaluation counted in each image, so that two evaluations can be compared.

12 bytes for each image and class: 0.1 MB for the 500 images and 19 classes of Cityscapes' val, 3.6 MB for the 2,000 images and
150 classes of ADE20K's, before compression. It is written in parts, so that memory does not grow with the number of images.
"""

import io
import json
import pathlib
import zipfile
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from input_pipeline import IGNORE

PART = 512  # images that are kept in memory until they are written
KINDS = ("right", "label", "predicted")


class Counts(NamedTuple):
    """The contents of the file."""

    ids: list[str]  # of the images that have a labelled pixel
    pixels: np.ndarray  # int32 [images, 3, classes]: right, with this label, predicted; on labelled pixels only
    classes: list[str]
    split: str
    step: int  # of the weights
    flags: str  # every option of the evaluation


class Writer:
    """Takes one image after the other; used in a `with` statement. If it is left by an error, no file stays."""

    def __init__(self, path: pathlib.Path, **about):
        """`about` is what the file says of all images: the fields of `Counts` after `pixels`."""
        self._path, self._aside, self._about = path, path.with_suffix(".writing"), about
        self._ids, self._pixels, self._parts, self.images = [], [], 0, 0

    def __enter__(self):
        self._archive = zipfile.ZipFile(self._aside, "w", zipfile.ZIP_DEFLATED)
        self._write("about", np.array(json.dumps(self._about)))
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self._flush()
        self._archive.close()
        if kind is None:
            self._aside.replace(self._path)
        else:
            self._aside.unlink()

    def add(self, name: bytes, image: np.ndarray, label: np.ndarray, prediction: np.ndarray) -> None:
        """Takes an image, as `evaluate.evaluator` gives it. If no pixel of it has a label, it is left out."""
        classes, valid = len(self._about["classes"]), label != IGNORE
        if not valid.any():
            return
        label, prediction = label[valid].astype(np.int64), prediction[valid]
        kinds = label[label == prediction], label, prediction[prediction < classes]
        self._ids.append(name.decode(errors="replace"))
        self._pixels.append(np.stack([np.bincount(ids, minlength=classes) for ids in kinds]).astype(np.int32))
        self.images += 1
        if len(self._ids) == PART:
            self._flush()

    def _flush(self):
        if self._ids:
            self._write(f"ids_{self._parts}", np.array(self._ids))
            self._write(f"pixels_{self._parts}", np.stack(self._pixels))
            self._ids, self._pixels, self._parts = [], [], self._parts + 1

    def _write(self, name, array):
        data = io.BytesIO()
        np.save(data, array, allow_pickle=False)
        self._archive.writestr(f"{name}.npy", data.getvalue())


def path(workdir: str | pathlib.Path, split: str) -> pathlib.Path:
    """Where the file of a workdir and a split is."""
    return pathlib.Path(workdir) / f"images_{split}.npz"


def read(file: pathlib.Path) -> Counts:
    """Reads the file.

    Raises:
        ValueError: if it cannot be read.
    """
    try:
        with np.load(file, allow_pickle=False) as parts:
            about = json.loads(str(parts["about"]))
            numbers = sorted(int(name.removeprefix("ids_")) for name in parts.files if name.startswith("ids_"))
            ids = [name for i in numbers for name in parts[f"ids_{i}"].tolist()]
            empty = np.zeros([0, len(KINDS), len(about["classes"])], np.int32)
            return Counts(ids, np.concatenate([empty, *(parts[f"pixels_{i}"] for i in numbers)]), **about)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"Expected the images' counts of an evaluation in {file}. Received: {error}. Evaluate the run again."
        ) from error


def iou(pixels: Sequence) -> np.ndarray:
    """The IoU of each class, NaN where it is not defined, of sums [..., 3, classes] as in `Counts.pixels`."""
    right, label, predicted = np.moveaxis(np.asarray(pixels, np.float64), -2, 0)
    union = label + predicted - right
    return np.divide(right, union, out=np.full(union.shape, np.nan), where=union > 0)


def miou(pixels: Sequence) -> np.ndarray:
    """The mean of the defined IoUs, NaN where none is, of sums [..., 3, classes]."""
    values = iou(pixels)
    defined = ~np.isnan(values)
    count = defined.sum(-1)
    return np.divide(np.where(defined, values, 0).sum(-1), count, out=np.full(count.shape, np.nan), where=count > 0)
