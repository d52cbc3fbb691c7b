"""Convolutions with PyTorch's explicit symmetric padding. The rules of initial_weights.py give their initial weights."""

import functools
import math

import keras

from models.layers.initial_weights import current_rule, torch_default
from models.layers.resizing import crop
from models.layers.smoothed_dilation import smoothing
from models.layers.strided_dilation import StridedDilatedDepthwiseConv2D

# Keras computes a dilated convolution by space-to-batch, and a grouped one by an XLA function. This is 1.6 times slower
# forward and back (128 channels, 3x3, rate 8, 4 x 45 x 60 pixels, one CPU core), and with 4 groups 50 times slower.
if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
else:
    tf = None


def conv(x, filters, kernel, name, stride=1, dilation=1, padding=None, groups=1, bias=True, initial=None):
    """2-D convolution with `padding` zeros on both sides, by default as many as keep the size at stride 1.

    The padding "same" is TensorFlow's: at stride 2 and even sizes it has one more zero after than before. Otherwise kernel,
    stride, dilation and padding are numbers or (height, width) pairs. `initial` is the rule for the initial weights, by
    default the rule of the enclosing `initial_weights`.
    """
    kernel, stride, dilation = _pair(kernel), _pair(stride), _pair(dilation)
    x, smoothed = smoothing(x, name, kernel, stride, dilation, None if padding in (None, "same") else _pair(padding))
    layer = Conv2D if groups > 1 or max(dilation) > 1 else keras.layers.Conv2D
    x, mode = _padded(x, kernel, stride, dilation, padding)
    taps = math.prod(kernel)
    start, bias_start = (initial or current_rule()).start(x.shape[-1] // groups * taps, filters * taps)
    y = layer(
        filters,
        kernel,
        stride,
        padding=mode,
        dilation_rate=dilation,
        groups=groups,
        use_bias=bias,
        kernel_initializer=start,
        bias_initializer=bias_start,
        name=name,
    )(x)
    return smoothed(y)


def depthwise_conv(x, kernel, name, stride=1, dilation=1, padding=None, multiplier=1, bias=True, initial=None):
    """A convolution of every channel with its own `multiplier` kernels; arguments as in `conv`."""
    kernel, stride, dilation = _pair(kernel), _pair(stride), _pair(dilation)
    x, smoothed = smoothing(x, name, kernel, stride, dilation, None if padding in (None, "same") else _pair(padding))
    x, mode = _padded(x, kernel, stride, dilation, padding)
    taps = math.prod(kernel)
    rule = initial or current_rule()
    start, bias_start = (rule.depthwise or rule).start(taps, x.shape[-1] * multiplier * taps)
    both = max(stride) > 1 and max(dilation) > 1  # Keras refuses this
    layer = StridedDilatedDepthwiseConv2D if both else keras.layers.DepthwiseConv2D
    y = layer(
        kernel,
        stride,
        padding=mode,
        depth_multiplier=multiplier,
        dilation_rate=dilation,
        use_bias=bias,
        depthwise_initializer=start,
        bias_initializer=bias_start,
        name=name,
    )(x)
    return smoothed(y)


def transposed_conv(x, filters, kernel, name, stride=2, padding=0, output_padding=0, bias=True, initial=torch_default):
    """PyTorch's ConvTranspose2d: size (n - 1) * stride + kernel - 2 * padding + output_padding.

    Needs output_padding <= padding, so that the whole result is a crop of the unpadded transposed convolution. `initial` is
    the rule for the initial weights; an enclosing `initial_weights` does not change it.
    """
    kernel, stride, padding, output_padding = _pair(kernel), _pair(stride), _pair(padding), _pair(output_padding)
    if any(o > p for o, p in zip(output_padding, padding, strict=True)):
        raise ValueError(f"Expected output_padding <= padding. Received: {output_padding=}, {padding=} for {name!r}.")
    taps = math.prod(kernel)
    start, bias_start = initial.start(filters * taps, x.shape[-1] * taps)  # PyTorch takes the outputs for the inputs
    x = keras.layers.Conv2DTranspose(
        filters,
        kernel,
        stride,
        padding="valid",
        use_bias=bias,
        kernel_initializer=start,
        bias_initializer=bias_start,
        name=name,
    )(x)
    amounts = [(p, p - o) for p, o in zip(padding, output_padding, strict=True)]
    return crop(x, amounts) if any(map(any, amounts)) else x


@keras.saving.register_keras_serializable(package="tfseg")
class Conv2D(keras.layers.Conv2D):
    """Keras' layer and variables, but dilated and grouped convolutions call TensorFlow's kernel directly."""

    def convolution_op(self, inputs, kernel):
        if tf is None or (max(self.dilation_rate) > 1 and not _differentiates_dilation(self.compute_dtype)):
            return super().convolution_op(inputs, kernel)
        return tf.nn.conv2d(inputs, kernel, self.strides, self.padding.upper(), dilations=self.dilation_rate)


@functools.cache
def _differentiates_dilation(dtype):
    """Whether TensorFlow has the gradient of a dilated convolution here. On a CPU it lacks it in float16 or without oneDNN."""
    with tf.init_scope():  # we try it, outside of any graph that is being traced
        x, kernel = tf.ones((1, 4, 4, 1), dtype), tf.ones((3, 3, 1, 1), dtype)
        options = {"out_backprop": x, "strides": [1] * 4, "padding": "SAME", "dilations": [1, 2, 2, 1]}
        try:
            tf.raw_ops.Conv2DBackpropInput(input_sizes=x.shape, filter=kernel, **options)
            tf.raw_ops.Conv2DBackpropFilter(input=x, filter_sizes=kernel.shape, **options)
        except tf.errors.OpError:
            return False
    return True


def _pair(value):
    return (value, value) if isinstance(value, int) else tuple(value)


def _padded(x, kernel, stride, dilation, padding):
    """The padded input, and Keras' name for the padding that the convolution still has to do.

    At stride 1 "same" is symmetric padding; at stride 2 and even sizes it is not.
    """
    if padding == "same":
        return x, "same"
    same = tuple(d * (k - 1) // 2 for k, d in zip(kernel, dilation, strict=True))
    padding = same if padding is None else _pair(padding)
    if not any(padding):
        return x, "valid"
    keeps_size = all(2 * p == d * (k - 1) for p, k, d in zip(padding, kernel, dilation, strict=True))
    if max(stride) == 1 and keeps_size:
        return x, "same"
    return keras.layers.ZeroPadding2D(padding)(x), "valid"
