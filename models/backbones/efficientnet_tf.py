"""EfficientNet in TensorFlow's form: the authors' own networks.

Tan, Le, ICML 2019. https://arxiv.org/abs/1905.11946

Names are those of github.com/lukemelas/EfficientNet-PyTorch, which has the authors' weights; segmentation_models_pytorch takes
its encoders from there. Unlike in torchvision's form (efficientnet.py), epsilon of batch norm is 1e-3, and a convolution with
stride has the padding of TensorFlow's SAME at the size that the network was made for, whatever the size of the image. Of b0
all these sizes are even: there is one zero more after the map than before it, sizes are rounded down, and pixel i of a feature
map is centred on pixel 2i + 1 of the map before. The feature maps are those of segmentation_models_pytorch: c1 is the stem, and
c4 of b0 is the output of the first block with its channels, that of the others the last.
"""

import functools
import itertools
import math

import keras

from models import backbones, layers
from models.backbones import Weights, efficientnet

VARIANTS = {f"{name}_tf": variant for name, variant in efficientnet.VARIANTS.items()}
# The image's height and width that a network was made for: the table in section 4 of the authors' code.
SIZES = dict(zip(VARIANTS, (224, 240, 260, 300, 380, 456, 528, 600), strict=True))

REFERENCE = {"efficientnet_b0_tf": {"params": {1000: 5_288_548}, "macs": 72_420_832, "input": (96, 96, 3)}}


def _published(file):
    """The authors' weights with PyTorch's names; the repository states no score of its own for them."""
    url = f"https://github.com/lukemelas/EfficientNet-PyTorch/releases/download/1.0/{file}.pth"
    return Weights(url, file.rpartition("-")[2], None, "lukemelas/EfficientNet-PyTorch")


WEIGHTS = {
    "efficientnet_b0_tf": _published("efficientnet-b0-355c32eb"),
    "efficientnet_b1_tf": _published("efficientnet-b1-f1951068"),
    "efficientnet_b2_tf": _published("efficientnet-b2-8bb594d6"),
    "efficientnet_b3_tf": _published("efficientnet-b3-5fb5a3c3"),
    "efficientnet_b4_tf": _published("efficientnet-b4-6ed6700e"),
    "efficientnet_b5_tf": _published("efficientnet-b5-b6417697"),
    "efficientnet_b6_tf": _published("efficientnet-b6-c76e70fd"),
    "efficientnet_b7_tf": _published("efficientnet-b7-dcc49843"),
}

# The reference's names begin with an underscore, and TensorFlow does not save variables with such names.
RENAMES = (
    (r"^(encoder\.)?tf\.", r"\1"),
    (r"(_blocks\.\d+)\.fc1$", r"\1._se_reduce"),
    (r"(_blocks\.\d+)\.fc2$", r"\1._se_expand"),
)

# Dilation changes the network: at even sizes its numbers are not those of the strided network at every second pixel, because of
# the padding described above.
DILATION_KEEPS_FUNCTION = False

NORM = {"epsilon": 1e-3, "momentum": 0.99}
conv_norm = functools.partial(layers.conv_norm, activation="silu", **NORM)


def channels(variant):
    """Of the five feature maps."""
    width = VARIANTS[variant].width
    return {**efficientnet.channels_of(width), "c1": efficientnet.scaled(32, width)}


def build(inputs, variant, output_stride=32, *, dilate_first=False):
    """Table 1 up to its last stage.

    With `dilate_first` all blocks between two feature maps have the same dilation, as in segmentation_models_pytorch.
    """
    v, sizes = VARIANTS[variant], sizes_of(variant)
    where = {"stride": 2, "padding": 0}
    stem = pad(inputs, 3, SIZES[variant])
    stem = conv_norm(stem, efficientnet.scaled(32, v.width), 3, "tf", ("_conv_stem", "_bn0"), **where)
    depths = [math.ceil(repetitions * v.depth) for *_, repetitions in efficientnet.STAGES]
    ends = ends_of(variant, depths)
    features = {"c1": stem}

    def next_block(x, stage, i, done, expansion, kernel, filters, stride, dilation, drop):
        level = next(level for level, end in ends.items() if done < end)
        if dilate_first:
            dilation = max(backbones.STRIDES[level] // output_stride, 1)
        where = {"stride": stride, "dilation": dilation}
        x = block(x, expansion, kernel, filters, f"tf._blocks.{done}", where, sizes[stage - 1], drop)
        features[level] = x
        return x

    efficientnet.stages(stem, v.width, depths, output_stride, next_block)
    return features


def ends_of(variant, depths):
    """{"c2": number of blocks up to it, .. "c5": ..}."""
    blocks = list(itertools.accumulate(depths))
    ends = {"c2": blocks[1], "c3": blocks[2], "c4": blocks[4], "c5": blocks[6]}
    return {**ends, "c4": 9} if variant == "efficientnet_b0_tf" else ends


def sizes_of(variant):
    """The height and width that a network was made for, of the map before each stage."""
    sizes = [-(-SIZES[variant] // 2)]
    for _, _, stride, _, _ in efficientnet.STAGES:
        sizes.append(-(-sizes[-1] // stride))
    return sizes


def pad(x, kernel, size):
    """The zeros around x that TensorFlow's SAME needs for a convolution with stride 2 of `size` pixels."""
    total = kernel - 2 + size % 2
    amounts = (total // 2, total - total // 2)
    return keras.layers.ZeroPadding2D((amounts, amounts))(x)


def head(features, num_classes, variant):
    """A 1x1 to four times the channels, their means and a linear layer."""
    x = conv_norm(features["c5"], 4 * features["c5"].shape[-1], 1, "tf", ("_conv_head", "_bn1"))
    x = keras.layers.Dropout(VARIANTS[variant].dropout)(keras.layers.GlobalAveragePooling2D()(x))
    return layers.dense(x, num_classes, "tf._fc")


def block(x, expansion, kernel, filters, name, where, size, drop):
    """MBConv: widened by a 1x1, a depthwise convolution, squeeze and excitation, narrowed by a linear 1x1.

    `where` has the stride and the dilation of the depthwise convolution, `size` is that of its map in `sizes_of`.
    """
    y = x
    if expansion > 1:
        y = conv_norm(y, x.shape[-1] * expansion, 1, name, ("_expand_conv", "_bn0"))
    stride = where["stride"]
    if stride > 1:
        y, where = pad(y, kernel, size), {**where, "padding": 0}
    y = layers.depthwise_conv_norm(y, kernel, name, ("_depthwise_conv", "_bn1"), "silu", **where, **NORM)
    y = layers.squeeze_excite(y, max(1, x.shape[-1] // 4), name, activation="silu")
    y = conv_norm(y, filters, 1, name, ("_project_conv", "_bn2"), activation=None)
    # A block with stride never adds its input, also if dilation replaced the stride, because its channels always change.
    if stride > 1 or x.shape[-1] != filters:
        return y
    return keras.layers.Add()([x, layers.stochastic_depth(y, drop)])
