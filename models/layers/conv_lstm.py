"""ConvLSTM: an LSTM whose products are convolutions, unrolled over the steps of a sequence of maps.

Shi, Chen, Wang, Yeung, Wong, Woo, Convolutional LSTM Network, NeurIPS 2015. https://arxiv.org/abs/1506.04214. This is the form
without peepholes, with one convolution of the input and the hidden state together, as in guanfuchen/semseg and in
ndrplz/ConvLSTM_pytorch. Keras' ConvLSTM2D computes the same, but it has two kernels and another order of the gates, so that it
would not load their weights.
"""

import keras
from keras import ops

from models.layers.initial_weights import current_rule


def conv_lstm(maps, filters, kernel, name):
    """One ConvLSTM layer over a sequence, from hidden and cell states of zero.

    Args:
      maps: a list of tensors [B, H, W, C], the first step first.
      filters: channels of the hidden state and of the cell.
      kernel: height and width of the kernel, an odd number.
      name: of the cell; its convolution is `<name>.conv`, whose outputs are the input, forget and output gates and the
        candidate, in this order.

    Returns:
      The hidden state after each step, a list of [B, H, W, filters], and the cell [B, H, W, filters] after the last one.
    """
    taps = kernel * kernel
    start, bias_start = current_rule().start((maps[0].shape[-1] + filters) * taps, 4 * filters * taps)
    convolution = keras.layers.Conv2D(
        4 * filters,
        kernel,
        padding="same",
        kernel_initializer=start,
        bias_initializer=bias_start,
        name=f"{name}.conv",
    )
    hidden = cell = ZeroState(filters)(maps[0])
    states = []
    for x in maps:
        gates = convolution(keras.layers.Concatenate()([x, hidden]))
        hidden, cell = ConvLSTMStep()([gates, cell])
        states.append(hidden)
    return states, cell


@keras.saving.register_keras_serializable(package="tfseg")
class ZeroState(keras.layers.Layer):
    """Zeros with the size of a map, [B, H, W, channels], whose height and width may be known only at run time."""

    def __init__(self, channels, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels

    def call(self, inputs):
        """Zeros in the type of the computation."""
        return ops.zeros((*ops.shape(inputs)[:3], self.channels), self.compute_dtype)

    def compute_output_spec(self, inputs):
        """The same height and width."""
        return keras.KerasTensor((*inputs.shape[:3], self.channels), self.compute_dtype)

    def get_config(self):
        """With the channels."""
        return {**super().get_config(), "channels": self.channels}


@keras.saving.register_keras_serializable(package="tfseg")
class ConvLSTMStep(keras.layers.Layer):
    """[gates, cell] -> (hidden, cell) of a step: c' = f c + i g, h' = o tanh(c'); gates are i, f, o and the candidate g."""

    def call(self, inputs):
        """The gates are before their sigmoid, the candidate is before its tanh."""
        gates, cell = inputs
        enters, stays, leaves, candidate = ops.split(gates, 4, axis=-1)
        cell = ops.sigmoid(stays) * cell + ops.sigmoid(enters) * ops.tanh(candidate)
        return ops.sigmoid(leaves) * ops.tanh(cell), cell

    def compute_output_spec(self, inputs):
        """Both as the cell."""
        shape = inputs[1].shape
        return keras.KerasTensor(shape, self.compute_dtype), keras.KerasTensor(shape, self.compute_dtype)
