"""MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications.

Howard, Zhu, Chen, Kalenichenko, Wang, Weyand, Andreetto, Adam, 2017. https://arxiv.org/abs/1704.04861

We build pytorchcv's mobilenet_w1 (osmr/pytorchcv), which has symmetric padding. Its classifier pools 7x7, ours the whole
image; at 224 x 224 this is the same.
"""

import keras

from models import layers
from models.backbones import _dilation

# Table 1: the width of every depthwise-separable block, by resolution. The first block of each stage except the first strides.
VARIANTS = {"mobilenet_v1": ((64,), (128, 128), (256, 256), (512,) * 6, (1024, 1024))}

# The reference's init function is meant for the stem too, but has a wrong name for it.
INITIAL = layers.kaiming_normal("fan_out", bias=0.0, depthwise=layers.kaiming_normal("fan_in"))

REFERENCE = {"mobilenet_v1": {"params": {1000: 4_231_976}, "macs": 568_740_352, "input": (224, 224, 3)}}


def channels(variant):
    """Of the five feature maps."""
    return {f"c{i}": widths[-1] for i, widths in enumerate(VARIANTS[variant], start=1)}


def build(inputs, variant, output_stride=32):
    """Table 1: a stem and five stages; the stem's stride is the first stage's."""
    plan = _dilation.plan((2, 2, 2, 2, 2), output_stride)
    x = layers.conv_norm(inputs, 32, 3, "features.init_block", ("conv", "bn"), stride=2, initial=layers.torch_default)
    features = {}
    for stage, (widths, (stride, first, dilation)) in enumerate(zip(VARIANTS[variant], plan, strict=True), start=1):
        for i, width in enumerate(widths, start=1):
            where = (stride if stage > 1 else 1, first) if i == 1 else (1, dilation)
            x = block(x, width, f"features.stage{stage}.unit{i}", *where)
        features[f"c{stage}"] = x
    return features


def head(features, num_classes, variant):
    """The means and a linear layer."""
    x = keras.layers.GlobalAveragePooling2D()(features["c5"])
    return layers.dense(x, num_classes, "output", initial=INITIAL)


def block(x, filters, name, stride=1, dilation=1):
    """Figure 3, right: a depthwise 3x3 and a 1x1, each with batch norm and ReLU."""
    entries = "conv", "bn"
    x = layers.depthwise_conv_norm(x, 3, f"{name}.dw_conv", entries, stride=stride, dilation=dilation)
    return layers.conv_norm(x, filters, 1, f"{name}.pw_conv", entries)
