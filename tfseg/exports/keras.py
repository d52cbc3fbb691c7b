"""Keras' own file, to be loaded by Keras, changed and trained further. It is the network as it was trained."""

import importlib
import pathlib
import pkgutil

QUANTIZE = ("none",)
PACKAGES = {}
FILE = "model.keras"
SIZE = "any"


def write(graph, path: pathlib.Path) -> None:
    """Writes the network with its auxiliary outputs, dropout and batch norms.

    Raises:
        ValueError: if --inference is more than the network, which such a file cannot hold.
    """
    if graph.inference != "whole":
        raise ValueError(f"Expected --inference=whole with --format=keras. Received: --inference={graph.inference!r}.")
    graph.trained.save(str(path))


def register() -> None:
    """Imports the modules that define layers of our own, so that `keras.models.load_model` knows them."""
    models = importlib.import_module("models")
    for module in pkgutil.iter_modules(models.__path__):
        importlib.import_module(f"models.{module.name}")


def graph(path: pathlib.Path):
    """The network, from images to its outputs by name, for use inside TensorFlow's graphs, and the outputs' shapes."""
    import keras

    register()
    model = keras.models.load_model(str(path), compile=False)
    shapes = {name: output.shape for name, output in model.output.items()}
    return lambda images: model(images, training=False), shapes


def load(path: pathlib.Path):
    """Runs the network: {"logits": float32 [batch, height, width, classes]}, and its other outputs."""
    import numpy as np

    outputs, _ = graph(path)
    return lambda images: {name: np.asarray(value) for name, value in outputs(images).items()}
