"""Xception: Deep Learning with Depthwise Separable Convolutions.

Chollet, CVPR 2017. https://arxiv.org/abs/1610.02357

It has the function, the layer names and the weights of keras.applications.Xception. Layers without a name there have the names
that Keras gives them in a fresh session. At a stride, the window of the pool and the pixel of the 1x1 beside it have different
centres, so no dilation can compute the same. For dilation use `xception65`, DeepLab's aligned form.
"""

import re

import keras

from models import layers
from models.backbones import Weights, _dilation

VARIANTS = {"xception": ()}

INITIAL = layers.kaiming_normal("fan_in", bias=0.0)  # ours: its only published start is the trained weights

UNPADDED = True  # so feature maps are a few pixels smaller than their share of the image

OUTPUT_STRIDES = (32,)

NORMALIZATION = "affine(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))"

NORM = {"epsilon": 1e-3, "momentum": 0.99}  # Keras' own

APPLICATION = "Xception"  # of keras.applications

REFERENCE = {"xception": {"params": {1000: 22_855_952}}}

WEIGHTS = {
    "xception": Weights(
        "https://storage.googleapis.com/tensorflow/keras-applications/xception/"
        "xception_weights_tf_dim_ordering_tf_kernels.h5",
        "",
        79.0,
        "keras.applications",
        md5="0a58e3b7378bc2990ea3b43d5981f1f6",
    )
}


def channels(variant):
    """Of the five feature maps."""
    return {"c1": 64, "c2": 128, "c3": 256, "c4": 728, "c5": 2048}


def build(inputs, variant, output_stride=32):
    """Figure 5."""
    _dilation.refuse(output_stride, variant, "its pools are not centred, xception65 is the form for dilation")
    x = layers.conv_norm(inputs, 32, 3, "", ("block1_conv1", "block1_conv1_bn"), stride=2, padding=0, **NORM)
    x = layers.conv_norm(x, 64, 3, "", ("block1_conv2", "block1_conv2_bn"), padding=0, **NORM)
    features = {"c1": x}
    x = features["c2"] = entry(x, 128, 2, relu_first=False)
    x = features["c3"] = entry(x, 256, 3)
    x = entry(x, 728, 4)
    for i in range(5, 13):
        y = x
        for j in (1, 2, 3):
            y = separable(layers.relu(y), 728, f"block{i}_sepconv{j}")
        x = keras.layers.Add()([y, x])
    features["c4"] = x
    x = entry(x, 1024, 13, first=728)
    x = layers.relu(separable(x, 1536, "block14_sepconv1"))
    features["c5"] = layers.relu(separable(x, 2048, "block14_sepconv2"))
    return features


def block_of(name):
    """A shortcut has no number, and is like the block before it."""
    found = re.match(r"block\d+", name)
    return found and found[0]


def head(features, num_classes, variant):
    """The means and a linear layer."""
    return keras.layers.Dense(num_classes, name="predictions")(keras.layers.GlobalAveragePooling2D()(features["c5"]))


def entry(x, filters, number, first=None, relu_first=True):
    """Two separable convolutions and a pool, added to a 1x1 with stride 2."""
    shortcut = {2: "", 3: "_1", 4: "_2", 13: "_3"}[number]
    entries = f"conv2d{shortcut}", f"batch_normalization{shortcut}"
    residual = layers.conv_norm(x, filters, 1, "", entries, activation=None, stride=2, **NORM)
    x = separable(layers.relu(x) if relu_first else x, first or filters, f"block{number}_sepconv1")
    x = separable(layers.relu(x), filters, f"block{number}_sepconv2")
    return keras.layers.Add()([keras.layers.MaxPooling2D(3, 2, padding="same")(x), residual])


def separable(x, filters, name):
    """A depthwise 3x3, a 1x1 and batch norm."""
    depthwise, _ = INITIAL.start(fan_in=9, fan_out=9 * x.shape[-1])
    pointwise, _ = INITIAL.start(fan_in=x.shape[-1], fan_out=filters)
    x = keras.layers.SeparableConv2D(
        filters,
        3,
        padding="same",
        use_bias=False,
        depthwise_initializer=depthwise,
        pointwise_initializer=pointwise,
        name=name,
    )(x)
    return layers.batch_norm(x, f"{name}_bn", **NORM)
