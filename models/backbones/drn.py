"""DRN: Dilated Residual Networks.

Yu, Koltun, Funkhouser, CVPR 2017. https://arxiv.org/abs/1705.09914

The networks of github.com/fyu/drn. A is a ResNet whose last two stages are dilated. C has small convolutions instead of the
pool, and two stages without shortcuts at the end, which reduce gridding. D is simpler: it has plain convolutions at both ends.
All stay at 1/8 of the resolution.
"""

import dataclasses

import keras

from models import layers
from models.backbones import Weights, resnet


@dataclasses.dataclass(frozen=True)
class Variant:
    """The differences between the members of the family."""

    form: str
    blocks: tuple  # in each level
    bottleneck: bool = False


C26, C42 = (1, 1, 2, 2, 2, 2, 1, 1), (1, 1, 3, 4, 6, 3, 1, 1)
D24, D40 = (1, 1, 2, 2, 2, 2, 2, 2), (1, 1, 3, 4, 6, 3, 2, 2)

VARIANTS = {
    "drn_a_18": Variant("A", resnet.R18),
    "drn_a_34": Variant("A", resnet.R34),
    "drn_a_50": Variant("A", resnet.R50, bottleneck=True),
    "drn_c_26": Variant("C", C26),
    "drn_c_42": Variant("C", C42),
    "drn_c_58": Variant("C", C42, bottleneck=True),
    "drn_d_22": Variant("D", C26),
    "drn_d_24": Variant("D", D24),
    "drn_d_38": Variant("D", C42),
    "drn_d_40": Variant("D", D40),
    "drn_d_54": Variant("D", C42, bottleneck=True),
    "drn_d_56": Variant("D", D40, bottleneck=True),
    "drn_d_105": Variant("D", (1, 1, 3, 4, 23, 3, 1, 1), bottleneck=True),
}

INITIAL = layers.kaiming_normal("fan_out", bias=0.0)

# Of the levels of C and D.
FILTERS = (16, 32, 64, 128, 256, 512, 512, 512)
LEVEL_STRIDES = (1, 2, 2, 2, 1, 1, 1, 1)
DILATIONS = (1, 1, 1, 1, 2, 4, 2, 1)

# Counted by running fyu/drn's segment.py, without its segmentation layer and with the classification layer. C-58 is without
# the shortcut of layer7 (1,049,600), which the reference registers but does not use.
REFERENCE = {
    "drn_a_18": {"params": {1000: 11_689_512}},
    "drn_a_34": {"params": {1000: 21_797_672}},
    "drn_a_50": {"params": {1000: 25_557_032}},
    "drn_c_26": {"params": {1000: 20_613_584 + 513_000}},
    "drn_c_42": {"params": {1000: 30_721_744 + 513_000}},
    "drn_c_58": {"params": {1000: 41_078_608 + 513_000 - 1_049_600}},
    "drn_d_22": {"params": {1000: 15_880_752 + 513_000}},
    "drn_d_38": {"params": {1000: 25_988_912 + 513_000}},
    "drn_d_54": {"params": {1000: 35_296_176 + 513_000}},
    "drn_d_105": {"params": {1000: 54_288_304 + 513_000}},
}


def _authors(file, score, unused=()):
    # The scores are those of the README, for a single 224x224 crop.
    return Weights(f"http://dl.yf.io/drn/{file}.pth", file[-8:], score, "fyu/drn", unused=unused)


WEIGHTS = {
    # A has the variables of a ResNet. The reference fills it with torchvision's weights, which are trained without dilation.
    "drn_a_18": dataclasses.replace(resnet.WEIGHTS["resnet18"], score=None),
    "drn_a_34": dataclasses.replace(resnet.WEIGHTS["resnet34"], score=None),
    "drn_a_50": dataclasses.replace(resnet.WEIGHTS["resnet50"], score=None),
    "drn_c_26": _authors("drn_c_26-ddedf421", 75.1),
    "drn_c_42": _authors("drn_c_42-9d336e8c", 77.1),
    "drn_c_58": _authors("drn_c_58-0a53a92c", 78.3, unused=("layer7.0.downsample.",)),
    "drn_d_22": _authors("drn_d_22-4bd2f8ea", 74.2),
    "drn_d_38": _authors("drn_d_38-eebb45f0", 76.2),
    "drn_d_54": _authors("drn_d_54-0e0534ff", 78.8),
    "drn_d_105": _authors("drn_d_105-12b40979", 79.4),
}


