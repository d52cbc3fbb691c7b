"""ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design.

Ma, Zhang, Zheng, Sun, ECCV 2018. https://arxiv.org/abs/1807.11164

We build torchvision's form: a unit first concatenates and then shuffles. c1 is the stem's convolution and c2 its pool; c5 is
stage 4, and the 1x1 after it belongs to the classifier.
"""

import keras

from models import layers
from models.backbones import Weights, _dilation

REPETITIONS = (4, 8, 4)

# Table 5: channels of stages 2, 3, 4 and of the last 1x1.
VARIANTS = {
    "shufflenet_v2_x0_5": (48, 96, 192, 1024),
    "shufflenet_v2_x1_0": (116, 232, 464, 1024),
    "shufflenet_v2_x1_5": (176, 352, 704, 1024),
    "shufflenet_v2_x2_0": (244, 488, 976, 2048),
}

REFERENCE = {
    "shufflenet_v2_x0_5": {"params": {1000: 1_366_792}, "macs": 8_270_368, "input": (96, 96, 3)},
    "shufflenet_v2_x1_0": {"params": {1000: 2_278_604}, "macs": 27_451_672, "input": (96, 96, 3)},
    "shufflenet_v2_x1_5": {"params": {1000: 3_503_624}, "macs": 55_159_072, "input": (96, 96, 3)},
    "shufflenet_v2_x2_0": {"params": {1000: 7_393_996}, "macs": 108_800_024, "input": (96, 96, 3)},
}


WEIGHTS = {
    "shufflenet_v2_x0_5": Weights.torchvision("shufflenetv2_x0.5-f707e7126e", 60.552),
    "shufflenet_v2_x1_0": Weights.torchvision("shufflenetv2_x1-5666bf0f80", 69.362),
    "shufflenet_v2_x1_5": Weights.torchvision("shufflenetv2_x1_5-3c479a10", 72.996),
    "shufflenet_v2_x2_0": Weights.torchvision("shufflenetv2_x2_0-8be3c8ee", 76.230),
}


def channels(variant):
    """Of the five feature maps."""
    return dict(zip(("c1", "c2", "c3", "c4", "c5"), (24, 24, *VARIANTS[variant][:3]), strict=True))


def build(inputs, variant, output_stride=32):
    """Table 5."""
    plan = _dilation.plan((4, 2, 2, 2), output_stride)[1:]
    x = layers.conv_norm(inputs, 24, 3, "conv1", stride=2)
    features = {"c1": x}
    x = features["c2"] = layers.max_pool(x, 3, 2, padding=1, nonnegative=True)
    stages = zip(VARIANTS[variant], REPETITIONS, plan, strict=False)  # the last width is not that of a stage
    for stage, (filters, repetitions, (stride, first, dilation)) in enumerate(stages, start=2):
        x = downsample(x, filters, f"stage{stage}.0", stride, first)
        for i in range(1, repetitions):
            x = unit(x, f"stage{stage}.{i}", dilation)
        features[f"c{stage + 1}"] = x
    return features


def block_of(name):
    """A unit with both of its branches."""
    return ".".join(name.split(".")[:2]) if name.startswith("stage") else None


def head(features, num_classes, variant):
    """A last 1x1, the means and a linear layer."""
    x = layers.conv_norm(features["c5"], VARIANTS[variant][-1], 1, "conv5")
    return layers.dense(keras.layers.GlobalAveragePooling2D()(x), num_classes, "fc")


def unit(x, name, dilation):
    """Figure 3c: half of the channels are unchanged, the other half goes through three convolutions."""
    x, y = keras.ops.split(x, 2, axis=-1)
    y = branch2(y, y.shape[-1], name, 1, dilation)
    return layers.channel_shuffle(keras.layers.Concatenate()([x, y]), 2)


def downsample(x, filters, name, stride, dilation):
    """Figure 3d: all channels go through both branches."""
    y = branch2(x, filters // 2, name, stride, dilation)
    x = layers.depthwise_conv_norm(x, 3, f"{name}.branch1", (0, 1), None, stride=stride, dilation=dilation)
    x = layers.conv_norm(x, filters // 2, 1, f"{name}.branch1", (2, 3))
    return layers.channel_shuffle(keras.layers.Concatenate()([x, y]), 2)


def branch2(x, filters, name, stride, dilation):
    """1x1, depthwise 3x3 without non-linearity, 1x1."""
    x = layers.conv_norm(x, filters, 1, f"{name}.branch2")
    x = layers.depthwise_conv_norm(x, 3, f"{name}.branch2", (3, 4), None, stride=stride, dilation=dilation)
    return layers.conv_norm(x, filters, 1, f"{name}.branch2", (5, 6))
