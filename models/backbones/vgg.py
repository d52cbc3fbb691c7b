"""VGG: Very Deep Convolutional Networks for Large-Scale Image Recognition.

Simonyan, Zisserman, ICLR 2015. https://arxiv.org/abs/1409.1556

We build torchvision's forms, with and without batch norm. The feature maps are the inputs of the pools, from 1/2 of the
resolution on, and the output of the last pool.
"""

import keras

from models import layers
from models.backbones import Weights

# Table 1's A, B, D, E: convolutions of the stages, 64, 128, 256, 512 and 512 wide, and whether batch norm follows each.
VARIANTS = {
    "vgg11": ((1, 1, 2, 2, 2), False),
    "vgg13": ((2, 2, 2, 2, 2), False),
    "vgg16": ((2, 2, 3, 3, 3), False),
    "vgg19": ((2, 2, 4, 4, 4), False),
    "vgg11_bn": ((1, 1, 2, 2, 2), True),
    "vgg13_bn": ((2, 2, 2, 2, 2), True),
    "vgg16_bn": ((2, 2, 3, 3, 3), True),
    "vgg19_bn": ((2, 2, 4, 4, 4), True),
}

INITIAL = layers.kaiming_normal("fan_out", bias=0.0)
LINEAR = layers.normal(0.01, bias=0.0)

REFERENCE = {
    "vgg11": {"params": {1000: 132_863_336}},
    "vgg13": {"params": {1000: 133_047_848}},
    "vgg16": {"params": {1000: 138_357_544}, "macs": 15_470_300_000, "input": (224, 224, 3)},
    "vgg19": {"params": {1000: 143_667_240}, "macs": 19_632_100_000, "input": (224, 224, 3)},
    "vgg11_bn": {"params": {1000: 132_868_840}},
    "vgg13_bn": {"params": {1000: 133_053_736}},
    "vgg16_bn": {"params": {1000: 138_365_992}, "macs": 15_470_300_000, "input": (224, 224, 3)},
    "vgg19_bn": {"params": {1000: 143_678_248}, "macs": 19_632_100_000, "input": (224, 224, 3)},
}


WEIGHTS = {
    "vgg11": Weights.torchvision("vgg11-8a719046", 69.020),
    "vgg13": Weights.torchvision("vgg13-19584684", 69.928),
    "vgg16": Weights.torchvision("vgg16-397923af", 71.592),
    "vgg19": Weights.torchvision("vgg19-dcbb9e9d", 72.376),
    "vgg11_bn": Weights.torchvision("vgg11_bn-6002323d", 70.370),
    "vgg13_bn": Weights.torchvision("vgg13_bn-abd245e5", 71.586),
    "vgg16_bn": Weights.torchvision("vgg16_bn-6c64b313", 73.360),
    "vgg19_bn": Weights.torchvision("vgg19_bn-c79401a0", 74.218),
}


def channels(variant):
    """Of the five feature maps."""
    return {"c1": 128, "c2": 256, "c3": 512, "c4": 512, "c5": 512}


def numbered(variant):
    """(stage, convolution in it, index in torchvision's `features`) of every convolution, stages and convolutions from 1."""
    stages, norm = VARIANTS[variant]
    index, found = 0, []
    for stage, convolutions in enumerate(stages, start=1):
        for i in range(1, convolutions + 1):
            found.append((stage, i, index))
            index += 3 if norm else 2  # with the ReLU, and batch norm before it
        index += 1  # the pool
    return found


def build(inputs, variant, output_stride=32, *, pool=None, dense_pool=None):
    """Five stages of 3x3 convolutions and a 2x2 pool. If a pool loses its stride, everything after it is dilated.

    `pool`, a function x -> x at half the resolution, replaces the pools with stride. `dense_pool`, x -> x at the same
    resolution, replaces those without.
    """
    stages, norm = VARIANTS[variant]
    x, index, features = inputs, 0, {}
    resolution, dilation = 1, 1
    for stage, convolutions in enumerate(stages):
        for _ in range(convolutions):
            filters = min(64 * 2**stage, 512)
            if norm:
                x = layers.conv_norm(x, filters, 3, "features", (index, index + 1), bias=True, dilation=dilation)
            else:
                x = layers.relu(layers.conv(x, filters, 3, f"features.{index}", dilation=dilation))
            index += 3 if norm else 2  # the convolution, its norm, its ReLU: entries of a torch.nn.Sequential
        features[f"c{stage}"] = x
        index += 1
        if resolution < output_stride:
            x = pool(x) if pool else layers.max_pool(x, 2)
            resolution *= 2
        else:
            x = dense_pool(x) if dense_pool else pool_everywhere(x, dilation)
            dilation *= 2
    del features["c0"]  # at full resolution
    return {**features, "c5": x}


def head(features, num_classes, variant):
    """7x7 cells for any size of the image, and three linear layers."""
    x = layers.adaptive_average_pool(features["c5"], 7)
    x = keras.layers.Flatten()(keras.layers.Permute((3, 1, 2))(x))  # channels first, as in the weights
    x = layers.dense(x, 4096, "classifier.0", "relu", initial=LINEAR)
    x = layers.dense(keras.layers.Dropout(0.5)(x), 4096, "classifier.3", "relu", initial=LINEAR)
    return layers.dense(keras.layers.Dropout(0.5)(x), num_classes, "classifier.6", initial=LINEAR)


def pool_everywhere(x, dilation):
    """A 2x2 pool at every pixel: the maximum with the pixels `dilation` to the right and below, if there are any.

    x comes from a ReLU, so zeros are never the maximum.
    """
    for before, after in (((dilation, 0), (0, 0)), ((0, 0), (dilation, 0))):
        beyond = tuple((end, begin) for begin, end in (before, after))
        shifted = keras.layers.Cropping2D((before, after))(keras.layers.ZeroPadding2D(beyond)(x))
        x = keras.layers.Maximum()([x, shifted])
    return x
