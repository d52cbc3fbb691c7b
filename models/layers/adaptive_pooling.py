"""Average pooling to a given number of cells instead of a given size of the window."""

import keras
from keras import ops

from models.layers.resizing import target_size


def adaptive_average_pool(x, size=None, like=None, scale=None, least=0, name=None):
    """PyTorch's AdaptiveAvgPool2d: means of cells, which overlap if the size of x is not a multiple of their number.

    There are `size` x `size` cells, or as many as the tensor `like` has pixels, or as many as x times `scale` (`resize`).
    """
    layer = AdaptiveAveragePool2D(size, scale, least, name=name)
    return layer(x if like is None else [x, like])


@keras.saving.register_keras_serializable(package="tfseg")
class AdaptiveAveragePool2D(keras.layers.Layer):
    """Cell i of m covers the pixels from floor(i n / m) to ceil((i + 1) n / m) of n, also if n is less than m.

    It is computed as two products with averaging matrices, because the size may be known only at run time.
    """

    def __init__(self, size=None, scale=None, least=0, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.size, self.scale, self.least = size, scale, least

    def call(self, inputs):
        x = inputs[0] if isinstance(inputs, (list, tuple)) else inputs
        height, width = self._target(inputs, ops.shape)
        b, h, w = ops.shape(x)[:3]
        c = x.shape[-1]
        x = ops.matmul(ops.cast(_matrix(h, height), x.dtype), ops.reshape(x, (b, h, w * c)))
        x = ops.matmul(ops.cast(_matrix(w, width), x.dtype), ops.reshape(x, (b * height, w, c)))
        return ops.reshape(x, (b, height, width, c))

    def _target(self, inputs, shape):
        return (self.size, self.size) if self.size else target_size(inputs, self.scale, self.least, shape)

    def compute_output_spec(self, inputs):
        x = inputs[0] if isinstance(inputs, (list, tuple)) else inputs
        target = self._target(inputs, lambda x: x.shape)
        return keras.KerasTensor((x.shape[0], *target, x.shape[-1]), x.dtype)

    def get_config(self):
        return {**super().get_config(), "size": self.size, "scale": self.scale, "least": self.least}


def _matrix(n, m):
    """[m, n]: a row holds the weights of the input pixels in one cell."""
    cell = ops.arange(m)[:, None]
    begin, end = cell * n // m, -(-(cell + 1) * n // m)
    pixel = ops.arange(n)[None, :]
    inside = ops.cast(ops.logical_and(pixel >= begin, pixel < end), "float32")
    return inside / ops.sum(inside, axis=1, keepdims=True)
