"""FC-DenseNet: The One Hundred Layers Tiramisu: Fully Convolutional DenseNets for Semantic Segmentation.

Jegou, Drozdzal, Vazquez, Romero, Bengio, CVPR Workshops 2017. https://arxiv.org/abs/1611.09326

The networks of github.com/bfortuner/pytorch_tiramisu, whose weights fit, without the log-softmax at their end, which is part of
our loss. The authors' Lasagne nets (github.com/SimJeg/FC-DenseNet) drop single values instead of channels. The reference calls
56 "57".
"""

import keras

from models import layers

REFERENCE = {
    "params": {
        "fc_densenet": {12: 1_376_988},
        "fc_densenet(variant=67)": {12: 3_463_532},
        "fc_densenet(variant=103)": {11: 9_322_091, 12: 9_322_348},
    },
    "macs": {
        "fc_densenet": 1_093_055_040,
        "fc_densenet(variant=67)": 2_561_155_584,
        "fc_densenet(variant=103)": 2_459_438_592,
    },
    "input": (64, 96, 3),
    "source": "bfortuner/pytorch_tiramisu models/tiramisu.py, run",
    "published": "103: CamVid test 66.9 (SimJeg/FC-DenseNet)",
    "scores": {
        "CamVid test": {"fc_densenet(variant=103)": 66.9},
    },
}

# Growth rate, and layers of the dense blocks on the way down, at the bottom and on the way up.
VARIANTS = {
    56: (12, (4, 4, 4, 4, 4), 4, (4, 4, 4, 4, 4)),
    67: (16, (5, 5, 5, 5, 5), 5, (5, 5, 5, 5, 5)),
    103: (16, (4, 5, 7, 10, 12), 15, (12, 10, 7, 5, 4)),
}

DROPOUT = 0.2


@layers.initial_weights(layers.kaiming_uniform("fan_in", bias=0.0))
def build(inputs, num_classes, *, variant=56):
    """Figure 1. `variant` is the number of layers: 56, 67 or 103."""
    if variant not in VARIANTS:
        raise ValueError(f"Expected variant: {', '.join(map(str, VARIANTS))}. Received: {variant=}.")
    growth, down, bottom, up = VARIANTS[variant]
    x = layers.conv(inputs, 48, 3, "firstconv")
    skips = []
    for i, depth in enumerate(down):
        x, _ = dense_block(x, f"denseBlocksDown.{i}", depth, growth)
        skips.append(x)
        x = transition_down(x, f"transDownBlocks.{i}")

    # On the way up only the new maps of a block go on. With its input, the channels would grow with the resolution.
    x, new = dense_block(x, "bottleneck.bottleneck", bottom, growth)
    for i, depth in enumerate(up):
        x = transition_up(keras.layers.Concatenate()(new), skips.pop(), f"transUpBlocks.{i}")
        x, new = dense_block(x, f"denseBlocksUp.{i}", depth, growth)
    return {"logits": layers.conv(x, num_classes, 1, "finalConv")}


def dense_block(x, name, depth, growth):
    """Figure 2: `depth` maps of `growth` channels, each made from x and the maps before it. Returns (x with maps, maps)."""
    new = []
    for i in range(depth):
        y = layers.relu(layers.batch_norm(x, f"{name}.layers.{i}.norm"))
        y = layers.conv(y, growth, 3, f"{name}.layers.{i}.conv")
        new.append(layers.spatial_dropout(y, DROPOUT))
        x = keras.layers.Concatenate()([x, new[-1]])
    return x, new


def transition_down(x, name):
    """To half the resolution, rounded down."""
    y = layers.relu(layers.batch_norm(x, f"{name}.norm"))
    y = layers.conv(y, x.shape[-1], 1, f"{name}.conv")
    return layers.max_pool(layers.spatial_dropout(y, DROPOUT), 2)


def transition_up(x, skip, name):
    """To 2 n + 1 rows and columns, cut to those of the skip connection."""
    x = layers.transposed_conv(x, x.shape[-1], 3, f"{name}.convTrans")
    return keras.layers.Concatenate()([layers.fit(x, skip, center=True), skip])
