"""CGNet: A Light-weight Context Guided Network for Semantic Segmentation.

Wu, Tang, Zhang, Cao, Zhang, IEEE Transactions on Image Processing 30, 2021. https://arxiv.org/abs/1811.08201

The authors' github.com/wutianyiRosun/CGNet (model/CGNet.py), whose weights fit.
"""

import functools

import keras

from models import layers

REFERENCE = {
    "params": {
        "cgnet": {11: 494_258, 12: 494_514, 19: 496_306},
        "cgnet(m=3, n=15)": {12: 421_890, 19: 423_682},
    },
    "macs": {"cgnet": 79_119_360, "cgnet(m=3, n=15)": 73_724_928},
    "input": (64, 96, 3),
    "source": "wutianyiRosun/CGNet model/CGNet.py, run",
    "published": "M3N21: Cityscapes test 64.8 (the authors' README), CamVid test 65.6 (the paper)",
    "scores": {
        "Cityscapes test": {"cgnet": 64.8},
        "CamVid test": {"cgnet": 65.6},
    },
}

EPSILON = 1e-3
# What follows a convolution, and what these three are called after its name.
CONV_NORM_ACT = {"entries": ("conv", "bn", "act"), "activation": layers.prelu, "epsilon": EPSILON}


@layers.initial_weights(layers.kaiming_normal("fan_in", bias=0.0))
def build(inputs, num_classes, *, m=3, n=21):
    """Table I: `m` blocks at 1/4 of the resolution and `n` at 1/8; the first of each halves it."""
    if min(m, n) < 2:
        raise ValueError(
            f"Expected m and n of at least 2: a block that halves the resolution, and others. Received: {m=}, {n=}."
        )
    half = layers.average_pool(inputs, 3, 2, padding=1)
    quarter = layers.average_pool(half, 3, 2, padding=1)

    x = layers.conv_norm(inputs, 32, 3, "level1_0", stride=2, **CONV_NORM_ACT)
    x = layers.conv_norm(x, 32, 3, "level1_1", **CONV_NORM_ACT)
    x = layers.conv_norm(x, 32, 3, "level1_2", **CONV_NORM_ACT)
    x = join([x, half], "b1")

    first = x = down_block(x, 64, "level2_0", dilation=2, reduction=8)
    for i in range(m - 1):
        x = block(x, f"level2.{i}", dilation=2, reduction=8)
    x = join([x, first, quarter], "bn_prelu_2")

    first = x = down_block(x, 128, "level3_0", dilation=4, reduction=16)
    for i in range(n - 1):
        x = block(x, f"level3.{i}", dilation=4, reduction=16)
    x = join([first, x], "bn_prelu_3")

    x = layers.conv(x, num_classes, 1, "classifier.0.conv", bias=False)
    return {"logits": layers.resize(x, like=inputs)}


def join(maps, name):
    """The maps behind one another, batch norm and PReLU."""
    x = layers.batch_norm(keras.layers.Concatenate()(maps), f"{name}.bn", EPSILON)
    return layers.prelu(x, f"{name}.act")


def surroundings(x, name, dilation):
    """Two 3x3 of each channel, of what is near and of what lies `dilation` around it."""
    depthwise = functools.partial(layers.depthwise_conv, x, 3, bias=False)
    return [depthwise(f"{name}.F_loc.conv"), depthwise(f"{name}.F_sur.conv", dilation=dilation)]


def down_block(x, filters, name, dilation, reduction):
    """The block that halves the resolution, without a sum."""
    x = layers.conv_norm(x, filters, 3, f"{name}.conv1x1", stride=2, **CONV_NORM_ACT)
    x = join(surroundings(x, name, dilation), name)
    x = layers.conv(x, filters, 1, f"{name}.reduce.conv", bias=False)
    return gate(x, f"{name}.F_glo", reduction)


def block(x, name, dilation, reduction):
    """Figure 3d, with the whole block added to its input."""
    y = layers.conv_norm(x, x.shape[-1] // 2, 1, f"{name}.conv1x1", **CONV_NORM_ACT)
    y = join(surroundings(y, name, dilation), f"{name}.bn_prelu")
    return keras.layers.Add()([x, gate(y, f"{name}.F_glo", reduction)])


def gate(x, name, reduction):
    """Scales every channel by what the whole image says of it."""
    y = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    y = layers.dense(y, x.shape[-1] // reduction, f"{name}.fc.0", "relu")
    y = layers.dense(y, x.shape[-1], f"{name}.fc.2", "sigmoid")
    return keras.layers.Multiply()([x, y])
