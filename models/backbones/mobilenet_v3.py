"""MobileNetV3: Searching for MobileNetV3.

Howard, Sandler, Chu, Chen, Chen, Tan, Wang, Zhu, Pang, Vasudevan, Le, Adam, ICCV 2019. https://arxiv.org/abs/1905.02244

We build torchvision's form: every padding is symmetric, epsilon of batch norm is 1e-3. c5 is the output of the last 1x1, which
the paper's segmentation decoder and torchvision's segmentation networks use.
"""

import keras

from models import layers
from models.backbones import Weights, _dilation

# Tables 1 and 2: kernel, width of the middle, channels, squeeze-and-excitation, non-linearity, stride.
RELU, SWISH = "relu", "hard_silu"
LARGE = (
    (3, 16, 16, False, RELU, 1),
    (3, 64, 24, False, RELU, 2),
    (3, 72, 24, False, RELU, 1),
    (5, 72, 40, True, RELU, 2),
    (5, 120, 40, True, RELU, 1),
    (5, 120, 40, True, RELU, 1),
    (3, 240, 80, False, SWISH, 2),
    (3, 200, 80, False, SWISH, 1),
    (3, 184, 80, False, SWISH, 1),
    (3, 184, 80, False, SWISH, 1),
    (3, 480, 112, True, SWISH, 1),
    (3, 672, 112, True, SWISH, 1),
    (5, 672, 160, True, SWISH, 2),
    (5, 960, 160, True, SWISH, 1),
    (5, 960, 160, True, SWISH, 1),
)
SMALL = (
    (3, 16, 16, True, RELU, 2),
    (3, 72, 24, False, RELU, 2),
    (3, 88, 24, False, RELU, 1),
    (5, 96, 40, True, SWISH, 2),
    (5, 240, 40, True, SWISH, 1),
    (5, 240, 40, True, SWISH, 1),
    (5, 120, 48, True, SWISH, 1),
    (5, 144, 48, True, SWISH, 1),
    (5, 288, 96, True, SWISH, 2),
    (5, 576, 96, True, SWISH, 1),
    (5, 576, 96, True, SWISH, 1),
)

# The rows, and the width of the classifier's hidden layer.
VARIANTS = {"mobilenet_v3_large": (LARGE, 1280), "mobilenet_v3_small": (SMALL, 1024)}

INITIAL = layers.kaiming_normal("fan_out", bias=0.0)
LINEAR = layers.normal(0.01, bias=0.0)

REFERENCE = {
    "mobilenet_v3_large": {"params": {1000: 5_483_032}, "macs": 43_060_160, "input": (96, 96, 3)},
    "mobilenet_v3_small": {"params": {1000: 2_542_856}, "macs": 12_071_360, "input": (96, 96, 3)},
}

WEIGHTS = {
    "mobilenet_v3_large": Weights.torchvision("mobilenet_v3_large-5c1a4163", 75.274, "V2"),
    "mobilenet_v3_small": Weights.torchvision("mobilenet_v3_small-047dcff4", 67.668),
}

NORM = {"epsilon": 1e-3, "momentum": 0.99}


def channels(variant):
    """Of the five feature maps."""
    if variant == "mobilenet_v3_small":
        return {"c1": 16, "c2": 16, "c3": 24, "c4": 48, "c5": 576}
    return {"c1": 16, "c2": 24, "c3": 40, "c4": 112, "c5": 960}


def build(inputs, variant, output_stride=32, *, first_of_stage=False, dilate_first=False):
    """Tables 1 and 2 up to their last 1x1 before the pool; a feature map is the last one of its resolution.

    torchvision's segmentation networks take the first one instead (`first_of_stage`), and where a block loses its stride, they
    dilate this block like those after it (`dilate_first`).
    """
    rows, _ = VARIANTS[variant]
    (_, *plan) = _dilation.plan((2, *(stride for *_, stride in rows)), output_stride)
    x = layers.conv_norm(inputs, 16, 3, "features.0", activation=SWISH, stride=2, **NORM)
    features, level = {"c1": x}, 1
    for i, (row, (stride, before, dilation)) in enumerate(zip(rows, plan, strict=True), start=1):
        kernel, width, filters, excite, activation, nominal = row
        level += nominal > 1
        dilation = dilation if dilate_first else before
        x = block(x, kernel, width, filters, excite, activation, f"features.{i}.block", nominal, stride, dilation)
        if nominal > 1 or not first_of_stage:
            features[f"c{level}"] = x
    features["c5"] = layers.conv_norm(x, 6 * x.shape[-1], 1, f"features.{len(rows) + 1}", activation=SWISH, **NORM)
    return features


def head(features, num_classes, variant):
    """The means, a hidden layer and a linear layer."""
    x = keras.layers.GlobalAveragePooling2D()(features["c5"])
    x = layers.dense(x, VARIANTS[variant][1], "classifier.0", SWISH, initial=LINEAR)
    return layers.dense(keras.layers.Dropout(0.2)(x), num_classes, "classifier.3", initial=LINEAR)


def block(x, kernel, width, filters, excite, activation, name, nominal, stride, dilation):
    """Figure 4: widened by a 1x1, a depthwise convolution, squeeze and excitation, narrowed by a linear 1x1."""
    y, i = x, 0
    if width != x.shape[-1]:
        y, i = layers.conv_norm(y, width, 1, f"{name}.0", activation=activation, **NORM), 1
    where = {"stride": stride, "dilation": dilation}
    y = layers.depthwise_conv_norm(y, kernel, f"{name}.{i}", activation=activation, **where, **NORM)
    if excite:
        squeezed = divisible(width // 4)
        y = layers.squeeze_excite(y, squeezed, f"{name}.{i + 1}", gate="hard_sigmoid")
    i += 2 if excite else 1
    y = layers.conv_norm(y, filters, 1, f"{name}.{i}", activation=None, **NORM)
    return keras.layers.Add()([x, y]) if nominal == 1 and x.shape[-1] == filters else y


def divisible(channels):
    """The nearest multiple of 8 that is at least 0.9 of `channels`."""
    rounded = max(8, (channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8
