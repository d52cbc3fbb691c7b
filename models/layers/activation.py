"""Activations and dropout."""

import keras
from keras import ops


def relu(x, name=None):
    """max(x, 0)."""
    return keras.layers.ReLU(name=name)(x)


def relu6(x, name=None):
    """min(max(x, 0), 6)."""
    return keras.layers.ReLU(6, name=name)(x)


def prelu(x, name, per_channel=True):
    """x if it is positive, otherwise slope * x. One slope, or one per channel, is learnt from 0.25 on, as in PyTorch."""
    shared = [1, 2] if per_channel else [1, 2, 3]
    return keras.layers.PReLU(keras.initializers.Constant(0.25), shared_axes=shared, name=name)(x)


def dropout(x, rate, name=None):
    """Drops single values. If the rate is 0, no layer is made.

    Raises:
        ValueError: if the rate is not in [0, 1).
    """
    if not 0 <= rate < 1:
        raise ValueError(f"Expected dropout, the share of the values that are dropped, in [0, 1). Received: {rate}.")
    return keras.layers.Dropout(rate, name=name)(x) if rate else x


def spatial_dropout(x, rate, name=None):
    """Drops whole channels, like PyTorch's Dropout2d. If the rate is 0, no layer is made."""
    return SpatialDropout2D(rate, name=name)(x) if rate else x


@keras.saving.register_keras_serializable(package="tfseg")
class SpatialDropout2D(keras.layers.SpatialDropout2D):
    """Keras' layer, but the mask is drawn and scaled at its own size [batch, 1, 1, channels] and multiplied only once.

    TensorFlow selects over the whole tensor, and again for the gradient: 18 ms instead of 13 for 10 x 90 x 120 x 64.
    """

    def call(self, inputs, training=False):
        if not training or not self.rate:
            return inputs
        shape = ops.shape(inputs)
        ones = ops.ones((shape[0], 1, 1, shape[3]), inputs.dtype)
        return inputs * keras.random.dropout(ones, self.rate, seed=self.seed_generator)
