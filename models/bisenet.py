"""BiSeNet: Bilateral Segmentation Network for Real-time Semantic Segmentation.

Yu, Wang, Peng, Gao, Yu, Sang, ECCV 2018. https://arxiv.org/abs/1808.00897

The network of github.com/CoinCheung/BiSeNet (bisenetv1.py), whose weights fit. It is like the authors' ycszen/TorchSeg, except
that the attention of the feature fusion is one 1x1 with batch norm here and two 1x1 there. github.com/guanfuchen/semseg has a
simpler network of this name: no reduction to 128 channels, a fusion as wide as the number of classes, no auxiliary heads.
"""

import functools

import keras

from models import backbones, layers

REFERENCE = {
    "params": {
        "bisenet": {12: 13_273_740},
        "bisenet(auxiliary=True)": {12: 13_423_012, 19: 13_425_721},
        # Counted by hand: ResNet-101 for ResNet-18, with 768, 1536 and 1536 more channels into 3x3, 3x3 and 1x1 of 128.
        'bisenet(backbone="resnet101")': {12: 13_273_740 - 11_176_512 + 42_500_160 + 128 * (9 * 768 + 9 * 1536 + 1536)},
    },
    "macs": {"bisenet": 346_685_440},
    "input": (64, 96, 3),
    "source": "CoinCheung/BiSeNet lib/models/bisenetv1.py, run",
    "published": "Cityscapes val, single scale: ResNet-18 76.28, ResNet-101 79.09 (ycszen/TorchSeg's README)",
    "scores": {
        "Cityscapes val": {"bisenet": 76.28, 'bisenet(backbone="resnet101")': 79.09},
    },
}

AUX_WEIGHTS = {"aux_0": 1.0, "aux_1": 1.0}  # if the heads are built
FULL_SIZE = ("logits", "aux_0", "aux_1")

SIZE_MULTIPLE = 32  # the reference refuses others, because a doubled map and the map that is added then differ in size

# CoinCheung's init_weight, kaiming_normal with a=1. His ResNet starts like PyTorch's layers: its weights are always loaded.
INITIAL = layers.kaiming_normal("fan_in", gain=1.0, bias=0.0)

# For a ResNet with one convolution in its stem.
RENAMES = ((r"^(conv1|bn1|layer\d.*)$", r"cp.resnet.\1"),)

conv_norm_relu = functools.partial(layers.conv_norm, entries=("conv", "bn"))


@layers.initial_weights(INITIAL)
def build(inputs, num_classes, *, backbone="resnet18", auxiliary=False):
    """Figure 2. `backbone` is a spec of `models.backbones`; the paper's are Xception39, ResNet-18 and ResNet-101.

    `auxiliary` adds the two heads that only training needs, on the context path at 1/8 and 1/16 of the resolution: published
    weights may be without them.
    """
    context8, context16 = context_path(inputs, backbone)
    x = feature_fusion(spatial_path(inputs), context8)
    logits = layers.resize(head(x, 256, num_classes, "conv_out"), scale=8)
    outputs = {"logits": logits}
    if auxiliary:
        outputs["aux_0"] = layers.resize(head(context8, 64, num_classes, "conv_out16"), like=logits)
        outputs["aux_1"] = layers.resize(head(context16, 64, num_classes, "conv_out32"), like=logits)
    return outputs


def spatial_path(x):
    """Three convolutions with stride, which keep details at 1/8."""
    x = conv_norm_relu(x, 64, 7, "sp.conv1", stride=2)
    x = conv_norm_relu(x, 64, 3, "sp.conv2", stride=2)
    x = conv_norm_relu(x, 64, 3, "sp.conv3", stride=2)
    return conv_norm_relu(x, 128, 1, "sp.conv_out")


def context_path(inputs, backbone):
    """The backbone's last two maps, refined and summed, beginning with the image's mean: (at 1/8, at 1/16)."""
    features = backbones.build(backbone, inputs, initial=layers.torch_default)
    strides = backbones.strides(backbone)
    mean = keras.layers.GlobalAveragePooling2D(keepdims=True)(features["c5"])
    mean = conv_norm_relu(mean, 128, 1, "cp.conv_avg")

    x = keras.layers.Add()([attention_refinement(features["c5"], "cp.arm32"), mean])
    x = keras.layers.UpSampling2D(strides["c5"] // strides["c4"])(x)  # nearest
    x = layers.fit(x, features["c4"])  # of backbones that round up or do not pad
    context16 = conv_norm_relu(x, 128, 3, "cp.conv_head32")

    x = keras.layers.Add()([attention_refinement(features["c4"], "cp.arm16"), context16])
    x = keras.layers.UpSampling2D(strides["c4"] // 8)(x)
    return conv_norm_relu(x, 128, 3, "cp.conv_head16"), context16


def attention_refinement(x, name):
    """Figure 2(b): the channels of a 3x3, weighted by numbers from their means."""
    x = conv_norm_relu(x, 128, 3, f"{name}.conv")
    weights = attention(x, f"{name}.conv_atten", f"{name}.bn_atten")
    return keras.layers.Multiply()([x, weights])


def feature_fusion(spatial, context):
    """Figure 2(c): both paths through a 1x1; its result is added to itself, weighted per channel."""
    x = keras.layers.Concatenate()([spatial, layers.fit(context, spatial)])
    x = conv_norm_relu(x, 256, 1, "ffm.convblk")
    weights = attention(x, "ffm.conv", "ffm.bn")
    return keras.layers.Add()([keras.layers.Multiply()([x, weights]), x])


def attention(x, convolution, norm):
    """[B, 1, 1, channels] in 0..1, from the channels' means."""
    y = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    return layers.conv_norm(y, x.shape[-1], 1, "", (convolution, norm), activation="sigmoid")


def head(x, width, num_classes, name):
    """3x3, 1x1 to the classes."""
    return layers.conv(conv_norm_relu(x, width, 3, f"{name}.conv"), num_classes, 1, f"{name}.conv_out")
