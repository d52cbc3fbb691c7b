"""MobileNetV4: Universal Models for the Mobile Ecosystem.

Qin, Leichner, Delakis, Fornoni, Luo, Yang, Wang, Banbury, Ye, Akin, Aggarwal, Zhu, Moro, Howard, ECCV 2024.
https://arxiv.org/abs/2404.10518

The convolutional networks in the form of timm (huggingface/pytorch-image-models), whose weights fit: every padding is
symmetric. c5 is the 1x1 to 960 channels before the means.
"""

import dataclasses

import keras

from models import layers
from models.backbones import _dilation


@dataclasses.dataclass(frozen=True)
class Convolution:
    """A convolution with batch norm and ReLU."""

    kernel: int
    stride: int
    filters: int


@dataclasses.dataclass(frozen=True)
class Fused:
    """A 3x3 that widens, and a 1x1 that narrows."""

    stride: int
    expansion: int
    filters: int


@dataclasses.dataclass(frozen=True)
class Universal:
    """The universal inverted bottleneck, figure 4."""

    before: int  # kernel of the depthwise convolution before the expansion; 0 if there is none
    middle: int  # of the one after it
    stride: int  # of the latter, or without it of the former
    expansion: int
    filters: int


def _rows(filters, *rows):
    """Universal blocks of a stage from (repetitions, before, middle, expansion); the first block has stride 2."""
    blocks = [row[1:] for row in rows for _ in range(row[0])]
    return tuple(Universal(b, m, 1 if i else 2, e, filters) for i, (b, m, e) in enumerate(blocks))


LAST = (Convolution(1, 1, 960),)
SMALL = (
    (Convolution(3, 2, 32), Convolution(1, 1, 32)),
    (Convolution(3, 2, 96), Convolution(1, 1, 64)),
    _rows(96, (1, 5, 5, 3), (4, 0, 3, 2), (1, 3, 0, 4)),
    _rows(128, (1, 3, 3, 6), (1, 5, 5, 4), (1, 0, 5, 4), (1, 0, 5, 3), (2, 0, 3, 4)),
    LAST,
)
MEDIUM = (
    (Fused(2, 4, 48),),
    _rows(80, (1, 3, 5, 4), (1, 3, 3, 2)),
    _rows(160, (1, 3, 5, 6), (2, 3, 3, 4), (1, 3, 5, 4), (1, 3, 3, 4), (1, 3, 0, 4), (1, 0, 0, 2), (1, 3, 0, 4)),
    _rows(
        256,
        (1, 5, 5, 6),
        (1, 5, 5, 4),
        (2, 3, 5, 4),
        (1, 0, 0, 4),
        (1, 3, 0, 4),
        (1, 3, 5, 2),
        (1, 5, 5, 4),
        (2, 0, 0, 4),
        (1, 5, 0, 2),
    ),
    LAST,
)
LARGE = (
    (Fused(2, 4, 48),),
    _rows(96, (1, 3, 5, 4), (1, 3, 3, 4)),
    _rows(192, (1, 3, 5, 4), (3, 3, 3, 4), (1, 3, 5, 4), (5, 5, 3, 4), (1, 3, 0, 4)),
    _rows(512, (4, 5, 5, 4), (1, 5, 0, 4), (1, 5, 3, 4), (2, 5, 0, 4), (1, 5, 3, 4), (1, 5, 5, 4), (3, 5, 0, 4)),
    LAST,
)

# The stages, and the channels of the stem.
VARIANTS = {
    "mobilenet_v4_conv_small": (SMALL, 32),
    "mobilenet_v4_conv_medium": (MEDIUM, 32),
    "mobilenet_v4_conv_large": (LARGE, 24),
}

# timm's rule: normal by the outputs that a kernel has, of a depthwise one its taps.
INITIAL = layers.kaiming_normal("fan_out", bias=0.0, depthwise=layers.kaiming_normal("fan_in", bias=0.0))

REFERENCE = {
    "mobilenet_v4_conv_small": {"params": {1000: 3_774_024}, "macs": 36_212_288, "input": (96, 96, 3)},
    "mobilenet_v4_conv_medium": {"params": {1000: 9_715_512}},
    "mobilenet_v4_conv_large": {"params": {1000: 32_590_864}},
}


def channels(variant):
    """Of the five feature maps."""
    stages, stem = VARIANTS[variant]
    widths = [stage[-1].filters for stage in stages]
    return {"c1": stem, "c2": widths[0], "c3": widths[1], "c4": widths[2], "c5": widths[4]}


def build(inputs, variant, output_stride=32):
    """Tables 11 to 15 up to the means; a feature map is the last one of its resolution."""
    stages, stem = VARIANTS[variant]
    rows = [(f"blocks.{s}.{i}", row) for s, stage in enumerate(stages) for i, row in enumerate(stage)]
    (_, *plan) = _dilation.plan((2, *(row.stride for _, row in rows)), output_stride)
    x = layers.conv_norm(inputs, stem, 3, "", ("conv_stem", "bn1"), stride=2)
    features, level = {"c1": x}, 1
    for (name, row), (stride, first, _) in zip(rows, plan, strict=True):
        level += row.stride > 1
        x = BLOCKS[type(row)](x, row, name, {"stride": stride, "dilation": first})
        features[f"c{level}"] = x
    return features


def head(features, num_classes, variant):
    """The means, a 1x1 to 1280 channels and a linear layer."""
    x = keras.layers.GlobalAveragePooling2D(keepdims=True)(features["c5"])
    x = keras.layers.Flatten()(layers.conv_norm(x, 1280, 1, "", ("conv_head", "norm_head")))
    return layers.dense(x, num_classes, "classifier", initial=layers.uniform(num_classes**-0.5, bias=0.0))


def convolution(x, row, name, where):
    """A convolution, batch norm, ReLU."""
    return layers.conv_norm(x, row.filters, row.kernel, name, ("conv", "bn1"), **where)


def fused(x, row, name, where):
    """Widened by a 3x3, narrowed by a linear 1x1."""
    y = layers.conv_norm(x, x.shape[-1] * row.expansion, 3, name, ("conv_exp", "bn1"), **where)
    return layers.conv_norm(y, row.filters, 1, name, ("conv_pwl", "bn2"), activation=None)


def universal(x, row, name, where):
    """Figure 4: a depthwise convolution, widened by a 1x1, a depthwise convolution, narrowed by a linear 1x1.

    Either depthwise convolution may be missing. The input is added if shapes agree.
    """
    y, entries = x, ("conv", "bn")
    if row.before:
        stride = 1 if row.middle else where["stride"]
        start = {"activation": None, "stride": stride, "dilation": where["dilation"]}
        y = layers.depthwise_conv_norm(y, row.before, f"{name}.dw_start", entries, **start)
    y = layers.conv_norm(y, x.shape[-1] * row.expansion, 1, f"{name}.pw_exp", entries)
    if row.middle:
        y = layers.depthwise_conv_norm(y, row.middle, f"{name}.dw_mid", entries, **where)
    y = layers.conv_norm(y, row.filters, 1, f"{name}.pw_proj", entries, activation=None)
    return keras.layers.Add()([x, y]) if row.stride == 1 and x.shape[-1] == row.filters else y


BLOCKS = {Convolution: convolution, Fused: fused, Universal: universal}
