"""Layers for the end of a residual branch: stochastic depth and a learnt scale."""

import keras
from keras import ops


def stochastic_depth(x, rate, name=None):
    """In training drops the branch of random images at this rate and scales up the others. If the rate is 0, no layer is made.

    Huang et al., ECCV 2016, https://arxiv.org/abs/1603.09382; like torchvision's `stochastic_depth(mode="row")`.
    """
    return StochasticDepth(rate, name=name)(x) if rate else x


@keras.saving.register_keras_serializable(package="tfseg")
class StochasticDepth(keras.layers.Dropout):
    """Dropout of whole images. The mask is drawn and scaled at its own size [batch, 1, ..] and multiplied only once."""

    def call(self, inputs, training=False):
        if not training or not self.rate:
            return inputs
        ones = ops.ones((ops.shape(inputs)[0], *[1] * (len(inputs.shape) - 1)), inputs.dtype)
        return inputs * keras.random.dropout(ones, self.rate, seed=self.seed_generator)


@keras.saving.register_keras_serializable(package="tfseg")
class LayerScale(keras.layers.Layer):
    """A learnt factor for every channel: Touvron et al., ICCV 2021, https://arxiv.org/abs/2103.17239."""

    def __init__(self, initial, **kwargs):
        super().__init__(**kwargs)
        self.initial = initial

    def build(self, input_shape):
        self.scale = self.add_weight(
            shape=(input_shape[-1],), initializer=keras.initializers.Constant(self.initial), name="scale"
        )

    def call(self, inputs):
        return inputs * self.scale

    def get_config(self):
        return {**super().get_config(), "initial": self.initial}
