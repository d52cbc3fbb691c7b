"""Inception-ResNet-v2: Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning.

Szegedy, Ioffe, Vanhoucke, Alemi, AAAI 2017. https://arxiv.org/abs/1602.07261

The function, the layer names and the weights of keras.applications.InceptionResNetV2. Layers that it leaves unnamed have the
names that Keras gives them in a fresh session: numbers in the order of their making, which is kept here. Convolutions with
stride and pools are not padded, so feature maps are smaller than their share of the image.
"""

import itertools

import keras

from models import layers
from models.backbones import Weights, _dilation, inception_v3

VARIANTS = {"inception_resnet_v2": ()}

INITIAL = layers.kaiming_normal("fan_in", bias=0.0)  # ours: its only published start is the trained weights

UNPADDED = True  # so feature maps are a few pixels smaller than their share of the image
LEAST = 75  # pixels of height and width, of which one is left at the end

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

# The residual blocks: convolutions (channels, kernel) of every branch, one after another.
BLOCK_35 = (((32, 1),), ((32, 1), (32, 3)), ((32, 1), (48, 3), (64, 3)))
BLOCK_17 = (((192, 1),), ((128, 1), (160, (1, 7)), (192, (7, 1))))
BLOCK_8 = (((192, 1),), ((192, 1), (224, (1, 3)), (256, (3, 1))))


def channels(variant):
    """Of the five feature maps."""
    return {"c1": 64, "c2": 192, "c3": 320, "c4": 1088, "c5": 1536}


def build(inputs, variant, output_stride=32):
    """Figure 15, with the stem of Inception v3."""
    *_, reduction_a, reduction_b = _dilation.plan((2, 2, 2, 2, 2), output_stride)
    numbers = itertools.count()
    x = layers.pad_to_multiple(inputs, 1, least=LEAST)
    x = numbered(x, 32, 3, numbers, stride=2, padding=0)
    x = numbered(x, 32, 3, numbers, padding=0)
    x = numbered(x, 64, 3, numbers)
    features = {"c1": x}
    x = numbered(keras.layers.MaxPooling2D(3, 2)(x), 80, 1, numbers)
    x = features["c2"] = numbered(x, 192, 3, numbers, padding=0)

    x = keras.layers.MaxPooling2D(3, 2)(x)
    branches = chains(x, (((96, 1),), ((48, 1), (64, 5)), ((64, 1), (96, 3), (96, 3))), numbers)
    pool = keras.layers.AveragePooling2D(3, 1, padding="same")(x)  # which does not count the padding
    x = keras.layers.Concatenate()([*branches, numbered(pool, 64, 1, numbers)])
    for i in range(1, 11):
        x = residual(x, BLOCK_35, 0.17, f"block35_{i}", numbers)
    features["c3"] = x

    branches = (((384, 3),), ((256, 1), (256, 3), (384, 3)))
    x = reduce(x, branches, numbers, *reduction_a[:2])
    for i in range(1, 21):
        x = residual(x, BLOCK_17, 0.1, f"block17_{i}", numbers, reduction_a[2])
    features["c4"] = x

    branches = (((256, 1), (384, 3)), ((256, 1), (288, 3)), ((256, 1), (288, 3), (320, 3)))
    x = reduce(x, branches, numbers, *reduction_b[:2])
    for i in range(1, 10):
        x = residual(x, BLOCK_8, 0.2, f"block8_{i}", numbers, reduction_b[2])
    x = residual(x, BLOCK_8, 1.0, "block8_10", numbers, reduction_b[2], activate=False)
    features["c5"] = layers.conv_norm(x, 1536, 1, "", ("conv_7b", "conv_7b_bn"), **NORM)
    return inception_v3.share(features, inputs, output_stride)


def head(features, num_classes, variant):
    """The means and a linear layer."""
    return keras.layers.Dense(num_classes, name="predictions")(keras.layers.GlobalAveragePooling2D()(features["c5"]))


def reduce(x, branches, numbers, stride, dilation):
    """Figures 7 and 18: to half the resolution, by the last convolution of every branch and by a pool."""
    outputs = []
    for *convolutions, (filters, kernel) in branches:
        (y,) = chains(x, (convolutions,), numbers, dilation)
        outputs.append(numbered(y, filters, kernel, numbers, stride=stride, dilation=dilation, padding=0))
    pool = layers.dilated_max_pool(x, 3, dilation) if stride == 1 else keras.layers.MaxPooling2D(3, stride)(x)
    return keras.layers.Concatenate()([*outputs, pool])


def residual(x, branches, scale, name, numbers, dilation=1, activate=True):
    """Figures 16, 17 and 19: the branches' 1x1, scaled down, added to the input."""
    y = keras.layers.Concatenate()(chains(x, branches, numbers, dilation))
    y = layers.conv(y, x.shape[-1], 1, f"{name}_conv")
    x = keras.layers.Add()([x, y * scale])
    return layers.relu(x) if activate else x


def chains(x, branches, numbers, dilation=1):
    """Every branch's convolutions (channels, kernel), one after another."""
    outputs = []
    for convolutions in branches:
        y = x
        for filters, kernel in convolutions:
            y = numbered(y, filters, kernel, numbers, dilation=dilation)
        outputs.append(y)
    return outputs


def numbered(x, filters, kernel, numbers, **options):
    """A convolution, batch norm and ReLU, named as Keras numbers what has no name: "", "_1", "_2" and so on."""
    number = next(numbers)
    suffix = f"_{number}" if number else ""
    entries = f"conv2d{suffix}", f"batch_normalization{suffix}"
    return layers.conv_norm(x, filters, kernel, "", entries, **NORM, **options)
