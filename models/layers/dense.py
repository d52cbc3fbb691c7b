"""Linear layers."""

import keras

from models.layers.initial_weights import torch_default


def dense(x, units, name, activation=None, initial=torch_default):
    """A linear layer over the last axis. `initial` is its rule; an enclosing `initial_weights` does not change it."""
    kernel, bias = initial.start(fan_in=x.shape[-1], fan_out=units)
    return keras.layers.Dense(units, activation, kernel_initializer=kernel, bias_initializer=bias, name=name)(x)
