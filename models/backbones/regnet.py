"""RegNet: Designing Network Design Spaces, its RegNetY networks.

Radosavovic, Kosaraju, Girshick, He, Dollár, CVPR 2020. https://arxiv.org/abs/2003.13678

We build torchvision's form. The names give the multiply-accumulates for an image of 224 x 224.
"""

import dataclasses

import keras

from models import layers
from models.backbones import Weights, _dilation


@dataclasses.dataclass(frozen=True)
class Variant:
    """A network of table 8 (and torchvision's 800MF and 1.6GF): the numbers that the paper's linear rule gives."""

    widths: tuple  # of the four stages
    depths: tuple
    group: int  # channels in a group of the 3x3


VARIANTS = {
    "regnet_y_400mf": Variant((48, 104, 208, 440), (1, 3, 6, 6), 8),
    "regnet_y_800mf": Variant((64, 144, 320, 784), (1, 3, 8, 2), 16),
    "regnet_y_1_6gf": Variant((48, 120, 336, 888), (2, 6, 17, 2), 24),
    "regnet_y_3_2gf": Variant((72, 216, 576, 1512), (2, 5, 13, 1), 24),
    "regnet_y_8gf": Variant((224, 448, 896, 2016), (2, 4, 10, 1), 56),
    "regnet_y_16gf": Variant((224, 448, 1232, 3024), (2, 4, 11, 1), 112),
    "regnet_y_32gf": Variant((232, 696, 1392, 3712), (2, 5, 12, 1), 232),
}

INITIAL = layers.kaiming_normal("fan_out")

REFERENCE = {
    "regnet_y_400mf": {"params": {1000: 4_344_144}, "macs": 74_708_128, "input": (96, 96, 3)},
    "regnet_y_800mf": {"params": {1000: 6_432_512}, "macs": 154_483_456, "input": (96, 96, 3)},
    "regnet_y_1_6gf": {"params": {1000: 11_202_430}, "macs": 298_051_200, "input": (96, 96, 3)},
    "regnet_y_3_2gf": {"params": {1000: 19_436_338}, "macs": 586_786_752, "input": (96, 96, 3)},
    "regnet_y_8gf": {"params": {1000: 39_381_472}, "macs": 1_562_084_352, "input": (96, 96, 3)},
    "regnet_y_16gf": {"params": {1000: 83_590_140}, "macs": 2_933_242_112, "input": (96, 96, 3)},
    "regnet_y_32gf": {"params": {1000: 145_046_770}, "macs": 5_944_013_632, "input": (96, 96, 3)},
}


WEIGHTS = {
    "regnet_y_400mf": Weights.torchvision("regnet_y_400mf-e6988f5f", 75.804, "V2"),
    "regnet_y_800mf": Weights.torchvision("regnet_y_800mf-58fc7688", 78.828, "V2"),
    "regnet_y_1_6gf": Weights.torchvision("regnet_y_1_6gf-0d7bc02a", 80.876, "V2"),
    "regnet_y_3_2gf": Weights.torchvision("regnet_y_3_2gf-9180c971", 81.982, "V2"),
    "regnet_y_8gf": Weights.torchvision("regnet_y_8gf-dc2b1b54", 82.828, "V2"),
    "regnet_y_16gf": Weights.torchvision("regnet_y_16gf-3e4a00f9", 82.886, "V2"),
    "regnet_y_32gf": Weights.torchvision("regnet_y_32gf-8db6d4b5", 83.368, "V2"),
}


def channels(variant):
    """Of the five feature maps."""
    return dict(zip(("c1", "c2", "c3", "c4", "c5"), (32, *VARIANTS[variant].widths), strict=True))


def build(inputs, variant, output_stride=32):
    """A stem of one 3x3 with stride 2, then four stages, each with stride 2."""
    v = VARIANTS[variant]
    (_, *plan) = _dilation.plan((2, 2, 2, 2, 2), output_stride)
    x = layers.conv_norm(inputs, 32, 3, "stem", stride=2)
    features = {"c1": x}
    for stage, (width, depth, (stride, first, dilation)) in enumerate(
        zip(v.widths, v.depths, plan, strict=True), start=1
    ):
        for i in range(depth):
            where = (stride, first) if i == 0 else (1, dilation)
            x = block(x, width, f"trunk_output.block{stage}.block{stage}-{i}", v.group, *where)
        features[f"c{stage + 1}"] = x
    return features


def head(features, num_classes, variant):
    """The means and a linear layer."""
    x = keras.layers.GlobalAveragePooling2D()(features["c5"])
    return layers.dense(x, num_classes, "fc", initial=layers.normal(0.01, bias=0.0))


def block(x, width, name, group, stride, dilation):
    """The Y block: 1x1, grouped 3x3, squeeze and excitation to a quarter of the block's input, 1x1, added to the input."""
    y = layers.conv_norm(x, width, 1, f"{name}.f.a")
    y = layers.conv_norm(y, width, 3, f"{name}.f.b", stride=stride, dilation=dilation, groups=width // group)
    y = layers.squeeze_excite(y, round(x.shape[-1] / 4), f"{name}.f.se")
    y = layers.conv_norm(y, width, 1, f"{name}.f.c", activation=None)
    if stride > 1 or x.shape[-1] != width:
        x = layers.conv_norm(x, width, 1, f"{name}.proj", activation=None, stride=stride)
    return layers.relu(keras.layers.Add()([x, y]))
