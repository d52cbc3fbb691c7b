"""Squeeze-and-excitation: Hu et al., CVPR 2018, https://arxiv.org/abs/1709.01507."""

import keras

from models.layers.convolution import conv


def squeeze_excite(x, width, name, activation="relu", gate="sigmoid"):
    """Scales every channel by a number that a network with one hidden layer of `width` computes from the channel means."""
    y = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    y = keras.layers.Activation(activation)(conv(y, width, 1, f"{name}.fc1"))
    y = keras.layers.Activation(gate)(conv(y, x.shape[-1], 1, f"{name}.fc2"))
    return keras.layers.Multiply()([x, y])
