"""Average pooling with PyTorch's padding, and pooling whose windows are dilated."""

import keras
from keras import ops


def average_pool(x, size, stride=None, padding=0, dilation=1):
    """Average pooling like PyTorch's: the default stride is the size, padded zeros count, and sizes are rounded down.

    With a dilation (at stride 1) the pixels of a window lie that far apart.
    """
    stride = stride or size
    if padding:
        x = keras.layers.ZeroPadding2D(padding)(x)
    if dilation == 1:
        return keras.layers.AveragePooling2D(size, stride)(x)
    if stride != 1:
        raise ValueError(f"Expected stride 1 with a dilation. Received: {stride=}, {dilation=}.")
    return DilatedPooling2D(size, dilation, maximum=False)(x)


def dilated_max_pool(x, size, dilation):
    """Maxima of size x size pixels that lie `dilation` apart, at stride 1 without padding."""
    if dilation == 1:
        return keras.layers.MaxPooling2D(size, 1)(x)
    return DilatedPooling2D(size, dilation, maximum=True)(x)


@keras.saving.register_keras_serializable(package="tfseg")
class DilatedPooling2D(keras.layers.Layer):
    """Maxima or means of size x size pixels that lie `dilation` apart, at stride 1 without padding."""

    def __init__(self, size, dilation, maximum, **kwargs):
        super().__init__(**kwargs)
        self.size, self.dilation, self.maximum = size, dilation, maximum

    def call(self, inputs):
        x, taken = inputs, (self.size - 1) * self.dilation
        for axis in (1, 2):  # first along the rows of a window, then along its columns
            shape = list(ops.shape(x))
            shape[axis] -= taken
            starts = [[i * self.dilation if a == axis else 0 for a in range(4)] for i in range(self.size)]
            first, *others = [ops.slice(x, start, shape) for start in starts]
            for other in others:
                first = ops.maximum(first, other) if self.maximum else first + other
            x = first if self.maximum else first / self.size
        return x

    def compute_output_spec(self, inputs):
        b, h, w, c = inputs.shape
        taken = (self.size - 1) * self.dilation
        return keras.KerasTensor((b, h and h - taken, w and w - taken, c), self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "size": self.size, "dilation": self.dilation, "maximum": self.maximum}
