"""DDRNet: Deep Dual-Resolution Networks for Accurate Semantic Segmentation of Road Scenes.

Hong, Pan, Sun, Jia, arXiv 2021; IEEE Transactions on Intelligent Transportation Systems 24(3), 2023.
https://arxiv.org/abs/2101.06085

The authors' github.com/ydhongHIT/DDRNet, whose weights fit. Their keys begin with "model.". The reference refuses sizes that
are no multiple of 8, because it resizes to the rounded-down eighth; here the maps have the size of the other branch.
"""

import keras

from models import layers

REFERENCE = {
    "params": {
        "ddrnet": {12: 5_733_432},
        "ddrnet(auxiliary=False)": {12: 5_695_532},
        'ddrnet(variant="23")': {12: 20_297_560},
        'ddrnet(variant="39")': {12: 32_657_240},
    },
    "macs": {"ddrnet": 107_307_008, 'ddrnet(variant="39")': 826_146_816},
    "input": (64, 96, 3),
    "source": "ydhongHIT/DDRNet segmentation/DDRNet_23_slim.py, DDRNet_23.py, DDRNet_39.py, run",
    "published": "Cityscapes val: 23-slim 77.8, 23 79.5 (the authors' README)",
    "scores": {
        "Cityscapes val": {"ddrnet": 77.8, 'ddrnet(variant="23")': 79.5},
    },
}

LAST_STEP = layers.resize  # the reference's output is an eighth of the image

AUX_WEIGHTS = {"aux_0": 0.4}

INITIAL = layers.kaiming_normal("fan_out")

# Blocks in layers 1 to 4, width of the stem, channels of a branch of the pyramid, channels of the heads.
VARIANTS = {
    "23_slim": ((2, 2, 2, 2), 32, 128, 64),
    "23": ((2, 2, 2, 2), 64, 128, 128),
    "39": ((3, 4, 6, 3), 64, 128, 256),
}

POOLS = ((5, 2), (9, 4), (17, 8))  # size and stride of the pyramid's average pools


@layers.initial_weights(INITIAL)
def build(inputs, num_classes, *, variant="23_slim", auxiliary=True):
    """Figure 4. `variant` is "23_slim", "23" or "39"; `auxiliary` adds the head on the high-resolution branch."""
    if variant not in VARIANTS:
        raise ValueError(f"Expected variant: {', '.join(VARIANTS)}. Received: {variant=}.")
    blocks, width, pyramid_width, head_width = VARIANTS[variant]
    x = stage(stem(inputs, width), width, blocks[0], "layer1")
    low = high = stage(layers.relu(x), 2 * width, blocks[1], "layer2", stride=2)

    # Two resolutions, which exchange their maps; in DDRNet-39 in the middle of the third stage too.
    parts = ("3_1", "3_2") if variant == "39" else ("3",)
    for i, part in enumerate(parts):
        depth = blocks[2] // len(parts)
        low = stage(layers.relu(low), 4 * width, depth, f"layer{part}", stride=1 if i else 2)
        high = stage(layers.relu(high), 2 * width, depth, f"layer{part}_")
        low, high = exchange(low, high, part, (4 * width,))
    middle = high
    low = stage(layers.relu(low), 8 * width, blocks[3], "layer4", stride=2)
    high = stage(layers.relu(high), 2 * width, blocks[3], "layer4_")
    low, high = exchange(low, high, "4", (4 * width, 8 * width))

    high = bottleneck(layers.relu(high), 2 * width, "layer5_.0")
    low = bottleneck(layers.relu(low), 8 * width, "layer5.0", stride=2)
    low = layers.resize(dappm(low, pyramid_width, 4 * width, "spp"), like=high)
    outputs = {"logits": head(keras.layers.Add()([low, high]), head_width, num_classes, "final_layer")}
    if auxiliary:
        outputs["aux_0"] = head(middle, head_width, num_classes, "seghead_extra")
    return outputs


def stem(x, width):
    """Two 3x3 with stride, to a quarter of the resolution."""
    for i in (0, 3):
        x = layers.conv_norm(x, width, 3, "conv1", (i, i + 1), stride=2, bias=True)
    return x