OUTPUT_STRIDES = (8, 32)  # both give 1/8: the network has no other stride


def channels(variant):
    """Of the five feature maps."""
    v = VARIANTS[variant]
    expansion = 4 if v.bottleneck else 1
    if v.form == "A":
        return {"c1": 64, "c2": 64 * expansion, "c3": 128 * expansion, "c4": 256 * expansion, "c5": 512 * expansion}
    return {"c1": 32, "c2": 64 * expansion, "c3": 128 * expansion, "c4": 256 * expansion, "c5": 512}


def strides(variant):
    """Of the five feature maps: the resolution never falls below 1/8."""
    return {"c1": 2, "c2": 4, "c3": 8, "c4": 8, "c5": 8}


def build(inputs, variant, output_stride=32):
    """Figures 2 and 5. c3 to c5 are at 1/8, for output_stride 8 and also for the default 32."""
    if output_stride == 16:
        raise ValueError(f"Expected output_stride 8: a DRN is made for it. Received: {output_stride=} for {variant}.")
    v = VARIANTS[variant]
    return resnet_form(inputs, v) if v.form == "A" else gridless_form(inputs, v)


def head(features, num_classes, variant):
    """The mean over the image and a linear layer, in C and D a 1x1 convolution."""
    x = keras.layers.GlobalAveragePooling2D(keepdims=True)(features["c5"])
    if VARIANTS[variant].form == "A":
        return layers.dense(keras.layers.Flatten()(x), num_classes, "fc")
    return keras.layers.Flatten()(layers.conv(x, num_classes, 1, "fc"))


def resnet_form(inputs, v):
    """A: a ResNet in which the last two stages are dilated by 2 and 4, except for their first blocks."""
    block = resnet.Variant(v.blocks, v.bottleneck)
    x = resnet.stem(inputs, block)
    features = {"c1": x}
    x = resnet.pool(x)
    for stage, (blocks, stride, dilation) in enumerate(zip(v.blocks, (1, 2, 1, 1), (1, 1, 2, 4), strict=True)):
        x = resnet.block(x, f"layer{stage + 1}.0", 64 * 2**stage, block, stride)
        for i in range(1, blocks):
            x = resnet.block(x, f"layer{stage + 1}.{i}", 64 * 2**stage, block, dilations=(dilation, dilation))
        features[f"c{stage + 2}"] = x
    return features


def gridless_form(inputs, v):
    """C and D: eight levels. The last two reduce the dilation again."""
    plain, block = resnet.Variant(v.blocks, bottleneck=False), resnet.Variant(v.blocks, v.bottleneck)
    x = layers.conv_norm(inputs, 16, 7, "", ("conv1", "bn1") if v.form == "C" else ("layer0.0", "layer0.1"))
    features = {}
    levels = zip(v.blocks, FILTERS, LEVEL_STRIDES, DILATIONS, strict=True)
    for level, (blocks, filters, stride, dilation) in enumerate(levels, start=1):
        ends = level in (1, 2, 7, 8)
        for i in range(blocks):
            step = stride if i == 0 else 1
            if ends and v.form == "D":  # three entries of a torch.nn.Sequential
                entries = 3 * i, 3 * i + 1
                x = layers.conv_norm(x, filters, 3, f"layer{level}", entries, stride=step, dilation=dilation)
            else:
                form = plain if ends else block
                x = resnet.block(x, f"layer{level}.{i}", filters, form, step, (dilation, dilation), residual=level < 7)
        features[f"level{level}"] = x
    return {f"c{i}": features[f"level{level}"] for i, level in enumerate((2, 3, 4, 5, 8), start=1)}
