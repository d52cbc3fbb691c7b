"""From a sequence of pixels, as attention computes it, back to a map."""

import keras
from keras import ops


def unflatten(x, like):
    """[batch, height * width, channels] -> [batch, height, width, channels], with the height and width of the map `like`."""
    return Unflatten()([x, like])


@keras.saving.register_keras_serializable(package="tfseg")
class Unflatten(keras.layers.Layer):
    """[sequence [B, H * W, C], map [B, H, W, any]] -> [B, H, W, C]."""

    def __init__(self, **options):
        super().__init__(autocast=False, **options)

    def call(self, inputs):
        """The same numbers, row after row."""
        x, like = inputs
        return ops.reshape(x, (*ops.shape(like)[:3], x.shape[-1]))

    def compute_output_spec(self, inputs):
        """As above."""
        x, like = inputs
        return keras.KerasTensor((*like.shape[:3], x.shape[-1]), x.dtype)
