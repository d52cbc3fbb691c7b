"""Blocks that the architectures share: functions x -> x."""

from models.layers.activation import prelu, relu, spatial_dropout
from models.layers.adaptive_pooling import adaptive_average_pool
from models.layers.channel_shuffle import channel_shuffle
from models.layers.convolution import conv, depthwise_conv, he_normal, transposed_conv, uniform_conv
from models.layers.dilated_pooling import average_pool, dilated_max_pool
from models.layers.normalization import Affine, BatchNormalization, batch_norm
from models.layers.pooling import max_pool, max_pool_with_indices, max_unpool
from models.layers.residual import LayerScale, stochastic_depth
from models.layers.resizing import crop, fit, pad_to_multiple, resize
from models.layers.squeeze_excite import squeeze_excite
from models.layers.upsampling import Bilinear, bilinear_upsampling

__all__ = [
    "Affine",
    "BatchNormalization",
    "Bilinear",
    "LayerScale",
    "adaptive_average_pool",
    "average_pool",
    "batch_norm",
    "bilinear_upsampling",
    "channel_shuffle",
    "conv",
    "crop",
    "depthwise_conv",
    "dilated_max_pool",
    "fit",
    "he_normal",
    "max_pool",
    "max_pool_with_indices",
    "max_unpool",
    "pad_to_multiple",
    "prelu",
    "relu",
    "resize",
    "spatial_dropout",
    "squeeze_excite",
    "stochastic_depth",
    "transposed_conv",
    "uniform_conv",
]
