"""Atrous spatial pyramid pooling of DeepLab v3 and v3+."""

import keras

from models.layers.conv_norm import conv_norm
from models.layers.resizing import resize


def aspp(x, rates, name, width=256, align_corners=False, dropout=0.0):
    """A 1x1, one dilated 3x3 for each rate and the mean of the image, side by side, then a 1x1: Figure 5 of DeepLab v3.

    Args:
        x: [batch, height, width, channels].
        rates: dilations of the 3x3 convolutions.
        name: the beginning of the layers' names.
        width: channels of each branch, and of the result.
        align_corners: for the resize of the mean. The result is the same either way; only exports differ.
        dropout: rate after the last 1x1.

    Returns:
        [batch, height, width, `width`].
    """
    maps = [conv_norm(x, width, 1, f"{name}.convs.0")]
    maps += [conv_norm(x, width, 3, f"{name}.convs.{i}", dilation=rate) for i, rate in enumerate(rates, start=1)]
    mean = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    mean = conv_norm(mean, width, 1, f"{name}.convs.{len(maps)}", (1, 2))
    maps.append(resize(mean, like=x, align_corners=align_corners))
    x = conv_norm(keras.layers.Concatenate()(maps), width, 1, f"{name}.project")
    return keras.layers.Dropout(dropout)(x) if dropout else x
