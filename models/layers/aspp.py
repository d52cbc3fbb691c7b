"""Atrous spatial pyramid pooling of DeepLab v3 and v3+."""

import keras

from models.layers.conv_norm import conv_norm
from models.layers.convolution import depthwise_conv
from models.layers.resizing import resize


def aspp(x, rates, name, width=256, align_corners=False, dropout=0.0, separable=False):
    """A 1x1, one dilated 3x3 for each rate and the mean of the image, side by side, then a 1x1: Figure 5 of DeepLab v3.

    Args:
        x: [batch, height, width, channels].
        rates: dilations of the 3x3 convolutions.
        name: the beginning of the layers' names.
        width: channels of each branch, and of the result.
        align_corners: for the resize of the mean. The result is the same either way; only exports differ.
        dropout: rate after the last 1x1.
        separable: whether a 3x3 is a depthwise one and a 1x1.

    Returns:
        [batch, height, width, `width`].
    """
    maps = [conv_norm(x, width, 1, f"{name}.convs.0")]
    branch = separable_conv_norm if separable else dilated_conv_norm
    maps += [branch(x, width, f"{name}.convs.{i}", rate) for i, rate in enumerate(rates, start=1)]
    mean = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    mean = conv_norm(mean, width, 1, f"{name}.convs.{len(maps)}", (1, 2))
    maps.append(resize(mean, like=x, align_corners=align_corners))
    x = conv_norm(keras.layers.Concatenate()(maps), width, 1, f"{name}.project")
    return keras.layers.Dropout(dropout)(x) if dropout else x


def dilated_conv_norm(x, width, name, rate):
    """A dilated 3x3, batch norm, ReLU."""
    return conv_norm(x, width, 3, name, dilation=rate)


def separable_conv_norm(x, width, name, rate=1, entries=("0.0", "0.1", "1")):
    """A depthwise 3x3, which may be dilated, directly followed by a 1x1, batch norm, ReLU; `entries` name the former three."""
    depthwise, *entries = entries
    x = depthwise_conv(x, 3, f"{name}.{depthwise}", dilation=rate, bias=False)
    return conv_norm(x, width, 1, name, entries)
