"""Bilinear resizing, padding and cropping, also for sizes that are known only at run time."""

import fractions

import keras
from keras import ops

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
else:
    tf = None


def resize(x, like=None, size=None, scale=None, align_corners=False, least=0, name=None):
    """Bilinear resizing to the height and width of the tensor `like`, to a `size`, or by a `scale`.

    With `scale` the size is rounded up and has at least `least` pixels.
    """
    if sum(target is not None for target in (like, size, scale)) != 1:
        raise ValueError(f"Expected one of like, size, scale. Received: {like=}, {size=}, {scale=}.")
    layer = ResizeBilinear(align_corners, size, scale, least, name=name)
    return layer(x if like is None else [x, like])


def fit(x, like, center=False, pad=True, name=None):
    """Zero-pads or crops x to the height and width of `like`: at the end, or on both sides with `center`.

    Without `pad` it only crops, and a smaller x is unchanged.
    """
    return Fit(center, pad, name=name)([x, like])


def crop(x, amounts, name=None):
    """Cuts off ((top, bottom), (left, right)) pixels."""
    return Crop(amounts, name=name)(x)


def pad_to_multiple(x, multiple, remainder=0, least=0, name=None):
    """Zero-pads bottom and right to the next k * multiple + `remainder` pixels, and to at least `least` pixels."""
    return PadToMultiple(multiple, remainder, least, name=name)(x)


