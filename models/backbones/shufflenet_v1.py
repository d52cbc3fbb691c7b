"""ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices.

Zhang, Zhou, Lin, Sun, CVPR 2018. https://arxiv.org/abs/1707.01083

We build pytorchcv's shufflenet_g3_w1 (osmr/pytorchcv): three groups; the first 1x1 of the network is not grouped. Its
classifier pools 7x7, ours the whole image; at 224 x 224 this is the same. c1 is the stem's convolution and c2 its pool.
"""

import keras

from models import layers
from models.backbones import _dilation

REPETITIONS = (4, 8, 4)

# Table 1: groups, and the channels of the stages.
VARIANTS = {"shufflenet_v1_g3": (3, (240, 480, 960))}

INITIAL = layers.kaiming_uniform("fan_in", bias=0.0)

REFERENCE = {"shufflenet_v1_g3": {"params": {1000: 1_865_728}, "macs": 137_461_000, "input": (224, 224, 3)}}


def channels(variant):
    """Of the five feature maps."""
    return dict(zip(("c1", "c2", "c3", "c4", "c5"), (24, 24, *VARIANTS[variant][1]), strict=True))


def build(inputs, variant, output_stride=32):
    """Table 1."""
    groups, widths = VARIANTS[variant]
    (_, *plan) = _dilation.plan((4, 2, 2, 2), output_stride)
    x = layers.conv_norm(inputs, 24, 3, "features.init_block", ("conv", "bn"), stride=2)
    features = {"c1": x}
    x = features["c2"] = layers.max_pool(x, 3, 2, padding=1, nonnegative=True)
    stages = zip(widths, REPETITIONS, plan, strict=True)
    for stage, (width, repetitions, (stride, first, dilation)) in enumerate(stages, start=1):
        for i in range(1, repetitions + 1):
            name = f"features.stage{stage}.unit{i}"
            if i > 1:
                x = unit(x, width, groups, name, dilation=dilation)
            else:
                x = unit(x, width, groups, name, stride, first, widens=True, grouped=stage > 1)
        features[f"c{stage + 2}"] = x
    return features


def head(features, num_classes, variant):
    """The means and a linear layer."""
    return layers.dense(keras.layers.GlobalAveragePooling2D()(features["c5"]), num_classes, "output")


def unit(x, filters, groups, name, stride=1, dilation=1, widens=False, grouped=True):
    """Figure 2b, or 2c if it widens: a grouped 1x1, a shuffle, a depthwise 3x3 without non-linearity, a grouped 1x1."""
    width = filters // 4
    y = layers.conv_norm(x, width, 1, name, ("compress_conv1", "compress_bn1"), groups=groups if grouped else 1)
    y = layers.channel_shuffle(y, groups)
    y = layers.depthwise_conv_norm(y, 3, name, ("dw_conv2", "dw_bn2"), None, stride=stride, dilation=dilation)
    outputs = filters - x.shape[-1] if widens else filters
    y = layers.conv_norm(y, outputs, 1, name, ("expand_conv3", "expand_bn3"), activation=None, groups=groups)
    if widens:
        x = layers.average_pool(x, 3, stride, padding=dilation, dilation=dilation)
        return layers.relu(keras.layers.Concatenate()([y, x]))
    return layers.relu(keras.layers.Add()([y, x]))
