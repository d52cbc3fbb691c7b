"""A network of low resolution simulates one of high resolution: it gets the image several times, each time moved a little.

Wu, Shen, van den Hengel, 2016, section 3, https://arxiv.org/abs/1604.04339; the moves are those of github.com/itijyou/ademxapp
(issegm/voc.py, --test-steps).
"""

import keras
from keras import ops


def shifted(x, steps, stride):
    """[B, H, W, C] -> [steps * steps * B, H, W, C]: the image at `steps` x `steps` places within `stride` pixels."""
    if steps < 1 or stride % steps:
        raise ValueError(
            f"Expected simulated_steps that divide output_stride={stride}. Received: simulated_steps={steps}."
        )
    return Shifted(steps, stride, name="shifted")(x) if steps > 1 else x


def interleaved(x, steps):
    """[steps * steps * B, H, W, C] -> [B, steps * H, steps * W, C]: interleaves the scores of the moved images."""
    return Interleaved(steps, name="interleaved")(x) if steps > 1 else x


@keras.saving.register_keras_serializable(package="tfseg")
class Shifted(keras.layers.Layer):
    """[B, H, W, C] -> [steps * steps * B, H, W, C]. The moves are in row order; places outside the image are zeros.

    With steps 2 and stride 8 the moves are -2 and 2 pixels, so a score lies 4 pixels from the next one.
    """

    def __init__(self, steps, stride, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.steps, self.stride = steps, stride

    def call(self, inputs):
        half, step = self.stride // 2, self.stride // self.steps
        x = ops.pad(inputs, ((0, 0), (half, self.stride - half), (half, self.stride - half), (0, 0)))
        starts = [step // 2 + i * step for i in range(self.steps)]
        shape = ops.shape(inputs)
        return ops.concatenate([ops.slice(x, (0, top, left, 0), shape) for top in starts for left in starts], 0)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor((None, *inputs.shape[1:]), inputs.dtype)

    def get_config(self):
        return {**super().get_config(), "steps": self.steps, "stride": self.stride}


@keras.saving.register_keras_serializable(package="tfseg")
class Interleaved(keras.layers.Layer):
    """[steps * steps * B, H, W, C] -> [B, steps * H, steps * W, C]: undoes `Shifted`."""

    def __init__(self, steps, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.steps = steps

    def call(self, inputs):
        s, (n, h, w) = self.steps, ops.shape(inputs)[:3]
        x = ops.reshape(inputs, (s, s, n // (s * s), h, w, inputs.shape[-1]))
        x = ops.transpose(x, (2, 3, 0, 4, 1, 5))
        return ops.reshape(x, (n // (s * s), s * h, s * w, inputs.shape[-1]))

    def compute_output_spec(self, inputs):
        _, h, w, c = inputs.shape
        return keras.KerasTensor((None, h and self.steps * h, w and self.steps * w, c), inputs.dtype)

    def get_config(self):
        return {**super().get_config(), "steps": self.steps}
