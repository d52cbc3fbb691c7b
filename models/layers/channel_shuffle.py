"""The shuffle between grouped convolutions: Zhang et al., CVPR 2018, https://arxiv.org/abs/1707.01083."""

import keras
from keras import ops


def channel_shuffle(x, groups):
    """Takes a channel of each of the `groups` in turn: 0 1 2 3 4 5 in two groups become 0 3 1 4 2 5."""
    return ChannelShuffle(groups)(x)


@keras.saving.register_keras_serializable(package="tfseg")
class ChannelShuffle(keras.layers.Layer):
    """[B, H, W, groups * n] -> [B, H, W, n * groups], transposed."""

    def __init__(self, groups, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.groups = groups

    def call(self, inputs):
        b, h, w = ops.shape(inputs)[:3]
        channels = inputs.shape[-1]
        x = ops.reshape(inputs, (b, h, w, self.groups, channels // self.groups))
        return ops.reshape(ops.transpose(x, (0, 1, 2, 4, 3)), (b, h, w, channels))

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape, inputs.dtype)

    def get_config(self):
        return {**super().get_config(), "groups": self.groups}
