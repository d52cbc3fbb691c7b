"""--init_from: starts a network with weights from another run or a file. --freeze: keeps a part of a network unchanged."""

import io
import pathlib
import zipfile
from collections.abc import Sequence

import h5py
import keras
import numpy as np
from absl import logging

import input_pipeline
from models import backbones, weights
from tfseg import checkpoint, hub, network, zoo
from tfseg import config as config_lib


def check(model: keras.Model, source: str) -> None:
    """Raises FileNotFoundError or ValueError if `source` cannot be used, before anything is read.

    Args:
        model: a network of the same architecture.
        source: as for `load`.
    """
    if source == "imagenet":
        weights.check_published(model)
        return
    path = located(source)
    if path.is_dir():
        checkpoint.latest(source)
    elif path.suffix not in weights.SUFFIXES:
        raise ValueError(f"Expected --init_from as a workdir, {weights.KINDS}. Received: {source}.")


def load(model: keras.Model, source: str) -> None:
    """Fills all weights of a model, or with "imagenet" those of its backbone.

    Args:
        model: a network with the architecture and the number of classes of the weights.
        source: a run's workdir (its best checkpoint), `.weights.h5`, `.keras`, `.pth` or `.safetensors`; `zoo:<name>`;
            `hf:<repository>` (tfseg/hub.py); or "imagenet", the published weights of the backbone that the network is built
            on, downloaded once.

    Raises:
        FileNotFoundError: if there is no such file or folder.
        ValueError: if it is of another kind, is damaged, or belongs to another network.
    """
    if source == "imagenet":
        weights.fill(model, source)
    elif located(source).is_dir():
        checkpoint.restore_model(checkpoint.latest(source)[0], model)
    else:
        weights.fill(model, located(source))


def transfer(model: keras.Model, source: str, classes: Sequence["input_pipeline.Class"] = ()) -> None:
    """Fills the layers of a model for which a source has weights of the same shapes; the other layers stay as they are.

    So a run can start from a network with other classes, from a part of its network, or from a larger one. The log says
    which layers were filled, which have another shape, and which are not in the source. If the source is a run or of the zoo,
    and has other classes, or the same classes in another order, the weights of a class in the last layers are given to the
    class of the same name. The other classes keep their random start.

    Args:
        model: the network.
        source: as for `load`; "imagenet" must fit completely.
        classes: the class table of the data set that the model is for; () keeps the order of the source.

    Raises:
        FileNotFoundError: if there is no such file or folder.
        ValueError: if it is of another kind, is damaged, or fits no layer.
    """
    if source == "imagenet":
        weights.fill(model, source)
        return
    found, spare = _arrays(model, located(source))
    if classes:
        _match_classes(model, found, source, [c.name for c in classes])
    filled, wrong, missing = [], [], []
    for layer in weights.layers_with_variables(model):
        shapes = [tuple(variable.shape) for variable in weights.variables(layer)]
        arrays = found.get(layer.name)
        if arrays is None or any(array is None for array in arrays):
            missing.append(layer.name)
        elif [array.shape for array in arrays] != shapes:
            # Whole layers, not variables: a norm without a scale would otherwise use the offset as its scale.
            wrong.append(f"{layer.name}: {_shapes([array.shape for array in arrays])} for {_shapes(shapes)}")
        else:
            for variable, array in zip(weights.variables(layer), arrays, strict=True):
                variable.assign(array)
            filled.append(layer.name)
    left = [
        weights.listed("of other shapes, left as they are", wrong),
        weights.listed("not in the source, left as they are", missing),
        weights.listed("of the source left over", spare),
    ]
    left = "; ".join(filter(None, left))
    if not filled:
        raise ValueError(
            f"Expected weights for a layer of {model.name!r} in {source}. Received: none that fit: {left}."
        )
    total = len(filled) + len(wrong) + len(missing)
    logging.info(
        "Filled %d of %d layers with weights of %s%s", len(filled), total, source, f"; {left}." if left else "."
    )
    logging.info("Layers filled: %s.", ", ".join(filled))


def located(source: str) -> pathlib.Path:
    """The file or the workdir that --init_from names, other than "imagenet"; a file of the Hub is downloaded once.

    Raises:
        FileNotFoundError: if there is no such file or folder.
        ValueError: if the zoo has no weights of that name.
    """
    if zoo.is_named(source):
        return zoo.path(source)
    if hub.is_named(source):
        return hub.path(source)
    path = pathlib.Path(source)
    if not path.exists():
        raise FileNotFoundError(f"Expected weights in --init_from={source}. Received: no such file or folder.")
    return path


def _arrays(model, path):
    """({layer name: arrays of its variables in order, None if the source has none}, names in the source of no layer)."""
    if path.suffix not in (".keras", ".h5") and not path.is_dir():
        found, state = {}, weights.read(path)
        # The reference's names for the whole network, those for the backbone alone, and our names.
        for renames in (None, backbones.renames(model.backbone) if getattr(model, "backbone", "") else (), ()):
            matches, state = weights.match(model, state, renames)
            arrays = {}
            for layer, _, _, array in matches:
                arrays.setdefault(layer.name, []).append(array)
            found = {name: a for name, a in arrays.items() if any(x is not None for x in a)} | found
        return found, sorted(state)  # safetensors gives the names in another order each time
    found = _of_run(path) if path.is_dir() else _of_keras(path)
    ours = {layer.name for layer in weights.layers_with_variables(model)}
    return found, [name for name in found if name not in ours]


