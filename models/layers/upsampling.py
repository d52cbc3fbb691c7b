"""Upsampling by a transposed convolution that starts, or stays, bilinear."""

import keras
import numpy as np
from keras import ops

from models.layers.initial_weights import Rule


def bilinear_upsampling(x, scale, name):
    """Scales every channel up by the even `scale` with a frozen bilinear kernel, as a transposed convolution.

    This is PyTorch's ConvTranspose2d with a group for each channel, kernel 2 * scale, stride scale and padding scale / 2. The
    size becomes `scale` times as large, and pixels outside x count as zero.
    """
    return BilinearUpsampling2D(scale, name=name)(x)


def tent(size):
    """[size, size]: the kernel of a transposed convolution that interpolates bilinearly at a stride of size / 2."""
    half = (size + 1) // 2
    center = half - 1.0 if size % 2 else half - 0.5
    line = 1.0 - np.abs(np.arange(size) - center) / half
    return np.outer(line, line).astype("float32")


@keras.saving.register_keras_serializable(package="tfseg")
class Bilinear(keras.initializers.Initializer):
    """Initial kernel [height, width, out, in] of a transposed convolution that upsamples each channel bilinearly."""

    def __call__(self, shape, dtype=None):
        """The kernel."""
        size, _, filters, channels = shape
        return ops.convert_to_tensor(tent(size)[:, :, None, None] * np.eye(filters, channels), dtype or "float32")


bilinear = Rule(lambda fan_in, fan_out: Bilinear(), bias=0.0)


@keras.saving.register_keras_serializable(package="tfseg")
class BilinearUpsampling2D(keras.layers.Layer):
    """A transposed convolution, channel by channel, with a kernel that is not trained.

    At every place of the input and one before, each of the scale x scale phases of the output sees 2 x 2 input pixels: a
    depthwise convolution to scale * scale channels, dealt out in space. Keras' own has no groups.
    """

    def __init__(self, scale, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def build(self, input_shape):
        shape = (input_shape[-1], 1, 2 * self.scale, 2 * self.scale)
        self.weight = self.add_weight(name="weight", shape=shape, initializer=_tents, trainable=False)

    def call(self, inputs):
        s = self.scale
        b, h, w = ops.shape(inputs)[:3]
        c = inputs.shape[-1]
        # [c, tap, phase, tap, phase] -> [tap, tap, c, phase * phase]; the pixel before meets the kernel's second half.
        kernel = ops.reshape(ops.cast(self.weight, inputs.dtype), (c, 2, s, 2, s))
        kernel = ops.reshape(ops.transpose(ops.flip(kernel, (1, 3)), (1, 3, 0, 2, 4)), (2, 2, c, s * s))
        x = ops.depthwise_conv(ops.pad(inputs, ((0, 0), (1, 1), (1, 1), (0, 0))), kernel, padding="valid")
        x = ops.transpose(ops.reshape(x, (b, h + 1, w + 1, c, s, s)), (0, 1, 4, 2, 5, 3))
        x = ops.reshape(x, (b, (h + 1) * s, (w + 1) * s, c))
        return ops.slice(x, (0, s // 2, s // 2, 0), (b, h * s, w * s, c))

    def multiply_accumulates(self):
        """Of one image: every input pixel meets the kernel of its channel."""
        return np.prod(self.input.shape[1:3]) * np.prod(self.weight.shape)

    def compute_output_spec(self, inputs):
        b, h, w, c = inputs.shape
        return keras.KerasTensor((b, h and h * self.scale, w and w * self.scale, c), inputs.dtype)

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


def _tents(shape, dtype=None):
    return ops.convert_to_tensor(np.broadcast_to(tent(shape[-1]), shape), dtype or "float32")
