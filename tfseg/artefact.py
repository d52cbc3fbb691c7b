"""An exported network in the place of a live one: --saved_model, --tflite, --onnx name it, and the same code evaluates it."""

import dataclasses
import json
import pathlib
import types
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfseg import checkpoint, export_check, exports
from tfseg import config as config_lib


class Artefact(NamedTuple):
    """What an option names."""

    kind: str  # the format
    path: pathlib.Path  # the file, or the folder of a SavedModel

    @property
    def folder(self) -> pathlib.Path:
        """Where export.json lies, and where an evaluation is written to."""
        return self.path / "assets.extra" if self.kind == "saved_model" else self.path.parent


def given(config: config_lib.Config) -> Artefact | None:
    """The exported network that the options name in the place of a run, if they name one.

    Raises:
        ValueError: if they name several, or one with options that only a live network can follow.
        FileNotFoundError: if there is none at this path.
        ImportError: if its runtime is not installed.
    """
    named = {kind: getattr(config, kind) for kind in exports.names() if getattr(config, kind)}
    if not named:
        return None
    said = " ".join(f"--{kind}={path}" for kind, path in named.items())
    if len(named) > 1:
        raise ValueError(f"Expected one exported network. Received: {said}.")
    if config.monte_carlo:
        raise ValueError(f"Expected a network with dropout for --monte_carlo. Received: {said}, which has none.")
    ((kind, path),) = named.items()
    found = Artefact(kind, pathlib.Path(path))
    exports.check(kind, "none")
    expected = "a folder with saved_model.pb" if kind == "saved_model" else "a file"
    if not (found.path / "saved_model.pb" if kind == "saved_model" else found.path).is_file():
        raise FileNotFoundError(f"Expected {expected} in --{kind}. Received: no such thing at {path}.")
    return found


def settled(config: config_lib.Config) -> config_lib.Config:
    """The options to evaluate it with: those of the network are inside the export, and the run keeps its own files."""
    return dataclasses.replace(config, workdir="", inference="whole")


def opened(found: Artefact) -> tuple["Network", checkpoint.State]:
    """The network, to be used in the place of a `keras.Model` in inference mode, and what its export.json says.

    Raises:
        FileNotFoundError: if it has no export.json beside it.
    """
    path = found.folder / "export.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected an export of tfseg, with export.json in {found.folder}. Received: no such file. Copy it there, or "
            "export the run again."
        )
    about = json.loads(path.read_text())
    classes = [[row["name"], row["color"], row["raw"]] for row in about["classes"]]
    state = checkpoint.State(step=about["step"], num_classes=about["num_classes"], classes=classes)
    print(f"Weights      {found.path}, step {state.step}, --quantize={about['quantize']}")
    module = exports.find(found.kind)
    if hasattr(module, "graph"):
        return Network(None, state.num_classes, *module.graph(found.path)), state
    return Network(module.load(found.path), state.num_classes), state


class Network:
    """Calls the runtime of an export from TensorFlow."""

    def __init__(self, run, num_classes: int, graph=None, shapes=types.MappingProxyType({})):
        """`run`: what `load` of a format returns; `graph` and `shapes`: what its `graph` returns, which is used instead."""
        self._run, self._classes, self._graph = run, num_classes, graph
        known = {**shapes, "logits": (None, None, None, num_classes)}
        self.output = {name: types.SimpleNamespace(shape=tuple(shape)) for name, shape in known.items()}

    def __call__(self, images, training=False):
        """{"logits": float32 [batch, height, width, classes]} of images, RGB 0..255, uint8 or float.

        An export that runs in TensorFlow has the network's other outputs too. One of probabilities or classes alone gives
        scores with the same argmax.
        """
        images = tf.cast(images, tf.uint8)
        found = (
            self._graph(images) if self._graph else {"logits": tf.numpy_function(self._scores, [images], tf.float32)}
        )
        return {name: tf.ensure_shape(value, self.output[name].shape) for name, value in found.items()}

    def _scores(self, images):
        result = self._run(images)
        for name in ("logits", "probabilities"):
            if name in result:
                return np.asarray(result[name], np.float32)
        return np.eye(self._classes, dtype=np.float32)[export_check.classes(result)]