def _of_run(workdir):
    """The layers of a run's network, as its flags build it."""
    folder, state = checkpoint.latest(str(workdir))
    source = network.build(config_lib.load(str(workdir)), state.num_classes)
    checkpoint.restore_model(folder, source)
    return {
        layer.name: [variable.numpy() for variable in weights.variables(layer)]
        for layer in weights.layers_with_variables(source)
    }


def _of_keras(path):
    """The layers of a .weights.h5 or .keras file, which stores a layer's name together with its variables 0, 1, ..."""
    found = {}

    def visit(name, group):
        if name.rpartition("/")[2] == "vars" and len(group) and "name" in group.attrs:
            found[group.attrs["name"]] = [np.asarray(group[str(i)]) for i in range(len(group))]

    try:
        file = path
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                file = io.BytesIO(archive.read("model.weights.h5"))
        with h5py.File(file) as opened:
            opened.visititems(visit)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"Expected a whole {path.suffix} file of Keras 3. Received: {path}: {error}.") from error
    if not found:
        raise ValueError(f"Expected a .keras or .weights.h5 file of Keras 3. Received: {path}, which names no layers.")
    return found


def origin(source: str) -> tuple[config_lib.Config | None, checkpoint.State]:
    """The options that build the network of a source, and its classes; (None, an empty state) where the source is a file."""
    if zoo.is_named(source):
        entry = zoo.find(source)
        config = zoo.completed(config_lib.Config(init_from=source))
        return config, checkpoint.State(num_classes=len(entry.classes), classes=entry.classes)
    if pathlib.Path(source).is_dir():
        return config_lib.load(source), checkpoint.latest(source)[1]
    return None, checkpoint.State()


def _match_classes(model, found, source, names):
    """Reorders the arrays of a trained network along the axis of the classes, to match the classes `names`."""
    config, state = origin(source)
    before = [c.name for c in state.class_table()]
    if not before or before == names:
        return
    # The axis of the classes is the one that is longer in a network with one more class.
    wider = network.build(config, state.num_classes + 1)
    shapes = {layer.name: [v.shape for v in weights.variables(layer)] for layer in weights.layers_with_variables(wider)}
    shared = [(before.index(name), i) for i, name in enumerate(names) if name in before]
    for layer in weights.layers_with_variables(model):
        arrays = found.get(layer.name)
        if not arrays:
            continue
        for number, (variable, array) in enumerate(zip(weights.variables(layer), list(arrays), strict=False)):
            grows = [a for a, (m, n) in enumerate(zip(array.shape, shapes[layer.name][number], strict=True)) if m != n]
            if not grows:
                continue
            ours = np.moveaxis(variable.numpy(), grows[0], -1).copy()
            theirs = np.moveaxis(array, grows[0], -1)
            if len(grows) > 1 or theirs.shape[-1] != state.num_classes or theirs.shape[:-1] != ours.shape[:-1]:
                arrays[number] = None  # not known how it depends on the classes: the layer keeps its start
                continue
            for theirs_at, ours_at in shared:
                ours[..., ours_at] = theirs[..., theirs_at]
            arrays[number] = np.moveaxis(ours, -1, grows[0])
    new = [name for name in names if name not in before]
    logging.info(
        "Classes of %s are matched by name: %d of %d are known%s.", source, len(shared), len(names),
        f"; new: {', '.join(new)}" if new else "",
    )  # fmt: skip


def _shapes(shapes):
    return " and ".join("x".join(map(str, shape)) or "1" for shape in shapes)


def freeze(model: keras.Model, part: str) -> None:
    """Keeps the weights of a part, and the statistics of its norms, which then normalise as in evaluation.

    Args:
        model: a network of `models.build`, before its optimizer is built.
        part: "backbone", or "" for nothing.

    Raises:
        ValueError: for another part, and for a network without a backbone.
    """
    if part not in ("", "backbone"):
        raise ValueError(f"Expected --freeze=backbone or none. Received: --freeze={part}.")
    for layer in backbone_layers(model) if part else ():
        layer.trainable = False


def backbone_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers of a network that belong to its backbone and have weights; they are found by name.

    Raises:
        ValueError: if the network has no backbone.
    """
    names = _backbone_distances(model)
    return [layer for layer in model.layers if layer.name in names]


def distances(model: keras.Model) -> dict[int, int]:
    """{id of a trainable variable of the backbone: how many blocks its layer is from the heads}, for layer-wise decay.

    The variables of the last block have 1; see `models.backbones.distances`.

    Raises:
        ValueError: if the network has no backbone.
    """
    of = _backbone_distances(model)
    return {id(v): of[layer.name] for layer in model.layers if layer.name in of for v in layer.trainable_variables}


def _backbone_distances(model):
    spec = getattr(model, "backbone", "")
    if not spec:
        raise ValueError(
            f"Expected a network that is built on a backbone, for --freeze, --backbone_learning_rate or --layer_decay. "
            f"Received: {model.name!r}, which has none."
        )
    return backbones.distances(spec)
