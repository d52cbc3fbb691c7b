"""Convolution, batch norm and activation: the step that most networks repeat."""

import keras

from models.layers.activation import relu
from models.layers.convolution import conv, depthwise_conv
from models.layers.normalization import batch_norm


def conv_norm(
    x,
    filters,
    kernel,
    name,
    entries=(0, 1),
    activation=relu,
    *,
    epsilon=1e-5,
    momentum=0.9,
    scale=True,
    bias=False,
    convolution=conv,
    **options,
):
    """A convolution without bias, batch norm, an activation.

    Args:
        x: [batch, height, width, channels].
        filters: channels of the result.
        kernel: a number or (height, width).
        name: the beginning of the layers' names, or "" if they have nothing in common.
        entries: the part after "name." in the names of convolution and batch norm: by default 0 and 1, as a torch.nn.Sequential
            numbers them. A third entry names the activation, which must then take a name. An activation with weights needs it.
        activation: a function x -> x, the name of a Keras activation, or None.
        epsilon, momentum, scale: for the batch norm.
        bias: whether the convolution has a bias.
        convolution: `conv` or `transposed_conv`.
        **options: more options of the convolution, such as stride.
    """
    convolution_name, *names = _names(name, entries)
    x = convolution(x, filters, kernel, convolution_name, bias=bias, **options)
    return _norm_activation(x, names, activation, epsilon=epsilon, momentum=momentum, scale=scale)


def depthwise_conv_norm(
    x, kernel, name, entries=(0, 1), activation=relu, *, epsilon=1e-5, momentum=0.9, scale=True, bias=False, **options
):
    """The same as `conv_norm`, with a depthwise convolution: a kernel for each channel."""
    convolution_name, *names = _names(name, entries)
    x = depthwise_conv(x, kernel, convolution_name, bias=bias, **options)
    return _norm_activation(x, names, activation, epsilon=epsilon, momentum=momentum, scale=scale)


def _names(name, entries):
    return [f"{name}.{entry}" if name else entry for entry in entries]


def _norm_activation(x, names, activation, **norm):
    x = batch_norm(x, names[0], **norm)
    if isinstance(activation, str):
        return keras.layers.Activation(activation)(x)
    return activation(x, *names[1:]) if activation else x
