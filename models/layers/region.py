"""Region convolution: computing only in a region, whose outside is read as 0.

Li, Liu, Luo, Loy, Tang, CVPR 2017, section 3.2, https://arxiv.org/abs/1704.01344; the form of github.com/liuziwei7/region-conv
that works on the list of a region's cells. Here all cells are computed, and those outside are replaced by 0 wherever a
neighbour would read them: what comes out inside the region is the same. A region is float [batch, height, width, 1], 1 inside
and 0 outside.
"""

import keras
from keras import ops

from models.layers.activation import relu
from models.layers.conv_norm import conv_norm
from models.layers.convolution import conv
from models.layers.initial_weights import current_rule
from models.layers.normalization import BatchNormalization


def inside(x, region, name=None):
    """x in the region, 0 outside."""
    return Inside(name=name)([x, region])


def region_conv_norm(x, region, filters, kernel, names, *, epsilon=1e-5, momentum=0.9, scale=True, **options):
    """`conv_norm` of a region's cells; what comes out elsewhere has no meaning. Without a region it is `conv_norm`.

    Args:
        x: [batch, height, width, channels].
        region: [batch, height, width, 1], or None.
        filters, kernel, **options: of `conv`; in a region at stride 1, with the padding that keeps the size.
        names: of convolution and batch norm.
        epsilon, momentum, scale: of the batch norm, whose statistics are those of the region's cells.
    """
    norm = {"epsilon": epsilon, "momentum": momentum, "scale": scale}
    if region is None:
        return conv_norm(x, filters, kernel, "", names, **norm, **options)
    x = x if kernel == 1 else inside(x, region)
    x = conv(x, filters, kernel, names[0], bias=False, **options)
    shift = keras.initializers.Constant(current_rule().shift)
    return relu(RegionNormalization(**norm, beta_initializer=shift, name=names[1])([x, region]))


@keras.saving.register_keras_serializable(package="tfseg")
class Inside(keras.layers.Layer):
    """[x, region] -> x in the region, 0 outside, whatever is there."""

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    def call(self, inputs):
        x, region = inputs
        return ops.where(region > 0, x, ops.zeros_like(x))

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs[0].shape, inputs[0].dtype)


@keras.saving.register_keras_serializable(package="tfseg")
class RegionNormalization(BatchNormalization):
    """[x, region] -> x normalised by the statistics of the region's cells; an empty region leaves the moving ones alone."""

    def build(self, input_shape):
        super().build(input_shape[0])
        self.input_spec = None  # that of one tensor

    def call(self, inputs, training=None):
        x, region = inputs
        if not (training and self.trainable):
            return keras.layers.BatchNormalization.call(self, x)
        outputs, mean, variance = self._synchronized(x, region)
        if not self.across_replicas:
            mean, variance = self._mean_of_replicas(mean, variance)
        self._move(mean, variance)
        return outputs

    def compute_output_spec(self, inputs, training=None):
        return keras.KerasTensor(inputs[0].shape, self.compute_dtype)
