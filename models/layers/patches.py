"""Patches of pixels as the channels of a smaller map."""

import keras
from keras import ops


def patches(x, size):
    """[B, H, W, C] -> [B, H / size, W / size, size * size * C], rows and columns of a patch before channels.

    H and W are multiples of `size` (see `pad_to_multiple`).
    """
    return Patches(size)(x)


@keras.saving.register_keras_serializable(package="tfseg")
class Patches(keras.layers.Layer):
    """Space to depth, by reshaping, on every backend; see `patches`."""

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = size

    def call(self, inputs):
        """The size may be known only at run time."""
        s, channels, (b, h, w) = self.size, inputs.shape[-1], ops.shape(inputs)[:3]
        x = ops.reshape(inputs, (b, h // s, s, w // s, s, channels))
        return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (b, h // s, w // s, s * s * channels))

    def compute_output_spec(self, inputs):
        """Sizes that are not known yet stay unknown."""
        b, h, w, c = inputs.shape
        s = self.size
        return keras.KerasTensor((b, h and h // s, w and w // s, s * s * c), self.compute_dtype)

    def get_config(self):
        """With the size of a patch."""
        return {**super().get_config(), "size": self.size}
