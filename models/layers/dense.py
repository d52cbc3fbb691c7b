"""Linear layers."""

import keras

from models.layers.initial_weights import torch_default


def dense(x, units, name, activation=None, initial=torch_default, bias=True):
    """A linear layer over the last axis. `initial` is its rule; an enclosing `initial_weights` does not change it."""
    kernel, bias_start = initial.start(fan_in=x.shape[-1], fan_out=units)
    options = {"use_bias": bias, "kernel_initializer": kernel, "bias_initializer": bias_start}
    return keras.layers.Dense(units, activation, **options, name=name)(x)
