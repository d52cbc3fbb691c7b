"""MobileNetV2: Inverted Residuals and Linear Bottlenecks.

Sandler, Howard, Zhu, Zhmoginov, Chen, CVPR 2018. https://arxiv.org/abs/1801.04381

We build torchvision's form: every padding is symmetric. c5 has the 320 channels of the last bottleneck, which the paper's
section 6.2 and DeepLab use; the 1x1 to 1280 channels belongs to the classifier.
"""

import keras

from models import layers
from models.backbones import Weights, _dilation

# Table 2: expansion, channels, repetitions, stride.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))

WIDEST = 1280  # channels of the last convolution

VARIANTS = {"mobilenet_v2": STAGES}

INITIAL = layers.kaiming_normal("fan_out", bias=0.0)

REFERENCE = {"mobilenet_v2": {"params": {1000: 3_504_872}, "macs": 56_289_152, "input": (96, 96, 3)}}

WEIGHTS = {"mobilenet_v2": Weights.torchvision("mobilenet_v2-7ebf99e0", 72.154, "V2")}


def channels(variant):
    """Of the five feature maps."""
    return {"c1": 16, "c2": 24, "c3": 32, "c4": 96, "c5": 320}


def build(inputs, variant, output_stride=32, *, pad_first=False, dilate_first=False, last_convolution=False):
    """Table 2 without its last rows; a feature map is the last one of its resolution.

    With `pad_first` the first convolution is unpadded, and a block pads its own input instead of the input of its depthwise
    convolution, so that the 1x1 and its batch norm change the zeros. This is the MobileNetV2 of the DeepLabs in
    VainF/DeepLabV3Plus-Pytorch. `dilate_first` dilates a block that loses its stride like those after it, and with
    `last_convolution` c5 is the 1x1 to 1280 channels; both as in segmentation_models_pytorch.
    """
    features, level = {}, 0
    for x, stride in blocks(inputs, variant, output_stride, pad_first, dilate_first):
        level += stride > 1
        features[f"c{level}"] = x
    if last_convolution:
        features["c5"] = widen(x)
    return features


def blocks(inputs, variant, output_stride=32, pad_first=False, dilate_first=False):
    """(output, stride in the paper) of torchvision's features.0 to features.17, in order."""
    stages = VARIANTS[variant]
    (_, *plan) = _dilation.plan((2, *(stride for *_, stride in stages)), output_stride)
    where = {"stride": 2, "padding": 0 if pad_first else None}
    x = layers.conv_norm(inputs, 32, 3, "features.0", activation=layers.relu6, **where)
    outputs = [(x, 2)]
    for (expansion, filters, repetitions, nominal), (stride, first, dilation) in zip(stages, plan, strict=True):
        first = dilation if dilate_first else first
        for i in range(repetitions):
            name = f"features.{len(outputs)}.conv"
            x = block(x, filters, expansion, name, *((stride, first) if i == 0 else (1, dilation)), pad_first)
            outputs.append((x, 1 if i else nominal))
    return outputs


def head(features, num_classes, variant):
    """1280 channels, their means and a linear layer."""
    x = features["c5"]
    x = x if x.shape[-1] == WIDEST else widen(x)  # `build` has widened it with `last_convolution`
    x = keras.layers.Dropout(0.2)(keras.layers.GlobalAveragePooling2D()(x))
    return layers.dense(x, num_classes, "classifier.1", initial=layers.normal(0.01, bias=0.0))


def widen(x):
    """The last convolution."""
    return layers.conv_norm(x, WIDEST, 1, "features.18", activation=layers.relu6)


def block(x, filters, expansion, name, stride=1, dilation=1, pad_first=False):
    """Figure 4: widened by a 1x1, a depthwise 3x3, narrowed by a linear 1x1; added to the input if shapes agree."""
    y, i = keras.layers.ZeroPadding2D(dilation)(x) if pad_first else x, 0
    if expansion > 1:
        y, i = layers.conv_norm(y, x.shape[-1] * expansion, 1, f"{name}.0", activation=layers.relu6), 1
    where = {"stride": stride, "dilation": dilation, "padding": 0 if pad_first else None}
    y = layers.depthwise_conv_norm(y, 3, f"{name}.{i}", activation=layers.relu6, **where)
    y = layers.conv_norm(y, filters, 1, name, (i + 1, i + 2), activation=None)
    # A block with stride never adds its input, also if dilation replaced the stride, because its channels always change.
    return keras.layers.Add()([x, y]) if stride == 1 and x.shape[-1] == filters else y
