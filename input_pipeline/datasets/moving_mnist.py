"""Moving MNIST as a toy of two classes: where do two drifting digits go next?

N. Srivastava, E. Mansimov, R. Salakhutdinov. Unsupervised learning of video representations using LSTMs. ICML 2015,
arXiv:1502.04681. As in guanfuchen/semseg, the target is the tenth frame of a sequence, in which every gray value above
0 is a digit, and the first 70 % of the sequences are the train split. That program gives its networks the nine frames
before the target. Ours take three channels:

    target="next"   image: the three frames before the target, as red, green and blue (what moves leaves a coloured trail)
    target="same"   image: the target frame itself, gray, under Gaussian noise (sigma 64 of 255): learned in a minute

In both cases the label is the target frame: 0 ground, 1 digit, 64x64 pixels.
"""

import functools
import tokenize
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from input_pipeline.preparation import builder
from input_pipeline.source import listing
from input_pipeline.source.class_tables import Class

CLASSES = (Class("ground", (0, 0, 0), 0), Class("digit", (255, 255, 255), 1))
SPLITS = {"train": 7000, "val": 3000}
FILE = "mnist_test_seq.npy"
TRAIN = 0.7
TARGET = 9  # the tenth of 20 frames
NOISE = 64.0


class Builder(builder.Builder):
    """Moving MNIST: two digits that bounce in a box."""

    VERSION = tfds.core.Version("1.0.0")
    URL = "https://www.cs.toronto.edu/~nitish/unsupervised_video/"
    LICENCE = "CC BY-SA 3.0 (MNIST)"
    LAYOUT = f"{FILE}, uint8 [20 frames, 10000 sequences, 64, 64]. To obtain it: download it (819 MB) from {URL}"

    def __init__(self, source: Path, cache: Path, *, target: str = "next"):
        """`target`: "next" if the image shows the frames before the label, "same" if it shows the label with noise."""
        if target not in ("next", "same"):
            raise ValueError(f'Expected moving_mnist(target="next") or "same". Received: target={target!r}.')
        path = source / FILE
        count = _count(path) if path.is_file() else 0
        examples = [
            listing.Example(
                f"{i:05}",
                listing.Part(path, f"sequence {i}", functools.partial(_image, path, i, target)),
                listing.Part(path, f"frame {TARGET} of sequence {i}", functools.partial(_label, path, i)),
            )
            for i in range(count)
        ]
        split = round(TRAIN * count)
        super().__init__(
            source,
            cache,
            classes=CLASSES,
            splits={"train": examples[:split], "val": examples[split:]},
            options={"target": target},
        )


def _count(path):
    """The number of sequences; only the header of the file is read."""
    try:
        frames = _frames(path)
    except (EOFError, OSError, ValueError, tokenize.TokenError) as error:
        raise ValueError(f"Expected a whole .npy file. Received: {path}: {error}. Download it again.") from error
    if frames.ndim != 4 or frames.shape[0] <= TARGET or frames.dtype != np.uint8:
        raise ValueError(
            f"Expected uint8 [{TARGET + 1} or more frames, sequences, height, width]. "
            f"Received: {frames.dtype} {list(frames.shape)} in {path}. Download it again."
        )
    return frames.shape[1]


def _frames(path):
    return np.load(path, mmap_mode="r")  # 819 MB, of which only the frames that are used are read


def _image(path, index, target):
    if target == "next":
        return np.stack(_frames(path)[TARGET - 3 : TARGET, index], -1)
    frame = _frames(path)[TARGET, index]
    noisy = frame + np.random.default_rng(index).normal(0.0, NOISE, frame.shape)
    return np.stack([np.clip(np.rint(noisy), 0, 255).astype(np.uint8)] * 3, -1)


def _label(path, index):
    return (_frames(path)[TARGET, index] > 0).astype(np.uint8)
