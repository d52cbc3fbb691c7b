"""ESPNetv2: A Light-weight, Power Efficient, and General Purpose Convolutional Neural Network.

Mehta, Rastegari, Shapiro, Hajishirzi, CVPR 2019. https://arxiv.org/abs/1811.11431

The authors' github.com/sacmehta/EdgeNets (model/segmentation/espnetv2.py), whose weights fit. Its decoder, which is not the
paper's, merges the encoder's maps from 1/16 up to 1/2 of the resolution.
"""

import functools
import math

import keras

from models import layers

REFERENCE = {
    "params": {
        "espnet_v2": {12: 784_130 - 480},
        "espnet_v2(scale=1.0)": {12: 229_922 - 224},
    },
    "macs": {"espnet_v2": 60_189_362, "espnet_v2(scale=1.0)": 22_435_506},
    "input": (96, 128, 3),
    "source": "sacmehta/EdgeNets model/segmentation/espnetv2.py, run; less the slopes that nothing is multiplied with",
    "published": "Cityscapes 66.4 at 512x1024 with scale 2.0 (the authors' model zoo)",
    "scores": {
        "Cityscapes val": {"espnet_v2(scale=2.0)": 66.4},
    },
}

SIZE_MULTIPLE = 16  # the reference refuses others, because the maps of decoder and encoder then differ in size

# The blocks that halve the resolution register an activation after the sum that only the others have.
UNUSED = (r"^base_net\.level\d_0\.eesp\.module_act\.weight$",)

# Channels at 1/2, 1/4, 1/8 and 1/16 of the resolution.
WIDTHS = {
    0.5: (16, 32, 64, 128),
    1.0: (32, 64, 128, 256),
    1.25: (32, 80, 160, 320),
    1.5: (32, 96, 192, 384),
    2.0: (32, 128, 256, 512),
}
BRANCHES = 4  # of a block, and groups of its 1x1 convolutions
DILATIONS = (1, 2, 3, 4)
LAST_DILATIONS = (1, 1, 2, 3)  # at 1/16, where a receptive field beyond 7 pixels is given up
DECODER_WIDTH = 16
SCALES = (2.0, 1.5, 1.0, 0.5, 0.1)  # of the pyramid's maps
LEAST = 5  # pixels that they have at least

# What follows a convolution, and what these three are called after its name.
CONV_NORM_ACT = {"entries": ("conv", "bn", "act"), "activation": layers.prelu}
CBR = {"entries": ("cbr.0", "cbr.1", "cbr.2"), "activation": layers.prelu}


