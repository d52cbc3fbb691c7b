"""Blocks that the architectures share: functions x -> x."""

from models.layers.activation import dropout, prelu, relu, relu6, spatial_dropout
from models.layers.adaptive_pooling import adaptive_average_pool
from models.layers.aspp import aspp, separable_conv_norm
from models.layers.attention import attention
from models.layers.channel_shuffle import channel_shuffle
from models.layers.channels import channels
from models.layers.conv_lstm import conv_lstm
from models.layers.conv_norm import conv_norm, depthwise_conv_norm
from models.layers.convolution import conv, depthwise_conv, transposed_conv
from models.layers.deformable_attention import deformable_attention
from models.layers.dense import dense
from models.layers.dilated_pooling import average_pool, dilated_max_pool
from models.layers.discriminator import discriminator
from models.layers.initial_weights import (
    Rule,
    initial_weights,
    kaiming_normal,
    kaiming_uniform,
    mmcv,
    mmseg_classes,
    normal,
    torch_default,
    uniform,
    xavier_uniform,
    zeros,
)
from models.layers.mask_head import MASK_CELLS, MaskHead, kernels_of, masks_in_boxes, weight_transfer
from models.layers.nearest import nearest
from models.layers.normalization import Affine, BatchNormalization, batch_norm
from models.layers.past_maps import past_maps
from models.layers.patches import patches
from models.layers.peak_stimulation import PeakStimulation, peaks, stimulate
from models.layers.pooling import max_pool, max_pool_with_indices, max_unpool
from models.layers.region import Inside, RegionNormalization, inside, region_conv_norm
from models.layers.regions import position_sensitive_pool, roi_align
from models.layers.residual import LayerScale, stochastic_depth
from models.layers.resizing import crop, fit, pad_to_multiple, resize
from models.layers.simulated_resolution import interleaved, shifted
from models.layers.smoothed_dilation import smoothed_dilation
from models.layers.squeeze_excite import squeeze_excite
from models.layers.tokens import as_map, as_maps, map_attention, tokens
from models.layers.upsampling import Bilinear, bilinear, bilinear_upsampling
from models.layers.windows import shift_mask, window_attention

__all__ = [
    "MASK_CELLS",
    "Affine",
    "BatchNormalization",
    "Bilinear",
    "Inside",
    "LayerScale",
    "MaskHead",
    "PeakStimulation",
    "RegionNormalization",
    "Rule",
    "adaptive_average_pool",
    "as_map",
    "as_maps",
    "aspp",
    "attention",
    "average_pool",
    "batch_norm",
    "bilinear",
    "bilinear_upsampling",
    "channel_shuffle",
    "channels",
    "conv",
    "conv_lstm",
    "conv_norm",
    "crop",
    "deformable_attention",
    "dense",
    "depthwise_conv",
    "depthwise_conv_norm",
    "dilated_max_pool",
    "discriminator",
    "dropout",
    "fit",
    "initial_weights",
    "inside",
    "interleaved",
    "kaiming_normal",
    "kaiming_uniform",
    "kernels_of",
    "map_attention",
    "masks_in_boxes",
    "max_pool",
    "max_pool_with_indices",
    "max_unpool",
    "mmcv",
    "mmseg_classes",
    "nearest",
    "normal",
    "pad_to_multiple",
    "past_maps",
    "patches",
    "peaks",
    "position_sensitive_pool",
    "prelu",
    "region_conv_norm",
    "relu",
    "relu6",
    "resize",
    "roi_align",
    "separable_conv_norm",
    "shift_mask",
    "shifted",
    "smoothed_dilation",
    "spatial_dropout",
    "squeeze_excite",
    "stimulate",
    "stochastic_depth",
    "tokens",
    "torch_default",
    "transposed_conv",
    "uniform",
    "weight_transfer",
    "window_attention",
    "xavier_uniform",
    "zeros",
]