@keras.saving.register_keras_serializable(package="tfseg")
class ResizeBilinear(keras.layers.Layer):
    """Bilinear resizing to a size known only at run time.

    On the half-pixel grid, output i lies at (i + 0.5) * n / m - 0.5 of the input; with align_corners it lies at
    i * (n - 1) / (m - 1). There is no antialiasing. This is PyTorch's `interpolate` with align_corners False and True.

    Training uses two products with interpolation matrices: their gradient is deterministic on a GPU, and right under XLA.
    Inference uses TensorFlow's kernel, which is 30 times faster from 128x256 to 1024x2048 on a CPU, and native to TFLite.
    XLA's version of that kernel is wrong: from 9x11 to 33x47 it was off by 3.8 deviations (TensorFlow 2.21, CPU), and it
    gave NaN gradients in bfloat16. So inference does not use XLA.
    """

    def __init__(self, align_corners=False, size=None, scale=None, least=0, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.align_corners, self.size, self.scale, self.least = align_corners, size and tuple(size), scale, least
        self.supports_jit = tf is None  # so that Keras' jit_compile="auto" does not compile a model that resizes

    def call(self, inputs, training=None):
        x = inputs[0] if isinstance(inputs, (list, tuple)) else inputs
        height, width = self._target(inputs, ops.shape)
        if tf is not None and not training and x.dtype != tf.float64:  # the kernel computes and returns float32
            y = tf.raw_ops.ResizeBilinear(
                images=x,
                size=(height, width),
                align_corners=self.align_corners,
                half_pixel_centers=not self.align_corners,
            )
            return ops.cast(y, x.dtype)
        b, h, w = ops.shape(x)[:3]
        c = x.shape[-1]
        # The matrices are made in float32, because in bfloat16 a position beyond 256 is wrong by a pixel.
        x = ops.matmul(ops.cast(self._matrix(h, height), x.dtype), ops.reshape(x, (b, h, w * c)))
        x = ops.matmul(ops.cast(self._matrix(w, width), x.dtype), ops.reshape(x, (b * height, w, c)))
        return ops.reshape(x, (b, height, width, c))

    def _target(self, inputs, shape):
        return self.size or target_size(inputs, self.scale, self.least, shape)

    def _matrix(self, n, m):
        """[m, n]: a row holds the weights of the input positions for one output position."""
        grid, position = ops.cast(ops.arange(n), "float32"), ops.cast(ops.arange(m), "float32")
        n, m = ops.cast(n, "float32"), ops.cast(m, "float32")
        if self.align_corners:
            position = position * ((n - 1.0) / ops.maximum(m - 1.0, 1.0))
        else:
            position = (position + 0.5) * (n / m) - 0.5
        position = ops.clip(position, 0.0, n - 1.0)
        return ops.relu(1.0 - ops.abs(position[:, None] - grid[None, :]))

    def compute_output_spec(self, inputs):
        x = inputs[0] if isinstance(inputs, (list, tuple)) else inputs
        target = self._target(inputs, lambda x: x.shape)
        return keras.KerasTensor((x.shape[0], *target, x.shape[-1]), x.dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "align_corners": self.align_corners,
            "size": self.size,
            "scale": self.scale,
            "least": self.least,
        }


@keras.saving.register_keras_serializable(package="tfseg")
class Fit(keras.layers.Layer):
    """[x, like] -> x zero-padded or cropped to the height and width of like."""

    def __init__(self, center=False, pad=True, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.center, self.pad = center, pad

    def call(self, inputs):
        x, like = inputs
        for axis in (1, 2):
            size, target = ops.shape(x)[axis], ops.shape(like)[axis]
            x = self._fit(x, axis, size, target)
        return x

    def _fit(self, x, axis, size, target):
        extra, lack = _positive(size - target), _positive(target - size)
        first, before = (extra // 2, lack // 2) if self.center else (0, 0)
        begin, kept = [0] * 4, list(ops.shape(x))
        begin[axis], kept[axis] = first, size - extra
        x = ops.slice(x, begin, kept)
        if not self.pad:
            return x
        padding = [(0, 0)] * 4
        padding[axis] = (before, lack - before)
        return ops.pad(x, padding)

    def compute_output_spec(self, inputs):
        x, like = inputs
        sizes = like.shape[1:3]
        if not self.pad:
            sizes = [min(n, m) if n and m else None for n, m in zip(x.shape[1:3], sizes, strict=True)]
        return keras.KerasTensor((x.shape[0], *sizes, x.shape[-1]), x.dtype)

    def get_config(self):
        return {**super().get_config(), "center": self.center, "pad": self.pad}


@keras.saving.register_keras_serializable(package="tfseg")
class Crop(keras.layers.Layer):
    """Cropping2D by ops.slice: 44 ms for 10 x 361 x 481 x 11; x[:, a:b] takes 255 ms, because its gradient is slow."""

    def __init__(self, amounts, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.amounts = tuple(map(tuple, amounts))

    def call(self, inputs):
        (top, bottom), (left, right) = self.amounts
        b, h, w, c = ops.shape(inputs)
        return ops.slice(inputs, (0, top, left, 0), (b, h - top - bottom, w - left - right, c))

    def compute_output_spec(self, inputs):
        b, h, w, c = inputs.shape
        (top, bottom), (left, right) = self.amounts
        return keras.KerasTensor((b, h and h - top - bottom, w and w - left - right, c), inputs.dtype)

    def get_config(self):
        return {**super().get_config(), "amounts": self.amounts}


@keras.saving.register_keras_serializable(package="tfseg")
class PadToMultiple(keras.layers.Layer):
    """Zero-pads bottom and right to the next size that leaves `remainder` when divided by `multiple`, and to `least`."""

    def __init__(self, multiple, remainder=0, least=0, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.multiple, self.remainder, self.least = multiple, remainder, least

    def call(self, inputs):
        h, w = ops.shape(inputs)[1:3]
        return ops.pad(inputs, ((0, 0), (0, self._size(h) - h), (0, self._size(w) - w), (0, 0)))

    def compute_output_spec(self, inputs):
        b, h, w, c = inputs.shape
        return keras.KerasTensor((b, h and self._size(h), w and self._size(w), c), inputs.dtype)

    def _size(self, n):
        size = n + (self.remainder - n) % self.multiple
        return max(size, self.least) if isinstance(n, int) else ops.maximum(size, self.least)

    def get_config(self):
        return {
            **super().get_config(),
            "multiple": self.multiple,
            "remainder": self.remainder,
            "least": self.least,
        }


def target_size(inputs, scale, least, shape):
    """(height, width) of x times `scale`; if `scale` is None, those of `like` in the inputs [x, like].

    `shape` is a function that gives the sizes of a tensor; None is a size that is not known yet.
    """
    if scale is None:
        return tuple(shape(inputs[1])[1:3])
    return tuple(None if n is None else _scaled(n, scale, least) for n in shape(inputs)[1:3])


def _scaled(n, scale, least):
    """n * scale for an integer or a tensor, rounded up, and at least `least`."""
    scale = fractions.Fraction(scale).limit_denominator(100)
    n = -(-n * scale.numerator // scale.denominator)
    return max(n, least) if isinstance(n, int) else ops.maximum(n, least)


def _positive(n):
    """max(n, 0) of an integer, or of a tensor if the size is known only at run time."""
    return max(n, 0) if isinstance(n, int) else ops.maximum(n, 0)
