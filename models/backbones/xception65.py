"""Xception-65: the aligned Xception of DeepLab v3+.

Chen, Zhu, Papandreou, Schroff, Adam, ECCV 2018. https://arxiv.org/abs/1802.02611

It is a deeper Xception (Chollet, CVPR 2017), with strides in separable convolutions instead of pools and batch norm after every
depthwise convolution. Names and function are those of the backbone of jfzhang95/pytorch-deeplab-xception at output_stride=16,
whose in-place ReLUs also rectify the input that a block adds. At output_stride=8 that program does not dilate the last
separable convolution of block 20; we dilate it like the others, as in the authors' tensorflow/models. No classifier is
published, so `fc` is ours.
"""

import keras

from models import layers
from models.backbones import _dilation

VARIANTS = {"xception65": ()}

INITIAL = layers.kaiming_normal("fan_out")


def channels(variant):
    """Of the five feature maps."""
    return {"c1": 64, "c2": 128, "c3": 256, "c4": 728, "c5": 2048}


def build(inputs, variant, output_stride=32):
    """Figure 4. c2 is the map that DeepLab's decoder uses."""
    _, *entries, last = _dilation.plan((2, 2, 2, 2, 2), output_stride)
    x = layers.conv_norm(inputs, 32, 3, "", ("conv1", "bn1"), stride=2)
    x = layers.conv_norm(x, 64, 3, "", ("conv2", "bn2"))
    features = {"c1": x}

    for number, (filters, (stride, first, _)) in enumerate(zip((128, 256, 728), entries, strict=True), start=1):
        x = block(x, (filters,) * 3, f"block{number}", stride, first, relu_first=number == 3)
        x = layers.relu(x) if number == 1 else x
        features[f"c{number + 1}"] = x
    dilation = entries[-1][2]
    for number in range(4, 20):
        x = block(x, (728,) * 3, f"block{number}", dilation=dilation)
    features["c4"] = x

    stride, first, dilation = last
    x = layers.relu(block(x, (728, 1024, 1024), "block20", stride, first))
    for i, filters in ((3, 1536), (4, 1536), (5, 2048)):
        x = layers.relu(layers.batch_norm(separable(x, filters, f"conv{i}", dilation=dilation), f"bn{i}"))
    features["c5"] = x
    return features


def head(features, num_classes, variant):
    """The means and a linear layer."""
    return layers.dense(keras.layers.GlobalAveragePooling2D()(features["c5"]), num_classes, "fc")


def block(x, widths, name, stride=1, dilation=1, relu_first=True):
    """Three separable convolutions, the last with stride, added to the rectified input or its 1x1 projection."""
    x = layers.relu(x) if relu_first else x
    y, index = x, int(relu_first)
    for i, filters in enumerate(widths):
        y = layers.relu(y) if i else y
        y = separable(y, filters, f"{name}.rep.{index}", stride if i == 2 else 1, dilation)
        y = layers.batch_norm(y, f"{name}.rep.{index + 1}")
        index += 3
    if x.shape[-1] != widths[-1]:
        x = layers.conv_norm(x, widths[-1], 1, name, ("skip", "skipbn"), activation=None, stride=stride)
    return keras.layers.Add()([y, x])


def separable(x, filters, name, stride=1, dilation=1):
    """A depthwise 3x3, batch norm and a 1x1."""
    x = layers.depthwise_conv_norm(x, 3, name, ("conv1", "bn"), None, stride=stride, dilation=dilation)
    return layers.conv(x, filters, 1, f"{name}.pointwise", bias=False)
