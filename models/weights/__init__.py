"""Loads weights into a Keras model: from `.pth`, `.safetensors`, `.keras`, `.weights.h5`, or published ImageNet weights.

weights.load(model, weights.read("erfnet.pth"))   # a state dict of PyTorch, entry by entry
weights.write("mine.safetensors", weights.state_dict(model))
weights.fill(model, "imagenet")                   # or a file, as in `models.build(.., weights=..)`
"""

import pathlib

from models.weights import published
from models.weights.files import read, write
from models.weights.state_dict import layers_with_variables, listed, load, match, state_dict, variables

__all__ = [
    "KINDS",
    "SUFFIXES",
    "check_published",
    "fill",
    "layers_with_variables",
    "listed",
    "load",
    "match",
    "read",
    "state_dict",
    "variables",
    "write",
]

KERAS, TORCH = (".keras", ".h5"), (".pth", ".pt", ".bin", ".safetensors")
SUFFIXES = (*KERAS, *TORCH)
KINDS = "'imagenet' or a .weights.h5, .keras, .pth or .safetensors file"


def check_published(model) -> None:
    """Raises ValueError if nothing is published for a model's backbone, FileNotFoundError if its package is missing."""
    published.check(model)


def fill(model, source: str) -> None:
    """Fills a model with all weights of a file, or (with "imagenet") only its backbone with the published weights.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is of another kind, damaged, or from another network.
    """
    if str(source) == "imagenet":
        published.load(model)
        return
    path = pathlib.Path(source)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"Expected weights as {KINDS}. Received: {str(source)!r}.")
    if not path.is_file():
        raise FileNotFoundError(f"Expected a weights file. Received: {path}, which is not there.")
    if path.suffix in KERAS:
        model.load_weights(path)  # reads both kinds, and names the first layer that does not fit
    else:
        load(model, read(path))
