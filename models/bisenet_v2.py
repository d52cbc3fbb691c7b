"""BiSeNet V2: Bilateral Network with Guided Aggregation for Real-time Semantic Segmentation.

Yu, Gao, Wang, Yu, Shen, Sang, International Journal of Computer Vision 129, 2021. https://arxiv.org/abs/2004.02147

The network of github.com/CoinCheung/BiSeNet (bisenetv2.py), whose weights fit. The authors' code is not published. Unlike in
the paper, the depthwise convolutions, the last 3x3 of the context embedding and the aggregation have a ReLU.
"""

import functools

import keras

from models import layers

REFERENCE = {
    "params": {"bisenet_v2": {12: 3_351_452}, "bisenet_v2(auxiliary=True)": {12: 5_214_764}},
    "macs": {"bisenet_v2": 287_648_128},
    "input": (64, 96, 3),
    "source": "CoinCheung/BiSeNet lib/models/bisenetv2.py, run",
    "published": "Cityscapes val: 74.95, ADE20K 32.53 (CoinCheung/BiSeNet's README); 73.4 (paper)",
    "scores": {
        "Cityscapes val": {"bisenet_v2": 74.95},
        "ADE20K val": {"bisenet_v2": 32.53},
    },
}

SIZE_MULTIPLE = (
    32  # the reference refuses others, because a map times four and the map that it meets then differ in size
)

AUX_WEIGHTS = {f"aux_{i}": 1.0 for i in range(4)}  # if the boosters are built
FULL_SIZE = ("logits", *AUX_WEIGHTS)

INITIAL = layers.kaiming_normal("fan_out", bias=0.0)

EXPANSION = 6

conv_norm_relu = functools.partial(layers.conv_norm, entries=("conv", "bn"))
linear = functools.partial(layers.conv_norm, activation=None)
depthwise = functools.partial(layers.depthwise_conv_norm, activation=None)


@layers.initial_weights(INITIAL)
def build(inputs, num_classes, *, auxiliary=False):
    """Figure 3. `auxiliary` adds the boosters, four heads on the semantic branch that only training needs."""
    detail = detail_branch(inputs)
    stages, context = semantic_branch(inputs)
    x = layers.dropout(conv_norm_relu(aggregation(detail, context), 1024, 3, "head.conv"), 0.1)
    x = layers.conv(x, num_classes, 1, "head.conv_out.1")
    outputs = {"logits": layers.resize(x, scale=8)}
    if auxiliary:
        for i, (stage, name, stride) in enumerate(zip(stages, ("2", "3", "4", "5_4"), (4, 8, 16, 32), strict=True)):
            outputs[f"aux_{i}"] = booster(stage, num_classes, f"aux{name}", stride)
    return outputs


def detail_branch(x):
    """Table 1, left: wide and shallow, to 1/8 of the resolution."""
    for stage, (width, depth) in enumerate(((64, 2), (64, 3), (128, 3)), start=1):
        for i in range(depth):
            x = conv_norm_relu(x, width, 3, f"detail.S{stage}.{i}", stride=1 if i else 2)
    return x


def semantic_branch(x):
    """Table 1, right: narrow and deep, to 1/32: the maps of the stages 2 to 5, and the last one with the image's context."""
    x = stem(x, "segment.S1S2")
    maps = [x]
    for stage, width, depth in (("S3", 32, 2), ("S4", 64, 2), ("S5_4", 128, 4)):
        x = expand_down(x, width, f"segment.{stage}.0")
        for i in range(1, depth):
            x = expand(x, f"segment.{stage}.{i}")
        maps.append(x)
    return maps, context_embedding(x, "segment.S5_5")


def stem(x, name):
    """Figure 4a: to a quarter of the resolution by convolutions and by a pool, side by side."""
    x = conv_norm_relu(x, 16, 3, f"{name}.conv", stride=2)
    left = conv_norm_relu(x, 8, 1, f"{name}.left.0")
    left = conv_norm_relu(left, 16, 3, f"{name}.left.1", stride=2)
    right = layers.max_pool(x, 3, 2, padding=1, nonnegative=True)
    return conv_norm_relu(keras.layers.Concatenate()([left, right]), 16, 3, f"{name}.fuse")


def context_embedding(x, name):
    """Figure 4b: the image's mean, added to every pixel."""
    mean = layers.batch_norm(keras.layers.GlobalAveragePooling2D(keepdims=True)(x), f"{name}.bn")
    mean = conv_norm_relu(mean, x.shape[-1], 1, f"{name}.conv_gap")
    return conv_norm_relu(keras.layers.Add()([mean, x]), x.shape[-1], 3, f"{name}.conv_last")


def expand(x, name):
    """Figure 5b, gather and expand: a 3x3, a depthwise one to six times the channels, a linear 1x1 back."""
    y = conv_norm_relu(x, x.shape[-1], 3, f"{name}.conv1")
    y = layers.depthwise_conv_norm(y, 3, f"{name}.dwconv", multiplier=EXPANSION)
    return layers.relu(keras.layers.Add()([narrowed(y, x.shape[-1], f"{name}.conv2"), x]))


def expand_down(x, filters, name):
    """Figure 5c, at half the resolution: a second depthwise convolution, and a separable one beside them."""
    y = conv_norm_relu(x, x.shape[-1], 3, f"{name}.conv1")
    y = depthwise(y, 3, f"{name}.dwconv1", multiplier=EXPANSION, stride=2)
    y = layers.depthwise_conv_norm(y, 3, f"{name}.dwconv2")
    x = depthwise(x, 3, f"{name}.shortcut", stride=2)
    x = linear(x, filters, 1, f"{name}.shortcut", (2, 3))
    return layers.relu(keras.layers.Add()([narrowed(y, filters, f"{name}.conv2"), x]))


def narrowed(x, filters, name):
    """A linear 1x1. Its norm starts at 0, so that a block starts as its shortcut."""
    return layers.batch_norm(layers.conv(x, filters, 1, f"{name}.0", bias=False), f"{name}.1", start=0.0)


def aggregation(detail, context):
    """Figure 6: each branch is weighted by the other at its own resolution, then they are summed."""
    detail8 = layers.conv(depthwise(detail, 3, "bga.left1"), 128, 1, "bga.left1.2", bias=False)
    detail32 = layers.average_pool(linear(detail, 128, 3, "bga.left2", stride=2), 3, 2, padding=1)
    context8 = times_four(linear(context, 128, 3, "bga.right1"), detail)
    context32 = layers.conv(depthwise(context, 3, "bga.right2"), 128, 1, "bga.right2.2", bias=False)
    fine = keras.layers.Multiply()([detail8, keras.layers.Activation("sigmoid")(context8)])
    coarse = keras.layers.Multiply()([detail32, keras.layers.Activation("sigmoid")(context32)])
    x = keras.layers.Add()([fine, times_four(coarse, detail)])
    return layers.conv_norm(x, 128, 3, "bga.conv")


def times_four(x, like):
    """Every pixel 4x4 times."""
    return layers.fit(keras.layers.UpSampling2D(4)(x), like)


def booster(x, num_classes, name, stride):
    """A 3x3, twice the resolution to the nearest pixel, a 3x3 to as many channels as a pixel has in the image, a 1x1."""
    x = layers.dropout(conv_norm_relu(x, 128, 3, f"{name}.conv"), 0.1)
    x = conv_norm_relu(keras.layers.UpSampling2D(2)(x), stride**2, 3, f"{name}.conv_out.0.1")
    x = layers.conv(x, num_classes, 1, f"{name}.conv_out.1")
    return layers.resize(x, scale=stride // 2)
