"""Blocks that the architectures share: functions x -> x."""

from models.layers.activation import prelu, relu, spatial_dropout
from models.layers.adaptive_pooling import adaptive_average_pool
from models.layers.channel_shuffle import channel_shuffle
from models.layers.convolution import conv, depthwise_conv, he_normal, transposed_conv
from models.layers.dilated_pooling import average_pool, dilated_max_pool
from models.layers.normalization import Affine, BatchNormalization, batch_norm
from models.layers.pooling import max_pool, max_pool_with_indices, max_unpool
from models.layers.residual import LayerScale, stochastic_depth
from models.layers.resizing import fit, pad_to_multiple, resize
from models.layers.squeeze_excite import squeeze_excite

__all__ = [
    "Affine",
    "BatchNormalization",
    "LayerScale",
    "adaptive_average_pool",
    "average_pool",
    "batch_norm",
    "channel_shuffle",
    "conv",
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
]
