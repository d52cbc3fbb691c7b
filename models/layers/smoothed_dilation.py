"""Smoothed dilated convolutions: neighbouring pixels, which a dilated convolution keeps apart, see each other.

Wang, Ji, KDD 2018. https://arxiv.org/abs/1808.08931. The authors' github.com/divelab/dilated.

    with layers.smoothed_dilation("gi"):
        x = layers.conv(x, 64, 3, "conv1", dilation=2)

A convolution of rate d computes d x d grids of pixels without a word between them. Both forms of the paper mix the grids, and
start as the identity, so that trained weights fit:

- "gi", group interaction: every grid becomes a learned sum of all grids, d^4 weights.
- "ssc", separable and shared convolution: before the dilated one, one (2d - 1)^2 kernel for all channels alike.

It holds for all convolutions and depthwise convolutions of stride 1 inside the block, as `initial_weights` does. The authors
smooth those of the backbone and leave those of the pyramid; `backbones.build(.., smoothed_dilation=..)` does the same.
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
        ValueError: for another kind, and where no convolution in the block is dilated.
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
    """What the enclosing `smoothed_dilation` does around a convolution.

    Args:
        x: its input, [batch, height, width, channels].
        name: its name.
        kernel, stride, dilation: its (height, width) pairs.
        padding: its own pair, or None where it keeps the size.

    Returns:
        The input that it takes instead, and a function from its result to the smoothed result.
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
    # Sums of grids commute with the convolution that the grids share, so that it may come last and add its bias to the result.
    # The grids have one size, which needs zeros; what the convolution makes of them is cropped.
    same = [rate * (k - 1) // 2 for k in kernel]
    margins = [0, 0] if padding is None else [s - p for s, p in zip(same, padding, strict=True)]
    like = crop(x, [(m, m) for m in margins]) if any(margins) else x
    x = GroupInteraction(rate, name=f"{name}.gi")(pad_to_multiple(x, rate))
    return x, lambda y: fit(y, like)


@keras.saving.register_keras_serializable(package="tfseg")
class GroupInteraction(keras.layers.Layer):
    """[B, H, W, C] -> the same shape, H and W multiples of d: each of the d^2 grids a sum of all by `mixing[from, to]`.

    Grid r * d + s holds the pixels (r + i d, s + j d).
    """

    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate

    def build(self, input_shape):
        """Makes the d^2 x d^2 weights."""
        grids = self.rate**2
        # The authors' name. Weight decay, which is of kernels only, leaves it alone here as there.
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
        """Of d^2 grids for every value."""
        return math.prod(self.output.shape[1:]) * self.rate**2

    def compute_output_spec(self, inputs):
        """As the inputs."""
        return keras.KerasTensor(inputs.shape, self.compute_dtype)

    def get_config(self):
        """With the options of the constructor."""
        return {**super().get_config(), "rate": self.rate}


@keras.saving.register_keras_serializable(package="tfseg")
class SharedConvolution(keras.layers.Layer):
    """[B, H, W, C] -> the same shape: every channel convolved with one and the same (2d - 1)^2 kernel, at first a delta."""

    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate

    def build(self, input_shape):
        """Makes what is added to the delta: 0 at first, as in the authors' code."""
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
        """Of the kernel at every value."""
        return math.prod(self.output.shape[1:]) * (2 * self.rate - 1) ** 2

    def compute_output_spec(self, inputs):
        """As the inputs."""
        return keras.KerasTensor(inputs.shape, self.compute_dtype)

    def get_config(self):
        """With the options of the constructor."""
        return {**super().get_config(), "rate": self.rate}
