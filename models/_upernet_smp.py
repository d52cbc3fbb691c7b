"""UPerNet's decoder in the form of segmentation_models_pytorch (github.com/qubvel-org), whose weights fit.

Unlike the authors' (models/upernet.py), it puts a layer norm on the backbone's maps, and reduces the means of the cells before
it resizes them.
"""

import keras

from models import layers
from models.fpn import DECODER, HEAD

BINS, WIDTH = (1, 2, 3, 6), 256


@layers.initial_weights(DECODER)
def decoder(inputs, num_classes, features):
    """The logits [B, H, W, num_classes] of `inputs` [B, H, W, C] from the backbone's four last maps."""
    maps = {
        level: keras.layers.LayerNormalization(epsilon=1e-6, name=f"decoder.feature_norms.{i}")(features[level])
        for i, level in enumerate(("c2", "c3", "c4", "c5"))
    }
    levels = [pyramid_pooling(maps["c5"])]
    for i, level in enumerate(("c4", "c3", "c2")):
        lateral = layers.conv_norm(maps[level], WIDTH, 1, f"decoder.fpn_lateral_blocks.{i}.conv_norm_relu")
        levels.append(keras.layers.Add()([layers.resize(levels[-1], like=lateral), lateral]))
    levels[1:] = [layers.conv_norm(x, WIDTH, 3, f"decoder.fpn_conv_blocks.{i}") for i, x in enumerate(levels[1:])]
    levels[:-1] = [layers.resize(x, like=levels[-1]) for x in levels[:-1]]
    x = layers.conv_norm(keras.layers.Concatenate()(levels[::-1]), WIDTH, 3, "decoder.fusion_block")
    x = layers.conv(x, num_classes, 1, "segmentation_head.0", initial=HEAD)
    return layers.resize(x, like=inputs, align_corners=True)


def pyramid_pooling(x):
    """x beside the means of 1, 4, 9 and 36 cells, then a 3x3: [B, H, W, C] -> [B, H, W, WIDTH]."""
    maps = [x]
    for i, bins in enumerate(BINS):
        y = layers.conv_norm(layers.adaptive_average_pool(x, bins), WIDTH, 1, f"decoder.psp.blocks.{i}.1")
        maps.append(layers.resize(y, like=x))
    return layers.conv_norm(keras.layers.Concatenate()(maps), WIDTH, 3, "decoder.psp.out_conv")
