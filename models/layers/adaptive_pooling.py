"""Average pooling to a number of cells instead of a size of the window."""

import keras
from keras import ops


def adaptive_average_pool(x, size, name=None):
    """PyTorch's AdaptiveAvgPool2d: means of `size` x `size` cells, which overlap where the size of x is no multiple."""
    return AdaptiveAveragePool2D(size, name=name)(x)


@keras.saving.register_keras_serializable(package="tfseg")
class AdaptiveAveragePool2D(keras.layers.Layer):
    """Cell i of m covers the pixels from floor(i n / m) to ceil((i + 1) n / m) of n; also where n is less than m.

    Two products with averaging matrices, as the size may be known only at run time.
    """

    def __init__(self, size, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.size = size

    def call(self, inputs):
        m = self.size
        b, h, w = ops.shape(inputs)[:3]
        c = inputs.shape[-1]
        x = ops.matmul(ops.cast(self._matrix(h), inputs.dtype), ops.reshape(inputs, (b, h, w * c)))
        x = ops.matmul(ops.cast(self._matrix(w), inputs.dtype), ops.reshape(x, (b * m, w, c)))
        return ops.reshape(x, (b, m, m, c))

    def _matrix(self, n):
        """[m, n]: a row holds the weights of the input pixels in one cell."""
        cell = ops.arange(self.size)[:, None]
        begin, end = cell * n // self.size, -(-(cell + 1) * n // self.size)
        pixel = ops.arange(n)[None, :]
        inside = ops.cast(ops.logical_and(pixel >= begin, pixel < end), "float32")
        return inside / ops.sum(inside, axis=1, keepdims=True)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor((inputs.shape[0], self.size, self.size, inputs.shape[-1]), inputs.dtype)

    def get_config(self):
        return {**super().get_config(), "size": self.size}
