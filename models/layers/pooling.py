"""Max pooling with PyTorch's padding, and 2x2 pooling that also returns the place of each maximum."""

import keras
from keras import ops


def max_pool(x, size, stride=None, padding=0, nonnegative=False):
    """Max pooling like PyTorch's: the default stride is the size, padding is never the maximum, sizes are rounded down.

    `nonnegative` says that x comes from a ReLU. Padding with zeros then gives the same result and takes half the time.
    """
    stride = stride or size
    if padding and stride == 1 and 2 * padding == size - 1:
        return keras.layers.MaxPooling2D(size, 1, padding="same")(x)
    if padding:
        x = keras.layers.ZeroPadding2D(padding)(x) if nonnegative else MirrorPadding2D(padding)(x)
    return keras.layers.MaxPooling2D(size, stride)(x)


def max_pool_with_indices(x, name=None):
    """Maxima of 2x2 windows and their places in the window (0 1 above 2 3); of equal values the first one counts.

    The last row or column of an odd size is dropped.
    """
    return MaxPoolWithIndices(name=name)(x)


def max_unpool(x, indices, like, name=None):
    """Puts every value at the place of its maximum and zeros elsewhere. `like` is twice as large as x, or 1 pixel larger."""
    return MaxUnpool(name=name)([x, indices, like])


@keras.saving.register_keras_serializable(package="tfseg")
class MirrorPadding2D(keras.layers.Layer):
    """Pads with mirrored pixels of the edge, so that the maxima are the same as with padding by -inf.

    Every window that reads a mirrored pixel also contains the original one. Unlike -inf, this does not change the range of
    an 8-bit export. Needs padding <= half the pool's size.
    """

    def __init__(self, padding, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.padding = padding

    def call(self, inputs):
        p = self.padding
        return ops.pad(inputs, ((0, 0), (p, p), (p, p), (0, 0)), mode="symmetric")

    def compute_output_spec(self, inputs):
        b, h, w, c = inputs.shape
        return keras.KerasTensor((b, h and h + 2 * self.padding, w and w + 2 * self.padding, c), inputs.dtype)

    def get_config(self):
        return {**super().get_config(), "padding": self.padding}


@keras.saving.register_keras_serializable(package="tfseg")
class MaxPoolWithIndices(keras.layers.Layer):
    """[B, H, W, C] -> maxima and int32 positions in the window, both [B, H // 2, W // 2, C].

    It uses four slices and comparisons, because `tf.nn.max_pool_with_argmax` does not compile under XLA. The gradient goes
    only to the pixel that was the maximum.
    """

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    def call(self, inputs):
        shape = ops.shape(inputs)
        h, w = shape[1] // 2, shape[2] // 2
        # ops.slice, unstack and split take 36 ms forward and back for 10 x 90 x 120 x 64 on two CPU cores, and
        # [:, :, i, :, j] takes 226 ms, because its gradient is slow.
        inside = ops.slice(inputs, (0, 0, 0, 0), (shape[0], 2 * h, 2 * w, inputs.shape[-1]))
        rows = ops.unstack(ops.reshape(inside, (shape[0], h, 2, w, 2 * inputs.shape[-1])), axis=2)
        best, *others = [pixel for row in rows for pixel in ops.split(row, 2, axis=-1)]
        indices = ops.zeros_like(best, "int32")
        for position, candidate in enumerate(others, start=1):
            larger = candidate > best
            best = ops.where(larger, candidate, best)
            indices = ops.where(larger, position, indices)
        return best, indices

    def compute_output_spec(self, inputs):
        b, h, w, c = inputs.shape
        shape = (b, h and h // 2, w and w // 2, c)
        return keras.KerasTensor(shape, inputs.dtype), keras.KerasTensor(shape, "int32")


@keras.saving.register_keras_serializable(package="tfseg")
class MaxUnpool(keras.layers.Layer):
    """Undoes MaxPoolWithIndices: [x, indices, like] -> [B, height of like, width of like, C]."""

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    def call(self, inputs):
        x, indices, like = inputs
        b, h, w = ops.shape(x)[:3]
        height, width = ops.shape(like)[1:3]
        pixels = [ops.where(indices == position, x, ops.zeros_like(x)) for position in range(4)]
        rows = [ops.stack(pixels[:2], 3), ops.stack(pixels[2:], 3)]
        x = ops.reshape(ops.stack(rows, 2), (b, 2 * h, 2 * w, x.shape[-1]))
        return ops.pad(x, ((0, 0), (0, height - 2 * h), (0, width - 2 * w), (0, 0)))

    def compute_output_spec(self, inputs):
        x, _, like = inputs
        return keras.KerasTensor((*like.shape[:3], x.shape[-1]), x.dtype)
