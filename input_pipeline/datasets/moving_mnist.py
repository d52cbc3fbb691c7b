"""Moving MNIST as a toy of two classes: where do two drifting digits go next?

N. Srivastava, E. Mansimov, R. Salakhutdinov. Unsupervised learning of video representations using LSTMs. ICML 2015,
arXiv:1502.04681. As in guanfuchen/semseg, the target is the tenth frame of a sequence, in which every gray value above
0 is a digit, and the first 70 % of the sequences are the train split. That program gives its networks the nine frames
before the target. Ours take three channels:

    target="next"   image: the three frames before the target, as red, green and blue (what moves leaves a coloured trail)
    target="same"   image: the target frame itself, gray, under Gaussian noise (sigma 64 of 255): learned in a minute

In both cases the label is the target frame: 0 ground, 1 digit, 64x64 pixels.

    target="next", frames=9   image: the label maps of the nine frames before the target, as `windows.py` packs them; so the
                              network gets exactly what the original gives it, and not the target
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

    def __init__(self, source: Path, cache: Path, *, target: str = "next", frames: int = 0):
        """`target`: "next" if the image shows the frames before the label, "same" if it shows the label with noise.

        `frames`: with "next", how many label maps before the target, up to 9, the image holds; 0: it shows three gray frames.
        """
        if target not in ("next", "same"):
            raise ValueError(f'Expected moving_mnist(target="next") or "same". Received: target={target!r}.')
        whole = isinstance(frames, int) and not isinstance(frames, bool)
        if not whole or not 0 <= frames <= TARGET or (frames and target != "next"):
            raise ValueError(
                f'Expected moving_mnist(target="next", frames=0..{TARGET}). Received: target={target!r}, frames={frames!r}.'
            )
        path = source / FILE
        count = _count(path) if path.is_file() else 0
        examples = [
            listing.Example(
                f"{i:05}",
                listing.Window(tuple(_mask(path, i, t) for t in range(TARGET - frames, TARGET)))
                if frames
                else listing.Part(path, f"sequence {i}", functools.partial(_image, path, i, target)),
                _mask(path, i, TARGET),
            )
            for i in range(count)
        ]
        split = round(TRAIN * count)
        super().__init__(
            source,
            cache,
            classes=CLASSES,
            splits={"train": examples[:split], "val": examples[split:]},
            steps=frames,
            options={"target": target, **({"frames": frames} if frames else {})},
        )

    @staticmethod
    def steps_of(**options) -> int:
        """The number of label maps before the target."""
        return options.get("frames") or 0


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


def _mask(path, index, frame):
    return listing.Part(path, f"frame {frame} of sequence {index}", functools.partial(_label, path, index, frame))


def _label(path, index, frame):
    return (_frames(path)[frame, index] > 0).astype(np.uint8)
