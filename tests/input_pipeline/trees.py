"""Helpers for the tests of data sets: they write the files of a source tree and read its records."""

import pathlib

import numpy as np
import pytest
from PIL import Image

import input_pipeline

SHARED = pathlib.Path(__file__).parents[2].parent / "shared"


def sample(name):
    """The folder of real files of a data set."""
    path = SHARED / "data" / "samples" / name
    if not path.is_dir():
        pytest.skip(f"the real files are not at {path}")
    return path


def reference(name):
    """A file of facts."""
    path = SHARED / "reference" / name
    if not path.is_file():
        pytest.skip(f"the facts are not at {path}")
    return path


def save(path, pixels, palette=False, **options):
    """Writes `pixels`, uint8 or uint16, as an image of the format that the path names; ids as a palette PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(pixels))
    if palette:
        image.putpalette([value for i in range(256) for value in ((i * 37) % 256, (i * 91) % 256, (i * 53) % 256)])
    image.save(path, **options)


def examples(spec, source, cache, split="train"):
    """{id: {"image", "label"}} of a split."""
    data = input_pipeline.dataset(spec, split, str(source), str(cache))
    return {e["id"].decode(): e for e in data.as_numpy_iterator()}


def labels(spec, source, cache, split="train"):
    """{id: label} of a split."""
    return {name: e["label"] for name, e in examples(spec, source, cache, split).items()}
