"""The part of a network that is deployed: wanted outputs only, no dropout, batch norm inside the convolutions, constants.

    network = Frozen(simplified(model))
    scores = inference.build("whole", network)

Batch norm in inference is a product and a sum for each channel, so it can be moved into the kernel and the bias of the
convolution before it (Jacob et al., CVPR 2018, https://arxiv.org/abs/1712.05877, section 3.2). It is done in float64, and once
for all formats: some converters do it too, but not across TensorFlow's variables.
"""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from models.layers.residual import StochasticDepth
from models.layers.resizing import Crop

ONLY_IN_TRAINING = (
    keras.layers.Dropout,
    keras.layers.SpatialDropout2D,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    StochasticDepth,
)
COMMUTES = (Crop,)  # with batch norm, because it changes no value
# The convolutions that take up a batch norm, and the shape in which a factor for each output channel meets their kernel.
CHANNELS_LAST = (keras.layers.Conv2D, keras.layers.Dense)  # [.., in, out]


def simplified(model: keras.Model, more: Sequence[str] = ()) -> keras.Model:
    """The network of a trained model that inference needs, with the same outputs up to rounding.

    Args:
        model: a functional model with an output "logits". It is not changed; layers without batch norm are shared with it.
        more: names of further outputs that are wanted.

    Returns:
        A functional model from the same image to {"logits"} and these only, without layers that do nothing in inference, and
        with the batch norms that follow a convolution folded into it. Layers keep their names. Layers that compute in half
        precision are not folded, since this would round their weights otherwise than evaluation does.
    """
    model = keras.Model(model.input, {name: model.output[name] for name in ("logits", *more)}, name=model.name)
    norms = _foldable(model)
    convolutions = {id(convolution): norm for norm, convolution in norms.values()}
    folded = []

    def replaced(layer):
        if id(layer) not in convolutions:
            return layer
        configuration = layer.get_config() | {"use_bias": True}
        # The weights are set below, so that the initial ones, some of which take long, are not drawn.
        configuration |= {key: "zeros" for key in configuration if key.endswith("_initializer")}
        copy = type(layer).from_config(configuration)
        folded.append((layer, convolutions[id(layer)], copy))
        return copy

    def call(layer, *args, **kwargs):
        return args[0] if id(layer) in norms or isinstance(layer, ONLY_IN_TRAINING) else layer(*args, **kwargs)

    copy = keras.models.clone_model(model, clone_function=replaced, call_function=call)
    for layer, norm, target in folded:
        target.set_weights(_with_norm(layer, norm))
    return copy


class Frozen:
    """A network whose weights are constants of the graph, to be used in the place of a `keras.Model` by `inference.build`.

    The weights are those of the moment when it is made.
    """

    def __init__(self, model: keras.Model):
        self.output = model.output
        values = [(variable, np.asarray(variable)) for variable in model.variables]

        def outputs(images):
            with keras.StatelessScope(state_mapping=[(variable, tf.constant(value)) for variable, value in values]):
                return model(images, training=False)

        # One copy of the constants, however often the network is called.
        self._outputs = tf.function(outputs, autograph=False)

    def __call__(self, images, training=False):
        """{"logits": float32 [batch, height, width, classes]}, and the model's other outputs, of images, RGB 0..255."""
        return self._outputs(images)


def _foldable(model):
    """{id(batch norm): (batch norm, the convolution before it)} for those that can be folded."""
    made_by, readers, calls = {}, {}, {}

    def follow(layer, *args, **kwargs):
        result = layer(*args, **kwargs)
        for tensor in keras.tree.flatten((args, kwargs)):
            readers[id(tensor)] = readers.get(id(tensor), 0) + 1
        made_by.update({id(tensor): (layer, args) for tensor in keras.tree.flatten(result)})
        calls[id(layer)] = calls.get(id(layer), 0) + 1
        kept.append(result)  # so that no id is used twice
        return result

    kept = []
    copy = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=follow)
    for tensor in keras.tree.flatten(copy.output):
        readers[id(tensor)] = readers.get(id(tensor), 0) + 1
    found = {}
    for layer, args in list(made_by.values()):
        if not (isinstance(layer, keras.layers.BatchNormalization) and _is_tensor(args[0])):
            continue
        before, tensor = made_by.get(id(args[0]), (None, ())), args[0]
        while isinstance(before[0], COMMUTES) and readers[id(tensor)] == 1:
            tensor = before[1][0]
            before = made_by.get(id(tensor), (None, ()))
        alone = readers[id(tensor)] == 1 and calls[id(layer)] == 1 and calls.get(id(before[0])) == 1
        if alone and _takes_up_norm(before[0]) and layer.axis in (-1, len(tensor.shape) - 1):
            found[id(layer)] = (layer, before[0])
    return found


def _is_tensor(value):
    return isinstance(value, keras.KerasTensor)


def _takes_up_norm(layer):
    kinds = (*CHANNELS_LAST, keras.layers.DepthwiseConv2D, keras.layers.Conv2DTranspose)
    return (
        isinstance(layer, kinds)
        and layer.activation is keras.activations.linear
        and layer.compute_dtype == layer.variable_dtype == "float32"
        and getattr(layer, "data_format", "channels_last") == "channels_last"
    )


def _with_norm(layer, norm):
    """[kernel, bias] of a convolution and the batch norm behind it."""
    kernel, bias = np.asarray(layer.kernel, np.float64), np.asarray(layer.bias, np.float64) if layer.use_bias else 0.0
    factor = 1 / np.sqrt(np.asarray(norm.moving_variance, np.float64) + norm.epsilon)
    factor = factor * np.asarray(norm.gamma, np.float64) if norm.scale else factor
    shift = np.asarray(norm.beta, np.float64) if norm.center else 0.0
    bias = shift + (bias - np.asarray(norm.moving_mean, np.float64)) * factor
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        kernel = kernel * np.reshape(factor, kernel.shape[2:])  # [height, width, in, multiplier]
    elif isinstance(layer, keras.layers.Conv2DTranspose):
        kernel = kernel * factor[:, np.newaxis]  # [height, width, out, in]
    else:
        kernel = kernel * factor
    return [kernel.astype(np.float32), bias.astype(np.float32)]
