"""Attention within windows of a map, which may be shifted: the layers of Swin.

Liu, Lin, Cao, Hu, Wei, Zhang, Lin, Guo, ICCV 2021. https://arxiv.org/abs/2103.14030

A map is padded to whole windows below and right. A shift of s moves it up and left by s pixels, and its first rows and columns
to the other side, where they share windows with pixels that they must not see: figure 4 of the paper.
"""

import keras
import numpy as np
from keras import ops

from models.layers.attention import DotProductAttention
from models.layers.dense import dense

HIDDEN = -100.0  # added to the product of a query and a key that it must not see, in all implementations


def window_attention(x, heads, name, *, size=7, shift=0, mask=None, shift_small=False, initial):
    """Attention of the pixels of every window of size x size among each other, with a learnt bias for their relative position.

    Args:
      x: [batch, height, width, channels].
      heads: a divisor of the channels.
      name: the beginning of the layers' names.
      size: of a window.
      shift: of the windows, less than their size.
      mask: `shift_mask` of maps of this size, if there is a shift.
      shift_small: as in `shift_mask`.
      initial: the rule for the initial weights of the linear layers.

    Returns:
      [batch, height, width, channels].
    """
    channels = x.shape[-1]
    y = Windows(size, shift, shift_small)(x)
    parts = ops.split(dense(y, 3 * channels, f"{name}.qkv", initial=initial), 3, axis=-1)
    # Every window has heads of its own, so that the bias has no axis for the batch.
    split = [keras.layers.Reshape((size**2, -1, channels // heads))(part) for part in parts]
    table = RelativePosition(size, heads, name=f"{name}.relative_position_bias_table")
    position = table(y if mask is None else [y, mask])
    y = keras.layers.Reshape((size**2, -1, channels))(DotProductAttention()(*split, position))
    y = dense(y, channels, f"{name}.proj", initial=initial)
    return FromWindows(size, shift, shift_small)([y, x])


def shift_mask(x, size, shift, shift_small=False):
    """What is added where a query must not see a key of its shifted window: [windows, size^2, size^2] of zeros and `HIDDEN`.

    Without `shift_small`, an axis that has only one window is not shifted.
    """
    return ShiftMask(size, shift, shift_small)(x)


class _Shifted(keras.layers.Layer):
    """A layer that knows the windows of a map."""

    def __init__(self, size, shift=0, shift_small=False, **options):
        super().__init__(autocast=False, **options)
        self.size, self.shift, self.shift_small = size, shift, shift_small

    def get_config(self):
        """Its options."""
        return {**super().get_config(), "size": self.size, "shift": self.shift, "shift_small": self.shift_small}

    def _padded(self, n):
        """The next multiple of the windows' size; None if n is not known yet."""
        return None if n is None else n + -n % self.size

    def _shift(self, padded):
        """The shift along an axis."""
        if not self.shift or self.shift_small:
            return self.shift
        if isinstance(padded, int):
            return self.shift if padded > self.size else 0
        return ops.where(padded > self.size, self.shift, 0)

    def _rolled(self, x, first):
        """x [B, height, width, C] from row and column `first` on, then what is before."""
        for axis, begin in zip((1, 2), first, strict=True):
            if isinstance(begin, int) and begin == 0:
                continue
            shape = ops.shape(x)
            starts, sizes = [0] * 4, list(shape)
            starts[axis], sizes[axis] = begin, shape[axis] - begin
            ahead = ops.slice(x, starts, sizes)
            starts[axis], sizes[axis] = 0, begin
            x = ops.concatenate([ahead, ops.slice(x, starts, sizes)], axis)
        return x


@keras.saving.register_keras_serializable(package="tfseg")
class Windows(_Shifted):
    """[B, H, W, C] -> [B, size^2, windows, C]: the pixels of each window, in rows, and the windows in rows."""

    def call(self, inputs):
        """Pads with zeros, shifts and cuts."""
        b, h, w, c = ops.shape(inputs)
        height, width = self._padded(h), self._padded(w)
        x = ops.pad(inputs, ((0, 0), (0, height - h), (0, width - w), (0, 0)))
        x = self._rolled(x, (self._shift(height), self._shift(width)))
        rows, columns = height // self.size, width // self.size
        x = ops.reshape(x, (b, rows, self.size, columns, self.size, c))
        return ops.reshape(ops.transpose(x, (0, 2, 4, 1, 3, 5)), (b, self.size**2, rows * columns, c))

    def compute_output_spec(self, inputs):
        """As above."""
        b, h, w, c = inputs.shape
        windows = h and w and self._padded(h) * self._padded(w) // self.size**2
        return keras.KerasTensor((b, self.size**2, windows, c), inputs.dtype)


@keras.saving.register_keras_serializable(package="tfseg")
class FromWindows(_Shifted):
    """[windows [B, size^2, windows, C], map [B, H, W, any]] -> [B, H, W, C]: undoes `Windows`."""

    def call(self, inputs):
        """Puts together, shifts back and crops."""
        x, (h, w) = inputs[0], ops.shape(inputs[1])[1:3]
        b, c = ops.shape(x)[0], x.shape[-1]
        height, width = self._padded(h), self._padded(w)
        x = ops.reshape(x, (b, self.size, self.size, height // self.size, width // self.size, c))
        x = ops.reshape(ops.transpose(x, (0, 3, 1, 4, 2, 5)), (b, height, width, c))
        back = (height - self._shift(height), width - self._shift(width))
        x = self._rolled(x, back) if self.shift else x
        return ops.slice(x, (0, 0, 0, 0), (b, h, w, c))

    def compute_output_spec(self, inputs):
        """As above."""
        x, like = inputs
        return keras.KerasTensor((*like.shape[:3], x.shape[-1]), x.dtype)


@keras.saving.register_keras_serializable(package="tfseg")
class ShiftMask(_Shifted):
    """Map [B, H, W, C] -> [windows, size^2, size^2]: 0 for pixels of one region of a shifted window, otherwise `HIDDEN`."""

    def call(self, inputs):
        """Numbers the regions along both axes and compares them."""
        rows, columns = (self._regions(self._padded(n)) for n in ops.shape(inputs)[1:3])
        regions = 2 * rows[:, None, :, None] + columns[None, :, None, :]  # [rows, columns, size, size]
        regions = ops.reshape(regions, (-1, self.size**2))
        other = ops.not_equal(regions[:, :, None], regions[:, None, :])
        return ops.where(other, ops.cast(HIDDEN, inputs.dtype), ops.cast(0.0, inputs.dtype))

    def _regions(self, padded):
        """[windows, size]: 1 for what the shift has moved to the other side, which is the end of the last window; else 0."""
        moved = ops.cast(ops.arange(padded) >= padded - self._shift(padded), "int32")
        return ops.reshape(moved, (-1, self.size))

    def compute_output_spec(self, inputs):
        """As above."""
        h, w = (self._padded(n) for n in inputs.shape[1:3])
        return keras.KerasTensor((h and w and h * w // self.size**2, self.size**2, self.size**2), inputs.dtype)


@keras.saving.register_keras_serializable(package="tfseg")
class RelativePosition(keras.layers.Layer):
    """[B, size^2, n, C] or [it, mask [n, size^2, size^2]] -> [1, n * heads, size^2, size^2], a bias for `attention`.

    Equation 4: a learnt number for every head and every relative position of a query and a key, plus the mask.
    """

    def __init__(self, size, heads, **options):
        super().__init__(**options)
        self.size, self.heads = size, heads

    def build(self, input_shape):
        """Makes the table, which starts as the reference's."""
        shape, start = ((2 * self.size - 1) ** 2, self.heads), keras.initializers.TruncatedNormal(stddev=0.02)
        self.table = self.add_weight(shape=shape, initializer=start, name="table")

    def call(self, inputs):
        """Looks the table up."""
        x, mask = inputs if isinstance(inputs, (list, tuple)) else (inputs, None)
        pixels = self.size**2
        bias = ops.take(self.table, relative_positions(self.size).ravel(), axis=0)
        bias = ops.transpose(ops.reshape(bias, (1, pixels, pixels, self.heads)), (0, 3, 1, 2))
        windows = ops.shape(x)[2]
        # Without a mask all windows have the same.
        bias = ops.broadcast_to(bias, (windows, self.heads, pixels, pixels)) if mask is None else bias + mask[:, None]
        return ops.reshape(bias, (1, windows * self.heads, pixels, pixels))

    def compute_output_spec(self, inputs):
        """As above."""
        x = inputs[0] if isinstance(inputs, (list, tuple)) else inputs
        windows, pixels = x.shape[2], self.size**2
        return keras.KerasTensor((1, windows and windows * self.heads, pixels, pixels), self.compute_dtype)

    def get_config(self):
        """Its options."""
        return {**super().get_config(), "size": self.size, "heads": self.heads}


def relative_positions(size):
    """[size^2, size^2] entries of the table: (row of query - row of key) and the same of the columns, from 1 - size on."""
    row, column = np.divmod(np.arange(size**2), size)
    rows, columns = (x[:, None] - x[None, :] + size - 1 for x in (row, column))
    return rows * (2 * size - 1) + columns
