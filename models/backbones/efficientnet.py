"""EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks.

Tan, Le, ICML 2019. https://arxiv.org/abs/1905.11946

We build torchvision's form: every padding is symmetric; epsilon of batch norm is 1e-5, and from b5 on 1e-3. c5 is the output
of the last block; the 1x1 after it belongs to the classifier.
"""

import dataclasses
import math

import keras

from models import layers
from models.backbones import Weights, _dilation

# Table 1: expansion, kernel, stride, channels, repetitions.
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
INITIAL = layers.kaiming_normal("fan_out", bias=0.0)
STOCHASTIC_DEPTH = 0.2  # rate of a block after the last one; the rates of the blocks rise linearly from 0 towards it


@dataclasses.dataclass(frozen=True)
class Variant:
    """Section 3.3: how a network is scaled."""

    width: float
    depth: float
    dropout: float  # of the classifier
    epsilon: float = 1e-5  # of the batch norms
    momentum: float = 0.9

    @property
    def norm(self):
        """The options of the batch norms."""
        return {"epsilon": self.epsilon, "momentum": self.momentum}


VARIANTS = {
    "efficientnet_b0": Variant(1.0, 1.0, 0.2),
    "efficientnet_b1": Variant(1.0, 1.1, 0.2),
    "efficientnet_b2": Variant(1.1, 1.2, 0.3),
    "efficientnet_b3": Variant(1.2, 1.4, 0.3),
    "efficientnet_b4": Variant(1.4, 1.8, 0.4),
    "efficientnet_b5": Variant(1.6, 2.2, 0.4, 1e-3, 0.99),
    "efficientnet_b6": Variant(1.8, 2.6, 0.5, 1e-3, 0.99),
    "efficientnet_b7": Variant(2.0, 3.1, 0.5, 1e-3, 0.99),
}

REFERENCE = {
    "efficientnet_b0": {"params": {1000: 5_288_548}, "macs": 72_420_832, "input": (96, 96, 3)},
    "efficientnet_b1": {"params": {1000: 7_794_184}, "macs": 106_579_680, "input": (96, 96, 3)},
    "efficientnet_b2": {"params": {1000: 9_109_994}, "macs": 123_255_920, "input": (96, 96, 3)},
    "efficientnet_b3": {"params": {1000: 12_233_232}, "macs": 179_595_920, "input": (96, 96, 3)},
    "efficientnet_b4": {"params": {1000: 19_341_616}, "macs": 280_199_392, "input": (96, 96, 3)},
    "efficientnet_b5": {"params": {1000: 30_389_784}, "macs": 438_702_464, "input": (96, 96, 3)},
    "efficientnet_b6": {"params": {1000: 43_040_704}, "macs": 625_161_408, "input": (96, 96, 3)},
    "efficientnet_b7": {"params": {1000: 66_347_960}, "macs": 961_371_072, "input": (96, 96, 3)},
}


WEIGHTS = {
    "efficientnet_b0": Weights.torchvision("efficientnet_b0_rwightman-7f5810bc", 77.692),
    "efficientnet_b1": Weights.torchvision("efficientnet_b1-c27df63c", 79.838, "V2"),
    "efficientnet_b2": Weights.torchvision("efficientnet_b2_rwightman-c35c1473", 80.608),
    "efficientnet_b3": Weights.torchvision("efficientnet_b3_rwightman-b3899882", 82.008),
    "efficientnet_b4": Weights.torchvision("efficientnet_b4_rwightman-23ab8bcd", 83.384),
    "efficientnet_b5": Weights.torchvision("efficientnet_b5_lukemelas-1a07897c", 83.444),
    "efficientnet_b6": Weights.torchvision("efficientnet_b6_lukemelas-24a108a5", 84.008),
    "efficientnet_b7": Weights.torchvision("efficientnet_b7_lukemelas-c5b4e57e", 84.122),
}


def channels(variant):
    """Of the five feature maps."""
    return channels_of(VARIANTS[variant].width)


def channels_of(width):
    """The channels of the five feature maps, for a factor of the width."""
    return {f"c{i}": scaled(c, width) for i, c in enumerate((16, 24, 40, 112, 320), start=1)}


def build(inputs, variant, output_stride=32):
    """Table 1 up to its last stage; a feature map is the last one of its resolution."""
    v = VARIANTS[variant]
    x = layers.conv_norm(inputs, scaled(32, v.width), 3, "features.0", activation="silu", stride=2, **v.norm)
    depths = [math.ceil(repetitions * v.depth) for *_, repetitions in STAGES]

    def next_block(x, stage, i, done, expansion, kernel, filters, stride, dilation, drop):
        return block(x, expansion, kernel, filters, f"features.{stage}.{i}.block", v, stride, dilation, drop)

    return stages(x, v.width, depths, output_stride, next_block)


def stages(x, width, depths, output_stride, next_block, rows=STAGES):
    """The stages of table 1 behind the stem `x`, as the feature maps; a feature map is the last one of its resolution.

    `next_block(x, stage, i, done, expansion, kernel, filters, stride, dilation, drop)` computes block `i` of a stage, which
    `done` blocks precede. `rows` is another network's table.
    """
    (_, *plan) = _dilation.plan((2, *(stride for _, _, stride, _, _ in rows)), output_stride)
    features, level, done = {}, 1, 0
    for stage, (row, depth, (stride, first, dilation)) in enumerate(zip(rows, depths, plan, strict=True), start=1):
        expansion, kernel, nominal, filters, _ = row
        level += nominal > 1
        for i in range(depth):
            where = (stride, first) if i == 0 else (1, dilation)
            drop = STOCHASTIC_DEPTH * done / sum(depths)
            x = next_block(x, stage, i, done, expansion, kernel, scaled(filters, width), *where, drop)
            done += 1
        features[f"c{level}"] = x
    return features


def head(features, num_classes, variant):
    """A 1x1 to four times the channels, their means and a linear layer."""
    v = VARIANTS[variant]
    x = layers.conv_norm(features["c5"], 4 * features["c5"].shape[-1], 1, "features.8", activation="silu", **v.norm)
    return classifier(x, num_classes, v.dropout)


def classifier(x, num_classes, dropout):
    """The means and a linear layer."""
    x = keras.layers.Dropout(dropout)(keras.layers.GlobalAveragePooling2D()(x))
    return layers.dense(x, num_classes, "classifier.1", initial=layers.uniform(num_classes**-0.5, bias=0.0))


def block(x, expansion, kernel, filters, name, v, stride, dilation, drop):
    """MBConv: widened by a 1x1, a depthwise convolution, squeeze and excitation, narrowed by a linear 1x1."""
    y, i, options = x, 0, {"activation": "silu", **v.norm}
    if expansion > 1:
        y, i = layers.conv_norm(y, x.shape[-1] * expansion, 1, f"{name}.0", **options), 1
    y = layers.depthwise_conv_norm(y, kernel, f"{name}.{i}", stride=stride, dilation=dilation, **options)
    y = layers.squeeze_excite(y, x.shape[-1] // 4, f"{name}.{i + 1}", activation="silu")
    y = layers.conv_norm(y, filters, 1, f"{name}.{i + 2}", activation=None, **v.norm)
    # A block with stride never adds its input, also if dilation replaced the stride, because its channels always change.
    if stride > 1 or x.shape[-1] != filters:
        return y
    return keras.layers.Add()([x, layers.stochastic_depth(y, drop)])


def scaled(channels, width):
    """Width times channels, rounded to the nearest multiple of 8 that is at least 0.9 of it."""
    wanted = channels * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * wanted else rounded + 8
