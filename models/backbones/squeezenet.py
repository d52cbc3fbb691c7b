"""SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size.

Iandola, Han, Moskewicz, Ashraf, Dally, Keutzer, 2016. https://arxiv.org/abs/1602.07360

We build torchvision's form. Its stride is only 16: c4 is its last pool and c5 is the output of the layers after it. The first
convolution is not padded and the pools round sizes up, so a feature map may differ by a pixel from its share of the image.
"""

import keras

from models import layers
from models.backbones import Weights, _dilation

# The first convolution's kernel and channels, and (index in torchvision's features, squeezed, expanded channels) of the fire
# modules between the pools.
VARIANTS = {
    "squeezenet1_0": (
        (7, 96),
        ((3, 16, 64), (4, 16, 64), (5, 32, 128)),
        ((7, 32, 128), (8, 48, 192), (9, 48, 192), (10, 64, 256)),
        ((12, 64, 256),),
    ),
    "squeezenet1_1": (
        (3, 64),
        ((3, 16, 64), (4, 16, 64)),
        ((6, 32, 128), (7, 32, 128)),
        ((9, 48, 192), (10, 48, 192), (11, 64, 256), (12, 64, 256)),
    ),
}

INITIAL = layers.kaiming_normal("fan_in", bias=0.0)  # He's, for the ReLU that follows every convolution

UNPADDED = True  # so feature maps are a few pixels smaller than their share of the image

REFERENCE = {
    "squeezenet1_0": {"params": {1000: 1_248_424}, "macs": 134_511_648, "input": (96, 96, 3)},
    "squeezenet1_1": {"params": {1000: 1_235_496}, "macs": 55_476_928, "input": (96, 96, 3)},
}


WEIGHTS = {
    "squeezenet1_0": Weights.torchvision("squeezenet1_0-b66bff10", 58.092),
    "squeezenet1_1": Weights.torchvision("squeezenet1_1-b8a52dc0", 58.178),
}


def channels(variant):
    """Of the five feature maps."""
    (_, stem), *stages = VARIANTS[variant]
    c2, c3, c5 = (2 * fires[-1][2] for fires in stages)
    return {"c1": stem, "c2": c2, "c3": c3, "c4": c3, "c5": c5}


def strides(variant):
    """Of the five feature maps."""
    return {"c1": 2, "c2": 4, "c3": 8, "c4": 16, "c5": 16}


def build(inputs, variant, output_stride=32):
    """Figure 2, left."""
    (kernel, filters), *stages = VARIANTS[variant]
    (_, *plan) = _dilation.plan((2, 2, 2, 2), output_stride)
    x = layers.relu(layers.conv(inputs, filters, kernel, "features.0", stride=2, padding=0))
    features = {"c1": x}
    for level, fires, (stride, _, dilation) in zip(("c2", "c3", "c5"), stages, plan, strict=True):
        x = pool(x, stride)
        if level == "c5":
            features["c4"] = x
        for index, squeezed, expanded in fires:
            x = fire(x, squeezed, expanded, f"features.{index}", dilation)
        features[level] = x
    return features


def head(features, num_classes, variant):
    """The means of the rectified logits of all pixels."""
    x = keras.layers.Dropout(0.5)(features["c5"])
    x = layers.relu(layers.conv(x, num_classes, 1, "classifier.1"))
    return keras.layers.GlobalAveragePooling2D()(x)


def pool(x, stride):
    """Maxima of 3x3; the size is rounded up. x comes from a ReLU, so padding with zeros is the same as with -inf."""
    x = keras.layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
    return keras.layers.MaxPooling2D(3, stride)(x)


def fire(x, squeezed, expanded, name, dilation):
    """Figure 1: squeezed by a 1x1, expanded by a 1x1 and a 3x3 side by side."""
    x = layers.relu(layers.conv(x, squeezed, 1, f"{name}.squeeze"))
    y = layers.conv(x, expanded, 3, f"{name}.expand3x3", dilation=dilation)
    x = layers.conv(x, expanded, 1, f"{name}.expand1x1")
    return layers.relu(keras.layers.Concatenate()([x, y]))
