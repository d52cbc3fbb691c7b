"""Inception-ResNet-v2: Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning.

Szegedy, Ioffe, Vanhoucke, Alemi, AAAI 2017. https://arxiv.org/abs/1602.07261

It has the function, the layer names and the weights of keras.applications.InceptionResNetV2. Layers without a name there have
the names that Keras gives them in a fresh session. Keras numbers them in the order in which they are made, so we make them in
the same order. Convolutions with stride and pools are not padded, so feature maps are smaller than their share of the image.
"""

import functools
import itertools
import re

import keras

from models import layers
from models.backbones import Weights, _dilation, inception_v3

VARIANTS = {"inception_resnet_v2": ()}

INITIAL = layers.kaiming_normal("fan_in", bias=0.0)  # ours: its only published start is the trained weights

UNPADDED = True  # so feature maps are a few pixels smaller than their share of the image
LEAST = 75  # the smallest height and width in pixels; one pixel is left at the end

NORMALIZATION = "affine(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))"

APPLICATION = "InceptionResNetV2"  # of keras.applications

REFERENCE = {"inception_resnet_v2": {"params": {1000: 55_813_192}}}

WEIGHTS = {
    "inception_resnet_v2": Weights(
        "https://storage.googleapis.com/tensorflow/keras-applications/inception_resnet_v2/"
        "inception_resnet_v2_weights_tf_dim_ordering_tf_kernels.h5",
        "",
        80.3,
        "keras.applications",
        md5="e693bd0210a403b3192acc6073ad2e96",
    )
}

NORM = {"epsilon": 1e-3, "momentum": 0.99, "scale": False}  # the first two are Keras' own

# The convolutions (channels, kernel) of every branch, in order: for the residual blocks and for figures 7 and 18.
BLOCK_35 = (((32, 1),), ((32, 1), (32, 3)), ((32, 1), (48, 3), (64, 3)))
BLOCK_17 = (((192, 1),), ((128, 1), (160, (1, 7)), (192, (7, 1))))
BLOCK_8 = (((192, 1),), ((192, 1), (224, (1, 3)), (256, (3, 1))))
REDUCTION_A = (((384, 3),), ((256, 1), (256, 3), (384, 3)))
REDUCTION_B = (((256, 1), (384, 3)), ((256, 1), (288, 3)), ((256, 1), (288, 3), (320, 3)))


def channels(variant):
    """Of the five feature maps."""
    return {"c1": 64, "c2": 192, "c3": 320, "c4": 1088, "c5": 1536}


def build(inputs, variant, output_stride=32):
    """Figure 15, with the stem of Inception v3."""
    *_, reduction_a, reduction_b = _dilation.plan((2, 2, 2, 2, 2), output_stride)
    step = functools.partial(numbered, names=names())
    features = stem(layers.pad_to_multiple(inputs, 1, least=LEAST), step)
    x = reduce(features["c3"], REDUCTION_A, step, *reduction_a[:2])
    x = features["c4"] = blocks_17(x, step, reduction_a[2])
    x = reduce(x, REDUCTION_B, step, *reduction_b[:2])
    x = blocks_8(x, step, reduction_b[2])
    features["c5"] = layers.conv_norm(x, 1536, 1, "", ("conv_7b", "conv_7b_bn"), **NORM)
    return inception_v3.share(features, inputs, output_stride)


def block_of(name):
    """Only the last layer of a block has the block's name; its other layers are like the block before it."""
    found = re.match(r"block\d+_\d+", name)
    return found and found[0]


def head(features, num_classes, variant):
    """The means and a linear layer."""
    return keras.layers.Dense(num_classes, name="predictions")(keras.layers.GlobalAveragePooling2D()(features["c5"]))


def stem(x, step, padded=False):
    """{"c1": .., "c2": .., "c3": ..}: up to the last block of 35x35.

    Here and below, `step(x, filters, kernel, **options)` is a convolution with batch norm and ReLU: `numbered`, or a network's
    own. `padded` keeps the pixels at the image's edge, so that the maps have exactly 1/2, 1/4 and 1/8 of its size.
    """
    padding = None if padded else 0
    x = step(x, 32, 3, stride=2, padding=padding)
    x = step(x, 32, 3, padding=padding)
    x = step(x, 64, 3)
    features = {"c1": x}
    x = step(_pool(x, padded), 80, 1)
    x = features["c2"] = step(x, 192, 3, padding=padding)

    x = _pool(x, padded)
    branches = chains(x, (((96, 1),), ((48, 1), (64, 5)), ((64, 1), (96, 3), (96, 3))), step)
    pool = keras.layers.AveragePooling2D(3, 1, padding="same")(x)  # the padding does not count in the means
    x = keras.layers.Concatenate()([*branches, step(pool, 64, 1)])
    for i in range(1, 11):
        x = residual(x, BLOCK_35, 0.17, f"block35_{i}", step)
    features["c3"] = x
    return features


def blocks_17(x, step, dilation=1):
    """The twenty blocks of 17x17."""
    for i in range(1, 21):
        x = residual(x, BLOCK_17, 0.1, f"block17_{i}", step, dilation)
    return x


def blocks_8(x, step, dilation=1):
    """The ten blocks of 8x8."""
    for i in range(1, 10):
        x = residual(x, BLOCK_8, 0.2, f"block8_{i}", step, dilation)
    return residual(x, BLOCK_8, 1.0, "block8_10", step, dilation, activate=False)


def reduce(x, branches, step, stride, dilation, padded=False):
    """Figures 7 and 18: the last convolution of every branch and a pool halve the resolution. `padded`: see `stem`."""
    outputs = []
    for *convolutions, (filters, kernel) in branches:
        (y,) = chains(x, (convolutions,), step, dilation)
        outputs.append(step(y, filters, kernel, stride=stride, dilation=dilation, padding=None if padded else 0))
    if stride > 1:
        return keras.layers.Concatenate()([*outputs, _pool(x, padded)])
    x = keras.layers.ZeroPadding2D(dilation)(x) if padded else x  # x comes from a ReLU
    return keras.layers.Concatenate()([*outputs, layers.dilated_max_pool(x, 3, dilation)])


def residual(x, branches, scale, name, step, dilation=1, activate=True):
    """Figures 16, 17 and 19: the branches' 1x1, scaled down, added to the input."""
    y = keras.layers.Concatenate()(chains(x, branches, step, dilation))
    y = layers.conv(y, x.shape[-1], 1, f"{name}_conv")
    x = keras.layers.Add()([x, y * scale])
    return layers.relu(x) if activate else x


def chains(x, branches, step, dilation=1):
    """For every branch its convolutions (channels, kernel), one after another."""
    outputs = []
    for convolutions in branches:
        y = x
        for filters, kernel in convolutions:
            y = step(y, filters, kernel, dilation=dilation)
        outputs.append(y)
    return outputs


def numbered(x, filters, kernel, names, **options):
    """A convolution, batch norm and ReLU with the next names."""
    return layers.conv_norm(x, filters, kernel, "", next(names), **NORM, **options)


def names():
    """The names of convolution and batch norm, with the numbers of Keras for unnamed layers: "", "_1", "_2" and so on."""
    for number in itertools.count():
        suffix = f"_{number}" if number else ""
        yield f"conv2d{suffix}", f"batch_normalization{suffix}"


def _pool(x, padded):
    """3x3 maxima with stride 2."""
    return layers.max_pool(x, 3, 2, padding=1, nonnegative=True) if padded else keras.layers.MaxPooling2D(3, 2)(x)
