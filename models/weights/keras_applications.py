"""Copies the weights of a keras.applications network into the backbone that computes the same function.

    source = keras.applications.Xception(weights="xception_weights_tf_dim_ordering_tf_kernels.h5")
    keras_applications.copy(source, model)

We let keras.applications read its files. It reads them by the order of its layers, because the names in them are from old
versions of Keras.
"""

import re

import keras

_UNNAMED = re.compile(r"(conv2d|batch_normalization)(?:_(\d+))?")  # as Keras names a layer without a name


def copy(source: keras.Model, model: keras.Model) -> None:
    """Copies every layer's weights to the layer of the same name.

    Keras numbers unnamed layers in the order in which they are made, and the first number depends on the session. So the
    n-th unnamed layer of the source goes to the n-th of the model. A classifier of the source may be left over. If anything
    else does not fit, nothing is assigned, and a ValueError names what does not fit.
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
    """{name, or (kind, rank) if Keras made up the name: layer} for the layers that have weights."""
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
