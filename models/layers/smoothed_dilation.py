"""Smoothed dilated convolutions: they mix neighbouring pixels, which a dilated convolution keeps apart.

Wang, Ji, KDD 2018. https://arxiv.org/abs/1808.08931. The authors' github.com/divelab/dilated.

    with layers.smoothed_dilation("gi"):
        x = layers.conv(x, 64, 3, "conv1", dilation=2)

A convolution of rate d computes d x d separate grids of pixels. Both forms of the paper mix these grids. They start as the
identity, so that trained weights still give the same result:

- "gi", group interaction: every grid becomes a learned sum of all grids, with d^4 weights.
- "ssc", separable and shared convolution: before the dilated one, a convolution with one (2d - 1)^2 kernel for all channels.

Like `initial_weights`, it changes all convolutions and depthwise convolutions of stride 1 inside the block. The authors smooth
the convolutions of the backbone, not those of the pyramid; `backbones.build(.., smoothed_dilation=..)` does the same.
"""

import contextlib
import contextvars
import math

import keras
from keras import ops

from models.layers.resizing import crop, fit, pad_to_multiple

KINDS = ("gi", "ssc")

_current = contextvars.ContextVar("smoothing", default=None)  # (kind, names of the convolutions that were smoothed)


@contextlib.contextmanager
def smoothed_dilation(kind):
    """Smooths the dilated convolutions made inside the block. None changes nothing.

    Raises:
        ValueError: for another kind, or if no convolution in the block is dilated.
    """
    if kind is None:
        yield
        return
    if kind not in KINDS:
        raise ValueError(f"Expected smoothed_dilation 'gi', 'ssc' or None. Received: smoothed_dilation={kind!r}.")
    smoothed = []
    token = _current.set((kind, smoothed))
    try:
        yield
    finally:
        _current.reset(token)
    if not smoothed:
        raise ValueError(
            f"Expected a network with dilated convolutions. Received: smoothed_dilation={kind!r} of one without. "
            "Choose an output stride of 8 or 16, or leave smoothed_dilation out."
        )


def smoothing(x, name, kernel, stride, dilation, padding):
    """The changes that the enclosing `smoothed_dilation` makes around a convolution.

    Args:
        x: the input of the convolution, [batch, height, width, channels].
        name: its name.
        kernel, stride, dilation: its (height, width) pairs.
        padding: its (height, width) pair, or None if it keeps the size.

    Returns:
        The new input of the convolution, and a function from its result to the smoothed result.
    """
    if _current.get() is None or max(dilation) == 1 or max(kernel) == 1:
        return x, lambda y: y
    if max(stride) > 1 or dilation[0] != dilation[1]:
        raise ValueError(
            f"Expected a square dilation and stride 1 to smooth. Received: {dilation=}, {stride=} in layer {name!r}."
        )
    (kind, smoothed), rate = _current.get(), dilation[0]
    smoothed.append(name)
    if kind == "ssc":
        return SharedConvolution(rate, name=f"{name}.ssc")(x), lambda y: y
    # All grids share the convolution, so the sum of grids can come before it, and its bias is added to the result. All grids
    # need the same size, so we pad with zeros and crop the result of the convolution.
    same = [rate * (k - 1) // 2 for k in kernel]
    margins = [0, 0] if padding is None else [s - p for s, p in zip(same, padding, strict=True)]
    like = crop(x, [(m, m) for m in margins]) if any(margins) else x
    x = GroupInteraction(rate, name=f"{name}.gi")(pad_to_multiple(x, rate))
    return x, lambda y: fit(y, like)


@keras.saving.register_keras_serializable(package="tfseg")
class GroupInteraction(keras.layers.Layer):
    """[B, H, W, C] -> the same shape. Each of the d^2 grids becomes a sum of all grids, weighted by `mixing[from, to]`.

    H and W are multiples of d. Grid r * d + s holds the pixels (r + i d, s + j d).
    """

    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate

    def build(self, input_shape):
        """Makes the d^2 x d^2 weights."""
        grids = self.rate**2
        # The authors' name. Weight decay does not change it, as in their code, because it is not called kernel.
        self.mixing = self.add_weight(shape=(grids, grids), initializer=keras.initializers.Identity(), name="fix_w")

    def call(self, inputs):
        """The sums."""
        d = self.rate
        b, h, w = ops.shape(inputs)[:3]
        c = inputs.shape[-1]
        x = ops.reshape(inputs, (b, h // d, d, w // d, d * c))
        x = ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4)), (b, (h // d) * (w // d), d * d, c))
        x = ops.matmul(ops.transpose(ops.cast(self.mixing, x.dtype)), x)
        x = ops.transpose(ops.reshape(x, (b, h // d, w // d, d, d * c)), (0, 1, 3, 2, 4))
        return ops.reshape(x, (b, h, w, c))

    def multiply_accumulates(self):
        """d^2, one for each grid, for every value."""
        return math.prod(self.output.shape[1:]) * self.rate**2

    def compute_output_spec(self, inputs):
        """As the inputs."""
        return keras.KerasTensor(inputs.shape, self.compute_dtype)

    def get_config(self):
        """With the options of the constructor."""
        return {**super().get_config(), "rate": self.rate}


@keras.saving.register_keras_serializable(package="tfseg")
class SharedConvolution(keras.layers.Layer):
    """[B, H, W, C] -> the same shape: convolves every channel with the same (2d - 1)^2 kernel, which starts as a delta."""

    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate

    def build(self, input_shape):
        """Makes the weights that are added to the delta; they start at 0, as in the authors' code."""
        size = 2 * self.rate - 1
        self.difference = self.add_weight(shape=(size, size), initializer="zeros", name="fix_w")

    def call(self, inputs):
        """The convolution."""
        size = 2 * self.rate - 1
        center = ops.one_hot(self.rate - 1, size)
        kernel = ops.cast(self.difference + center[:, None] * center[None, :], inputs.dtype)
        kernel = ops.broadcast_to(kernel[:, :, None, None], (size, size, inputs.shape[-1], 1))
        return ops.depthwise_conv(inputs, kernel, strides=1, padding="same")

    def multiply_accumulates(self):
        """The size of the kernel, for every value."""
        return math.prod(self.output.shape[1:]) * (2 * self.rate - 1) ** 2

    def compute_output_spec(self, inputs):
        """As the inputs."""
        return keras.KerasTensor(inputs.shape, self.compute_dtype)

    def get_config(self):
        """With the options of the constructor."""
        return {**super().get_config(), "rate": self.rate}
