"""Scaling up to the nearest pixel, to a size that is known only at run time."""

import keras
from keras import ops

from models.layers.resizing import fit


def nearest(x, factor, like):
    """Repeats every pixel `factor` times in both directions, up to the height and width of the tensor `like`.

    For factor 2 this is PyTorch's nearest `interpolate`, if `like` has 2n - 1, 2n or 2n + 1 pixels for the n of x: its last
    pixel is repeated once less, or its first pixel once more.
    """
    x = keras.layers.UpSampling2D(factor)(x) if factor > 1 else x
    return MirrorBefore()([fit(x, like, pad=False), like])


@keras.saving.register_keras_serializable(package="tfseg")
class MirrorBefore(keras.layers.Layer):
    """[x, like] -> x with the rows and columns that it lacks of like's size mirrored above and on the left."""

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    def call(self, inputs):
        """x is not larger than like."""
        shape, target = (ops.shape(x) for x in inputs)
        rows, columns = (target[i] - shape[i] for i in (1, 2))
        return ops.pad(inputs[0], ((0, 0), (rows, 0), (columns, 0), (0, 0)), mode="symmetric")

    def compute_output_spec(self, inputs):
        """The size of like."""
        x, like = inputs
        return keras.KerasTensor((x.shape[0], *like.shape[1:3], x.shape[-1]), x.dtype)
