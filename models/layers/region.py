"""Region convolution: computes only inside a region and reads everything outside as 0.

Li, Liu, Luo, Loy, Tang, CVPR 2017, section 3.2, https://arxiv.org/abs/1704.01344. github.com/liuziwei7/region-conv computes
only a list of the region's cells. We compute all cells and replace those outside by 0 before a neighbour reads them, so the
result inside the region is the same. A region is float [batch, height, width, 1], 1 inside and 0 outside.
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
    """`conv_norm` of a region's cells. The values outside have no meaning. Without a region it is `conv_norm`.

    Args:
        x: [batch, height, width, channels].
        region: [batch, height, width, 1], or None.
        filters, kernel, **options: those of `conv`. With a region the stride is 1 and the padding must keep the size.
        names: of the convolution and the batch norm.
        epsilon, momentum, scale: for the batch norm, whose statistics are those of the region's cells.
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
    """[x, region] -> x in the region, 0 outside, also if x is infinite or NaN there."""

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    def call(self, inputs):
        x, region = inputs
        return ops.where(region > 0, x, ops.zeros_like(x))

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs[0].shape, inputs[0].dtype)


@keras.saving.register_keras_serializable(package="tfseg")
class RegionNormalization(BatchNormalization):
    """[x, region] -> x normalised by the region's statistics. An empty region does not change the moving statistics."""

    def build(self, input_shape):
        super().build(input_shape[0])
        self.input_spec = None  # the inherited one is for a single tensor

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
