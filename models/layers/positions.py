"""Tokens and positions of transformers: learnt tokens, a learnt table of positions at any grid, fixed and rotary ones."""

import math

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tfseg")
class Token(keras.layers.Layer):
    """`count` learnt tokens, the same for every image: x [batch, ..] -> [batch, count, width]; of x only the batch is used.

    They start normally distributed with this `deviation`. timm and DINOv2 start class and register tokens with 1e-6.
    """

    def __init__(self, count, width, deviation=1e-6, **kwargs):
        super().__init__(**kwargs)
        self.count, self.width, self.deviation = count, width, deviation

    def build(self, input_shape):
        self.weight = self.add_weight(
            shape=(1, self.count, self.width),
            initializer=keras.initializers.RandomNormal(stddev=self.deviation),
            name="weight",
        )

    def call(self, inputs):
        return ops.broadcast_to(self.weight, (ops.shape(inputs)[0], self.count, self.width))

    def compute_output_spec(self, inputs):
        return keras.KerasTensor((inputs.shape[0], self.count, self.width), self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "count": self.count, "width": self.width, "deviation": self.deviation}


@keras.saving.register_keras_serializable(package="tfseg")
class PositionEmbedding(keras.layers.Layer):
    """A learnt vector for each patch of a `grid` (height, width): x [batch, h, w, width] -> [1, first + h * w, width].

    The table is resized bicubically to the grid of x, on the half-pixel grid. Without `antialias` it is PyTorch's bicubic
    `interpolate` (a = -0.75; beyond the edge the outermost values), with it PyTorch's antialiased one (a = -0.5; taps beyond
    the edge are left out). `first` vectors before them, of the class token, are not resized.
    """

    def __init__(self, grid, first=0, antialias=False, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.grid, self.first, self.antialias = tuple(grid), first, antialias

    def build(self, input_shape):
        self.weight = self.add_weight(
            shape=(1, self.first + math.prod(self.grid), input_shape[-1]),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            name="weight",
        )

    def call(self, inputs):
        """Computed in float32 under every policy."""
        (height, width), channels = ops.shape(inputs)[1:3], inputs.shape[-1]
        table = ops.convert_to_tensor(self.weight)
        if tuple(inputs.shape[1:3]) != self.grid:  # at a size known only at run time, equal grids give the table again
            rows, columns = self.grid
            x = ops.reshape(table[0, self.first :], (rows, columns * channels))
            x = ops.reshape(ops.matmul(self._matrix(rows, height), x), (height, columns, channels))
            x = ops.matmul(self._matrix(columns, width), x)
            table = ops.concatenate([table[:, : self.first], ops.reshape(x, (1, height * width, channels))], axis=1)
        return ops.cast(table, self.compute_dtype)

    def _matrix(self, n, m):
        """[m, n]: a row holds the weights of the n values for one of the m results."""
        ratio = n / ops.cast(m, "float32")
        position = (ops.cast(ops.arange(m), "float32") + 0.5) * ratio - 0.5
        if self.antialias:  # the kernel is as wide as the distance of two results
            distance = ops.cast(ops.arange(n), "float32")[None] - position[:, None]
            weights = cubic(distance / ops.maximum(ratio, 1.0), -0.5)
            return weights / ops.sum(weights, axis=1, keepdims=True)
        first, matrix = ops.floor(position), 0.0
        for tap in (-1, 0, 1, 2):
            index = ops.cast(ops.clip(first + tap, 0, n - 1), "int32")
            matrix += ops.one_hot(index, n, dtype="float32") * cubic(first + tap - position, -0.75)[:, None]
        return matrix

    def compute_output_spec(self, inputs):
        _, height, width, channels = inputs.shape
        patches = height and width and height * width
        return keras.KerasTensor((1, patches and self.first + patches, channels), self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "grid": self.grid, "first": self.first, "antialias": self.antialias}


def cubic(x, a):
    """The kernel of bicubic interpolation at a distance x: Keys, IEEE Trans. ASSP 1981, with his parameter a."""
    x = ops.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return ops.where(x <= 1, near, ops.where(x < 2, far, 0.0))


@keras.saving.register_keras_serializable(package="tfseg")
class SinePositions(keras.layers.Layer):
    """Fixed positions of the pixels of a map: x [batch, h, w, any] -> [1, h * w, width], of values in -1..1.

    Carion et al., End-to-End Object Detection with Transformers, ECCV 2020, https://arxiv.org/abs/2005.12872, appendix A.4.
    The first half of the channels is of the row, the second of the column. A row or column i of n has the angle
    2 pi (i + 1) / n, divided by 10000^(4 k / width) for the k-th pair of a sine and a cosine.
    """

    def __init__(self, width, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.width = width

    def call(self, inputs):
        height, width = ops.shape(inputs)[1:3]
        shape = (height, width, self.width // 2)
        both = [ops.broadcast_to(self._axis(height)[:, None], shape), ops.broadcast_to(self._axis(width)[None], shape)]
        positions = ops.reshape(ops.concatenate(both, axis=-1), (1, height * width, self.width))
        return ops.cast(positions, self.compute_dtype)

    def _axis(self, n):
        """[n, width / 2]."""
        frequencies = ops.power(10000.0, -4.0 / self.width * ops.cast(ops.arange(self.width // 4), "float32"))
        angles = 2 * math.pi * ops.cast(ops.arange(1, n + 1), "float32") / ops.cast(n, "float32")
        angles = angles[:, None] * frequencies
        return ops.reshape(ops.stack([ops.sin(angles), ops.cos(angles)], axis=-1), (n, self.width // 2))

    def compute_output_spec(self, inputs):
        height, width = inputs.shape[1:3]
        return keras.KerasTensor((1, height and width and height * width, self.width), self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "width": self.width}


@keras.saving.register_keras_serializable(package="tfseg")
class RotaryTable(keras.layers.Layer):
    """The angles of rotary positions: x [batch, h, w, any] -> cosines and sines [1, h * w, 2 * size], float32.

    Su et al., RoFormer, Neurocomputing 2024, https://arxiv.org/abs/2104.09864, in two dimensions as in DINOv3 (section 3.2 of
    https://arxiv.org/abs/2508.10104): height and width of an image are -1..1, and each has a quarter of the `size` channels
    of a head as angles, 2 pi position / base^(4 i / size). They repeat once, for the channels that they rotate into.
    """

    def __init__(self, size, base=100.0, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.size, self.base = size, base

    def call(self, inputs):
        height, width = ops.shape(inputs)[1:3]
        frequencies = ops.power(self.base, -4.0 / self.size * ops.cast(ops.arange(self.size // 4), "float32"))
        rows, columns = (_centres(n)[:, None] * (2 * math.pi) * frequencies for n in (height, width))
        shape = (height, width, self.size // 4)
        both = [ops.broadcast_to(rows[:, None], shape), ops.broadcast_to(columns[None], shape)]
        angles = ops.reshape(ops.concatenate([*both, *both], axis=-1), (1, height * width, self.size))
        return ops.concatenate([ops.cos(angles), ops.sin(angles)], axis=-1)

    def compute_output_spec(self, inputs):
        height, width = inputs.shape[1:3]
        return keras.KerasTensor((1, height and width and height * width, 2 * self.size), "float32")

    def get_config(self):
        return {**super().get_config(), "size": self.size, "base": self.base}


def _centres(n):
    """The centres of n patches that cover -1..1."""
    return (2 * ops.cast(ops.arange(n), "float32") + 1) / ops.cast(n, "float32") - 1


@keras.saving.register_keras_serializable(package="tfseg")
class Rotate(keras.layers.Layer):
    """[queries or keys [batch, tokens, channels], `RotaryTable`] -> the same with the patches rotated in each of `heads`.

    The patches are the last tokens, as many as the table has. The tokens before them have no position. Float32 under every
    policy, because a rotation in bfloat16 changes the length of a vector by 1 %.
    """

    def __init__(self, heads, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.heads = heads

    def call(self, inputs):
        x, table = inputs
        (b, n), channels = ops.shape(x)[:2], x.shape[-1]
        size = channels // self.heads
        before = n - ops.shape(table)[1]
        patches = ops.reshape(ops.cast(x[:, before:], "float32"), (b, n - before, self.heads, size))
        cosine, sine = ops.split(table[:, :, None], 2, axis=-1)
        first, second = ops.split(patches, 2, axis=-1)
        patches = patches * cosine + ops.concatenate([-second, first], axis=-1) * sine
        patches = ops.cast(ops.reshape(patches, (b, n - before, channels)), x.dtype)
        return ops.concatenate([x[:, :before], patches], axis=1)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs[0].shape, inputs[0].dtype)

    def get_config(self):
        return {**super().get_config(), "heads": self.heads}


@keras.saving.register_keras_serializable(package="tfseg")
class PatchMap(keras.layers.Layer):
    """[tokens [batch, tokens, channels], map [batch, h, w, any]] -> [batch, h, w, channels]: the last h * w tokens.

    With an axis of predictions, [batch, n, tokens, channels] -> [batch * n, h, w, channels].
    """

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    def call(self, inputs):
        x, like = inputs
        h, w = ops.shape(like)[1:3]
        x = x[..., ops.shape(x)[-2] - h * w :, :]
        return ops.reshape(x, (-1, h, w, x.shape[-1]))

    def compute_output_spec(self, inputs):
        x, like = inputs
        batch = x.shape[0] if len(x.shape) == 3 else x.shape[0] and x.shape[0] * x.shape[1]
        return keras.KerasTensor((batch, *like.shape[1:3], x.shape[-1]), x.dtype)
