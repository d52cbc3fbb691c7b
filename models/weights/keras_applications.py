"""Weights of a keras.applications network into the backbone that computes its function.

    source = keras.applications.Xception(weights="xception_weights_tf_dim_ordering_tf_kernels.h5")
    keras_applications.copy(source, model)

keras.applications reads its own files by the order of its layers, since the names in them are of old versions of Keras: so it
does the reading.
"""

import re

import keras

_UNNAMED = re.compile(r"(conv2d|batch_normalization)(?:_(\d+))?")  # as Keras names a layer without a name


def copy(source: keras.Model, model: keras.Model) -> None:
    """Copies every layer's weights to the layer of the same name.

    Layers without a name of their own are numbered in the order of their making, from wherever the session stood: the n-th
    of the source goes to the n-th of the model. A source's classifier may be left over. Nothing is assigned unless
    everything else fits: ValueError names what does not.
    """
    ours, theirs = _ranked(model), _ranked(source)
    missing = [str(name) for name in ours if name not in theirs]
    spare = [str(name) for name in theirs if name not in ours and name != "predictions"]
    wrong = [
        f"{name}: {[w.shape for w in theirs[name].weights]} for {[w.shape for w in ours[name].weights]}"
        for name in ours
        if name in theirs and [w.shape for w in ours[name].weights] != [w.shape for w in theirs[name].weights]
    ]
    if missing or spare or wrong:
        raise ValueError(
            f"Expected the layers of {model.name!r} in {source.name!r}. "
            f"Received: missing {missing[:10]}, left over {spare[:10]}, of other shapes {wrong[:10]}."
        )
    for name, layer in ours.items():
        layer.set_weights(theirs[name].get_weights())


def _ranked(model):
    """Name, or (kind, rank) where Keras made it up, -> layer, of the layers that have weights."""
    named, unnamed = {}, {}
    for layer in model.layers:
        if layer.weights:
            match = _UNNAMED.fullmatch(layer.name)
            if match:
                unnamed.setdefault(match[1], {})[int(match[2] or 0)] = layer
            else:
                named[layer.name] = layer
    for kind, layers in unnamed.items():
        named |= {(kind, rank): layers[number] for rank, number in enumerate(sorted(layers))}
    return named
