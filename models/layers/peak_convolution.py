"""Peak back-propagation: a network whose convolutions pass a gradient on to the pixels that cause a peak of a class map.

Zhou, Zhu, Ye, Qiu, Jiao, Weakly Supervised Instance Segmentation using Class Peak Response, CVPR 2018, section 3.2.
https://arxiv.org/abs/1804.00880; the rule is that of the authors' github.com/ZhouYanzhao/PRM, branch pytorch.

With the smallest element m of the input of a convolution, x' = x - m and the positive weights W+ = max(W, 0), the gradient g
becomes

    x' * transposed convolution of (g / convolution of x' with W+) with W+

where a divisor under 1e-10 gives 0. The bias plays no part, and padding is 0 in x', which is m in x. The first factor is a
walker's choice of where it came from, so positive gradients stay positive and their sum is kept but for the norms between.
Everything else keeps its own gradient. As m is that of all images, images must come one at a time. This needs TensorFlow.
"""

import keras
from keras import ops

from models.layers.normalization import Affine
from models.layers.strided_dilation import StridedDilatedDepthwiseConv2D

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
else:
    tf = None

SMALLEST = 1e-10  # a divisor below it gives 0


def responding(model, names):
    """A network with the same outputs and another gradient, which shows what a class map responds to.

    Args:
        model: a functional network. It is not changed, and its layers are shared.
        names: of the outputs that the new network has.

    Returns:
        A keras.Model whose convolutions have the gradient of this file, to be called with training=False and one image. The
        normalisation of the pixels passes gradients unchanged, so that a pixel's gradient is that of its normalised value.

    Raises:
        RuntimeError: if Keras runs on another backend than TensorFlow.
        ValueError: if a convolution has an activation of its own.
    """
    if tf is None:
        raise RuntimeError(
            f"Expected Keras' backend tensorflow for peak responses. Received: {keras.backend.backend()}. Set "
            "KERAS_BACKEND=tensorflow."
        )
    wanted = keras.Model(model.input, {name: model.output[name] for name in names})
    padded = {}  # {id of a tensor: (what it was before, padding)} of zeros that belong to the convolution behind them

    def call(layer, *args, **kwargs):
        if isinstance(layer, keras.layers.ZeroPadding2D):
            result = layer(*args, **kwargs)
            padded[id(result)] = result, layer.padding  # with the tensor, so that no id is used twice
            return result
        if isinstance(layer, Affine):
            return OtherGradient(layer, lambda x, g: g)(*args, **kwargs)
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            if layer.activation is not keras.activations.linear:
                raise ValueError(
                    "Expected convolutions whose activation is a layer of its own. Received: "
                    f"{keras.activations.serialize(layer.activation)!r} in {layer.name!r}."
                )
            _, border = padded.get(id(args[0]), (None, None))
            return OtherGradient(layer, lambda x, g: of_convolution(layer, border, x, g))(*args, **kwargs)
        return layer(*args, **kwargs)

    return keras.models.clone_model(wanted, clone_function=lambda layer: layer, call_function=call)


def of_convolution(layer, border, x, gradient):
    """The gradient of x, [B, H, W, C], for that of the result of a convolution.

    Args:
        layer: the convolution.
        border: ((top, bottom), (left, right)), how many rows and columns of x are padding; None: none.
        x: what the convolution reads.
        gradient: of its result.
    """
    kind = "float64" if x.dtype == tf.float64 or layer.compute_dtype == "float64" else "float32"
    (top, bottom), (left, right) = border or ((0, 0), (0, 0))
    height, width = tf.unstack(tf.shape(x)[1:3])
    inner = tf.cast(x, kind)[:, top : height - bottom, left : width - right]
    rest = tf.pad(inner - tf.reduce_min(inner), ((0, 0), (top, bottom), (left, right), (0, 0)))
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(rest)
        divisor = linear(layer, rest, tf.nn.relu(tf.cast(layer.kernel, kind)))
    small = divisor < SMALLEST
    share = tf.where(small, 0.0, tf.cast(gradient, kind) / tf.where(small, 1.0, divisor + SMALLEST))
    return tf.cast(rest * tape.gradient(divisor, rest, share), x.dtype)


def linear(layer, x, kernel):
    """What a Conv2D or DepthwiseConv2D computes with another kernel and without its bias."""
    if not isinstance(layer, keras.layers.DepthwiseConv2D):
        return layer.convolution_op(x, kernel)
    rows, columns = layer.strides
    apart = isinstance(layer, StridedDilatedDepthwiseConv2D)  # no kernel has both, so pixels are left out afterwards
    strides = 1 if apart else layer.strides
    y = ops.depthwise_conv(x, kernel, strides, layer.padding, dilation_rate=layer.dilation_rate)
    return y[:, ::rows, ::columns] if apart else y


class OtherGradient(keras.layers.Layer):
    """Computes what another layer computes; backwards it gives rule(x, gradient). The layer's variables get no gradient."""

    def __init__(self, layer, rule):
        super().__init__(autocast=False, dtype=layer.dtype_policy)
        self.layer, self.rule = layer, rule

    def call(self, inputs):
        """The result of the layer."""

        @tf.custom_gradient
        def result(x, y):
            return tf.identity(y), lambda g: (tf.cast(self.rule(x, g), x.dtype), None)

        return result(inputs, tf.stop_gradient(self.layer(inputs)))

    def compute_output_spec(self, inputs):
        """That of the layer."""
        return self.layer.compute_output_spec(inputs)