@layers.initial_weights(layers.kaiming_normal("fan_out", bias=0.0))
def build(inputs, num_classes, *, scale=2.0):
    """Figure 3 with the authors' later decoder. `scale` of the channels: 0.5, 1.0, 1.25, 1.5 or 2.0."""
    if scale not in WIDTHS:
        raise ValueError(f"Expected a scale of espnet_v2: {', '.join(map(str, WIDTHS))}. Received: {scale=}.")
    widths = WIDTHS[scale]
    image = [layers.average_pool(inputs, 3, 2, padding=1)]
    for _ in range(3):
        image.append(layers.average_pool(image[-1], 3, 2, padding=1))

    half = layers.conv_norm(inputs, widths[0], 3, "base_net.level1", stride=2, **CONV_NORM_ACT)
    quarter = downsample(half, image[1], widths[1], "base_net.level2_0")
    x = downsample(quarter, image[2], widths[2], "base_net.level3_0")
    for i in range(3):
        x = eesp_block(x, f"base_net.level3.{i}", DILATIONS)
    eighth = x
    x = downsample(eighth, image[3], widths[3], "base_net.level4_0")
    for i in range(7):
        x = eesp_block(x, f"base_net.level4.{i}", LAST_DILATIONS)

    pool = functools.partial(pyramid_pooling, width=max(1, min(num_classes // 2, DECODER_WIDTH)))
    x = norm_act(pool(x, 4 * DECODER_WIDTH, "bu_dec_l1"), "bu_dec_l1.br.br")
    x = norm_act(merge(x, eighth, "merge_enc_dec_l2"), "bu_br_l2")
    x = norm_act(pool(x, 3 * DECODER_WIDTH, "bu_dec_l2"), "bu_dec_l2.br.br")
    x = norm_act(merge(x, quarter, "merge_enc_dec_l3"), "bu_br_l3")
    x = norm_act(pool(x, 2 * DECODER_WIDTH, "bu_dec_l3"), "bu_dec_l3.br.br")
    x = norm_act(merge(x, half, "merge_enc_dec_l4"), "bu_br_l4")
    x = pool(x, num_classes, "bu_dec_l4", bias=True)
    return {"logits": layers.resize(x, like=inputs, align_corners=True)}


def norm_act(x, name, norm="0", activation="1"):
    """Batch norm and PReLU."""
    return layers.prelu(layers.batch_norm(x, f"{name}.{norm}"), f"{name}.{activation}")


def eesp(x, filters, name, dilations, stride=1):
    """Figure 1c without the sum: a grouped 1x1, dilated 3x3 of each channel, each with the sums before it, a grouped 1x1."""
    width = filters // BRANCHES
    x = layers.conv_norm(x, width, 1, f"{name}.proj_1x1", groups=BRANCHES, **CONV_NORM_ACT)
    maps = []
    for i, dilation in enumerate(dilations):
        y = layers.depthwise_conv(x, 3, f"{name}.spp_dw.{i}.conv", stride=stride, dilation=dilation, bias=False)
        maps.append(keras.layers.Add()([y, maps[-1]]) if maps else y)
    x = norm_act(keras.layers.Concatenate()(maps), f"{name}.br_after_cat", "bn", "act")
    names = ("conv", "bn")
    return layers.conv_norm(x, filters, 1, f"{name}.conv_1x1_exp", names, activation=None, groups=BRANCHES)


def eesp_block(x, name, dilations):
    """Figure 1c."""
    x = keras.layers.Add()([eesp(x, x.shape[-1], name, dilations), x])
    return layers.prelu(x, f"{name}.module_act")


def downsample(x, image, filters, name):
    """Figure 2: the pooled input and the strided block behind it, and what two convolutions make of the small image added."""
    y = eesp(x, filters - x.shape[-1], f"{name}.eesp", DILATIONS, stride=2)
    x = keras.layers.Concatenate()([layers.average_pool(x, 3, 2, padding=1), y])
    z = layers.conv_norm(image, 3, 3, f"{name}.inp_reinf.0", **CONV_NORM_ACT)
    z = layers.conv_norm(z, filters, 1, f"{name}.inp_reinf.1", ("conv", "bn"), activation=None)
    return layers.prelu(keras.layers.Add()([x, z]), f"{name}.act")


def pyramid_pooling(x, filters, name, width, bias=False):
    """A 3x3 of each channel on five sizes of the map, mixed channel by channel."""
    x = layers.conv_norm(x, width, 1, f"{name}.projection_layer", **CBR)
    maps = []
    for i, scale in enumerate(SCALES):
        convolution = functools.partial(layers.depthwise_conv, kernel=3, name=f"{name}.stages.{i}", bias=False)
        if scale > 1:
            y = convolution(layers.resize(x, scale=scale, align_corners=True, least=LEAST))
            y = layers.adaptive_average_pool(y, like=x)
        elif scale < 1:
            y = convolution(layers.adaptive_average_pool(x, scale=scale, least=LEAST))
            y = layers.resize(y, like=x, align_corners=True)
        else:
            y = convolution(x)
        maps.append(y)
    x = norm_act(keras.layers.Concatenate()(maps), f"{name}.merge_layer.0.br")
    x = layers.channel_shuffle(x, len(SCALES))
    x = layers.conv_norm(x, width, 3, f"{name}.merge_layer.2", groups=width, **CBR)
    return layers.conv(x, filters, 1, f"{name}.merge_layer.3", bias=bias)


def merge(x, y, name):
    """x at twice the resolution, and the encoder's map y in its channels, each weighed by the mean of the whole of y."""
    channels = x.shape[-1]
    z = keras.layers.GlobalAveragePooling2D(keepdims=True)(y)
    z = keras.layers.Activation("sigmoid")(layers.conv(z, channels, 1, f"{name}.wt_layer.1", bias=False))
    groups = math.gcd(y.shape[-1], channels)
    y = layers.conv_norm(y, channels, 3, f"{name}.expansion_layer", groups=groups, **CBR)
    x = layers.resize(x, scale=2, align_corners=True)
    return keras.layers.Add()([keras.layers.Multiply()([y, z]), x])