def stage(x, filters, depth, name, stride=1):
    """Residual blocks of two 3x3. The sum of the last one has no ReLU, unless it is the only one."""
    for i in range(depth):
        x = basic_block(x, filters, f"{name}.{i}", 1 if i else stride)
        x = layers.relu(x) if i < depth - 1 or depth == 1 else x
    return x


def basic_block(x, filters, name, stride=1):
    """Two 3x3 and the sum with the input, without a ReLU after it."""
    y = layers.conv_norm(x, filters, 3, name, ("conv1", "bn1"), stride=stride)
    y = layers.conv_norm(y, filters, 3, name, ("conv2", "bn2"), activation=None)
    return keras.layers.Add()([y, shortcut(x, filters, name, stride)])


def bottleneck(x, filters, name, stride=1):
    """1x1, 3x3, 1x1 to twice the channels and the sum with the input, without a ReLU after it."""
    y = layers.conv_norm(x, filters, 1, name, ("conv1", "bn1"))
    y = layers.conv_norm(y, filters, 3, name, ("conv2", "bn2"), stride=stride)
    y = layers.conv_norm(y, 2 * filters, 1, name, ("conv3", "bn3"), activation=None)
    return keras.layers.Add()([y, shortcut(x, 2 * filters, name, stride)])


def shortcut(x, filters, name, stride):
    """The input of a block, or a 1x1 of it if the block changes its channels or its size."""
    if stride == 1 and x.shape[-1] == filters:
        return x
    return layers.conv_norm(x, filters, 1, f"{name}.downsample", activation=None, stride=stride)


def exchange(low, high, part, widths):
    """Figure 3: each branch adds the other's map; the high resolution goes down by a 3x3 with stride for each of `widths`."""
    down = layers.relu(high)
    for i, filters in enumerate(widths):
        last = filters == widths[-1]
        activation = None if last else layers.relu
        down = layers.conv_norm(down, filters, 3, f"down{part}", (3 * i, 3 * i + 1), activation, stride=2)
    up = layers.conv_norm(layers.relu(low), high.shape[-1], 1, f"compression{part}", activation=None)
    return keras.layers.Add()([low, down]), keras.layers.Add()([high, layers.resize(up, like=high)])


def dappm(x, width, filters, name):
    """Figure 5, deep aggregation pyramid pooling: every scale is added to the one before and goes through a 3x3."""
    maps = [norm_conv(x, width, 1, f"{name}.scale0", 0)]
    for i, y in enumerate(scales(x, width, name), start=1):
        maps.append(norm_conv(keras.layers.Add()([y, maps[-1]]), width, 3, f"{name}.process{i}", 0))
    return compressed(x, maps, filters, name)


def scales(x, width, name):
    """Means of windows of three sizes and of the image, each through a 1x1 and resized to the size of x."""
    pooled = [layers.average_pool(x, size, stride, padding=size // 2) for size, stride in POOLS]
    pooled.append(keras.layers.GlobalAveragePooling2D(keepdims=True)(x))
    maps = [norm_conv(y, width, 1, f"{name}.scale{i}", 1) for i, y in enumerate(pooled, start=1)]
    return [layers.resize(y, like=x) for y in maps]


def compressed(x, maps, filters, name):
    """A 1x1 of the maps side by side, and a 1x1 of x added to it."""
    y = norm_conv(keras.layers.Concatenate()(maps), filters, 1, f"{name}.compression", 0)
    return keras.layers.Add()([y, norm_conv(x, filters, 1, f"{name}.shortcut", 0)])


def norm_conv(x, filters, kernel, name, first, groups=1):
    """Batch norm, ReLU, a convolution; `first` is the number of the norm in the reference's Sequential."""
    x = layers.relu(layers.batch_norm(x, f"{name}.{first}"))
    return layers.conv(x, filters, kernel, f"{name}.{first + 2}", groups=groups, bias=False)


def head(x, width, num_classes, name):
    """Batch norm, ReLU, 3x3, batch norm, ReLU, 1x1 to the classes."""
    x = layers.relu(layers.batch_norm(x, f"{name}.bn1"))
    x = layers.conv_norm(x, width, 3, name, ("conv1", "bn2"))
    return layers.conv(x, num_classes, 1, f"{name}.conv2")
