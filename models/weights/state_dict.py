"""Loads a PyTorch state dict into a Keras model whose layers have the names of the reference's modules.

    weights.load(model, weights.read("erfnet.pth"))

A layer `decoder.layers.0.conv` takes `decoder.layers.0.conv.weight` and `.bias`, so no model needs a table of names. If a
reference has other names for a backbone's modules, `model.renames` translates them. If it registers a tensor twice,
`model.aliases` says which key repeats which.
"""

import re

import keras
import numpy as np

# Variable of a Keras layer -> entry of the torch module.
_CONVOLUTION = {"kernel": "weight", "bias": "bias"}
_AFFINE = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
_ENTRIES = (
    (keras.layers.DepthwiseConv2D, _CONVOLUTION),
    (keras.layers.Conv2DTranspose, _CONVOLUTION),
    (keras.layers.Conv2D, _CONVOLUTION),
    (keras.layers.Dense, _CONVOLUTION),
    (keras.layers.BatchNormalization, _AFFINE),
    (keras.layers.LayerNormalization, _AFFINE),
    (keras.layers.GroupNormalization, _AFFINE),
    (keras.layers.PReLU, {"alpha": "weight"}),
)
# Their variables have one axis in torch; a slope per channel is [1, 1, channels] in Keras.
_VECTORS = tuple(kind for kind, entries in _ENTRIES if entries is not _CONVOLUTION)
# Entries that only torch's training needs: batch norm's counter, and the sums of a batch norm over several GPUs (vacancy/
# Synchronized-BatchNorm-PyTorch).
_BOOKKEEPING = ("num_batches_tracked", "._tmp_running_mean", "._tmp_running_var", "._running_iter")
# Entries that are constants or belong to a loss: the index into Swin's table of relative positions and the mask of its shifted
# windows, the number of each position, and what is in a module called criterion or .._loss.
_CONSTANT = re.compile(r"(^|\.)(relative_position_index|attn_mask|position_ids)$|(^|[._])(criterion|loss)[\w]*\.")
# Entries that hold several linear layers, one below the other: those of torch.nn.MultiheadAttention for queries, keys and
# values, and those of NVlabs/SegFormer for keys and values. They are split where a model has the layers q, k and v.
_STACKED = (
    (re.compile(r"in_proj_(weight|bias)$"), ("q", "k", "v")),
    (re.compile(r"kv\.(weight|bias)$"), ("k", "v")),
)
# One linear layer of ours that some references keep as three; its outputs are theirs, one after another.
_JOINED = (".qkv.", (".query.", ".key.", ".value."))


def load(model, state_dict):
    """Copies a state dict (key -> numpy array or torch tensor) into the layers of the same names.

    Kernels are transposed to Keras' layouts and norm statistics are copied. Entries that only torch's training needs, such as
    batch norm's counter and the weights of a loss, constants, and the keys of `model.unused` are ignored. A beginning that all
    keys have and no layer has is left out. Variables that a layer names in its `optional` keep their
    values if they have no key. If another variable or a key is left over, or a shape differs, it raises ValueError and assigns
    nothing.
    """
    found, spare = match(model, state_dict)
    assignments, missing, wrong = [], [], []
    for layer, variable, key, array in found:
        if array is None and variable.name in getattr(layer, "optional", ()):
            continue
        if array is None:
            missing.append(f"{layer.name}.{variable.name} (as {key})")
        elif array.shape != tuple(variable.shape):
            wrong.append(f"{key}: {array.shape} for {tuple(variable.shape)}")
        else:
            assignments.append((variable, array))
    problems = [
        listed("variables without a key", missing),
        listed("keys without a variable", list(spare)),
        listed("shapes, in Keras' layout, that differ", wrong),
    ]
    if any(problems):
        received = "; ".join(filter(None, problems))
        raise ValueError(f"Expected a state dict that fits model {model.name!r} entry by entry. Received: {received}.")
    for variable, array in assignments:
        variable.assign(array)


def state_dict(model):
    """The weights of a model in the form that `load` takes: {key of the reference: numpy array in torch's layout}.

    Raises:
        ValueError: if two variables would have the same key.
    """
    state = {}
    for layer, variable, key, _ in match(model, {})[0]:
        if key in state:
            raise ValueError(f"Expected a key for each variable of {model.name!r}. Received: two for {key}.")
        state[key] = np.ascontiguousarray(_to_torch(layer, variable))
    return state


def match(model, state_dict, renames=None):
    """Finds the entry of a state dict for each variable of a model.

    Args:
        model: the network.
        state_dict: key -> numpy array or torch tensor.
        renames: (pattern, replacement) pairs from layer names to keys; None: the model's.

    Returns:
        [(layer, variable, key, array in Keras' layout or None if there is no such key)], and the entries left over.
    """
    unused = [re.compile(pattern) for pattern in getattr(model, "unused", ())]

    def used(state):
        return {
            key: value
            for key, value in state.items()
            if not key.endswith(_BOOKKEEPING) and not any(pattern.search(key) for pattern in (_CONSTANT, *unused))
        }

    renames = getattr(model, "renames", ()) if renames is None else renames
    names = {renamed(layer.name, renames) for layer in layers_with_variables(model)}
    state = used(unwrapped(used(state_dict), names))  # a pattern may be for a key with or without what is left out
    _drop_aliases(state, getattr(model, "aliases", ()))
    wanted = [
        (layer, variable, _key(layer, variable, prefix, state))
        for layer in layers_with_variables(model)
        for prefix in [renamed(layer.name, renames)]
        for variable in variables(layer)
    ]
    _split_stacked(state, {key for *_, key in wanted})
    found = []
    for layer, variable, key in wanted:
        value = _take(state, key)
        found.append((layer, variable, key, None if value is None else _to_keras(layer, variable, value)))
    return found, state


def _take(state, key):
    """Removes and returns the entry of a key, or the entries of its parts (`_JOINED`); None if it is not there."""
    if key in state:
        return np.asarray(state.pop(key))
    ours, theirs = _JOINED
    parts = [key.replace(ours, part) for part in theirs]
    if ours not in key or not all(part in state for part in parts):
        return None
    return np.concatenate([np.atleast_1d(state.pop(part)) for part in parts])


def renamed(name, renames):
    """A layer's name in the keys of the state dict."""
    for pattern, replacement in renames:
        name = re.sub(pattern, replacement, name)
    return name


def unwrapped(state, names):
    """A state dict without the beginning that all its keys have and none of the modules `names`, such as `module.` or `model.`.

    Such a beginning is the name of a module that contains the network: torch.nn.DataParallel, or one that has the loss too. A
    state dict that fits no module stays as it is.
    """

    def fits(start):
        return any(key[start:] in names or key[start:].rpartition(".")[0] in names for key in state)

    start = 0
    while not fits(start):
        parts = {key[start:].partition(".")[0] for key in state if "." in key[start:]}
        if len(parts) != 1 or not all("." in key[start:] for key in state):
            return state
        start += len(parts.pop()) + 1
    return {key[start:]: value for key, value in state.items()}


def _drop_aliases(state, aliases):
    """Removes the entries that repeat another one. An entry that differs stays, so that it is refused as left over."""
    for key in list(state):
        for pattern, replacement in aliases:
            first = re.sub(pattern, replacement, key)
            if first != key and first in state and np.array_equal(state[key], state[first]):
                del state[key]
                break


def _split_stacked(state, wanted):
    """Replaces an entry that holds several of the `wanted` ones by these; a number in place of an array is repeated."""
    for key in list(state):
        for pattern, layers in _STACKED:
            parts = [pattern.sub(rf"{layer}.\1", key) for layer in layers]
            if parts[0] != key and wanted.issuperset(parts):
                array = np.asarray(state.pop(key))
                state |= zip(parts, np.split(array, len(parts)) if array.ndim else [array] * len(parts), strict=True)


def layers_with_variables(model):
    """The layers of a model, also inside other layers, that have their own variables."""
    for layer in model._flatten_layers(include_self=False, recursive=True):
        if variables(layer):
            yield layer


def variables(layer):
    """A layer's own variables that a state dict can hold, without seeds and without the variables of sub-layers."""
    return [v for v in (*layer._trainable_variables, *layer._non_trainable_variables) if "seed" not in v.name]


def listed(what, items, limit=10):
    """`<number> <what>: <the first of them> and <rest> more`, for messages; "" if there are none."""
    if not items:
        return ""
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return f"{len(items)} {what}: {', '.join(items[:limit])}{more}"


def _key(layer, variable, prefix, state):
    for kind, entries in _ENTRIES:
        if isinstance(layer, kind):
            return f"{prefix}.{entries[variable.name]}"
    # A layer of our own (a scale, a position bias) is the entry of a submodule, or a plain torch.nn.Parameter with its name.
    key = f"{prefix}.{variable.name}"
    return prefix if key not in state and len(layer.weights) == 1 else key


def _to_keras(layer, variable, array):
    """A torch entry in the layout of the Keras variable. A linear layer may be a 1x1 convolution there, or vice versa."""
    axes = len(variable.shape)
    if variable.name == "kernel" and (array.ndim, axes) == (2, 4):
        array = array[:, :, None, None]
    if variable.name == "kernel" and axes == 2 and array.shape[2:] == (1, 1):
        array = array[:, :, 0, 0]
    multiplier = layer.depth_multiplier if isinstance(layer, keras.layers.DepthwiseConv2D) else 0
    if variable.name == "kernel" and array.ndim == 4 and multiplier and array.shape[0] % multiplier == 0:
        # [channels * multiplier, 1, height, width] -> [height, width, channels, multiplier]
        return array.reshape(-1, multiplier, *array.shape[2:]).transpose(2, 3, 0, 1)
    if variable.name == "kernel" and array.ndim == 4:
        # [out, in, height, width], transposed convolutions [in, out, ..] -> [height, width, in, out] and [.., out, in]
        return array.transpose(2, 3, 1, 0)
    if variable.name == "kernel" and array.ndim == 2:
        return array.T
    if variable.name != "kernel" and _squeezed(array.shape) == _squeezed(variable.shape):
        return array.reshape(variable.shape)  # slopes and scales differ only in axes of length 1
    return array


def _to_torch(layer, variable):
    """The inverse of `_to_keras`."""
    array = np.asarray(variable.numpy())
    if variable.name != "kernel":
        return array.reshape(-1) if isinstance(layer, _VECTORS) else array
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return array.transpose(2, 3, 0, 1).reshape(-1, 1, *array.shape[:2])
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T


def _squeezed(shape):
    return tuple(n for n in shape if n != 1)
