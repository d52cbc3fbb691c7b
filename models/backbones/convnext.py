"""ConvNeXt: A ConvNet for the 2020s.

Liu, Mao, Wu, Feichtenhofer, Darrell, Xie, CVPR 2022. https://arxiv.org/abs/2201.03545

We build torchvision's form. The stem has stride 4, so its output c1 is at 1/4 of the resolution, like c2. Downsampling rounds
sizes down.
"""

import dataclasses

import keras

from models import layers
from models.backbones import Weights, _dilation

# Also for linear layers. The reference cuts the normal distribution at -2 and 2, but that is a hundred deviations away.
INITIAL = layers.normal(0.02, bias=0.0)
LAYER_SCALE = 1e-6
EPSILON = 1e-6


@dataclasses.dataclass(frozen=True)
class Variant:
    """Section 3, and the rate of stochastic depth of the last block; it rises linearly from 0."""

    widths: tuple
    depths: tuple
    stochastic_depth: float


VARIANTS = {
    "convnext_tiny": Variant((96, 192, 384, 768), (3, 3, 9, 3), 0.1),
    "convnext_small": Variant((96, 192, 384, 768), (3, 3, 27, 3), 0.4),
    "convnext_base": Variant((128, 256, 512, 1024), (3, 3, 27, 3), 0.5),
    "convnext_large": Variant((192, 384, 768, 1536), (3, 3, 27, 3), 0.5),
}

REFERENCE = {
    "convnext_tiny": {"params": {1000: 28_589_128}, "macs": 818_989_824, "input": (96, 96, 3)},
    "convnext_small": {"params": {1000: 50_223_688}, "macs": 1_595_594_496, "input": (96, 96, 3)},
    "convnext_base": {"params": {1000: 88_591_464}, "macs": 2_821_092_352, "input": (96, 96, 3)},
    "convnext_large": {"params": {1000: 197_767_336}, "macs": 6_312_537_600, "input": (96, 96, 3)},
}


WEIGHTS = {
    "convnext_tiny": Weights.torchvision("convnext_tiny-983f1562", 82.520),
    "convnext_small": Weights.torchvision("convnext_small-0c510722", 83.616),
    "convnext_base": Weights.torchvision("convnext_base-6075fbad", 84.062),
    "convnext_large": Weights.torchvision("convnext_large-ea097f82", 84.414),
}


def channels(variant):
    """Of the five feature maps."""
    widths = VARIANTS[variant].widths
    return dict(zip(("c1", "c2", "c3", "c4", "c5"), (widths[0], *widths), strict=True))


def strides(variant):
    """Of the five feature maps."""
    return {"c1": 4, "c2": 4, "c3": 8, "c4": 16, "c5": 32}


def build(inputs, variant, output_stride=32, *, stochastic_depth=None):
    """Figure 4, right: a stem of 4x4 patches and four stages.

    `stochastic_depth` is the last block's rate, by default the variant's.
    """
    v = VARIANTS[variant]
    rate = v.stochastic_depth if stochastic_depth is None else stochastic_depth
    plan = _dilation.plan((4, 2, 2, 2), output_stride)
    x = layers.conv(inputs, v.widths[0], 4, "features.0.0", stride=4, padding=0)
    x = norm(x, "features.0.1")
    features, done = {"c1": x}, 0
    for stage, (width, depth, (stride, first, dilation)) in enumerate(zip(v.widths, v.depths, plan, strict=True)):
        if stage:
            x = downsample(norm(x, f"features.{2 * stage}.0"), width, f"features.{2 * stage}.1", stride, first)
        for i in range(depth):
            drop = rate * done / (sum(v.depths) - 1)
            x = block(x, f"features.{2 * stage + 1}.{i}", dilation, drop)
            done += 1
        features[f"c{stage + 2}"] = x
    return features


def block_of(name):
    """As the authors divide it (semantic_segmentation/mmcv_custom/layer_decay_optimizer_constructor.py of their repository).

    A stage with the downsampling before it is one block, except that the third has one for every three blocks.
    """
    _, part, i = name.split(".")[:3]
    if part == "0":
        return None
    return f"{int(part) // 2 + 1}.{int(i) // 3 if part == '5' else 0}"


def head(features, num_classes, variant):
    """The means, a layer norm and a linear layer."""
    x = norm(keras.layers.GlobalAveragePooling2D()(features["c5"]), "classifier.0")
    return layers.dense(x, num_classes, "classifier.2", initial=INITIAL)


def downsample(x, width, name, stride, dilation):
    """2x2 patches. Without stride a patch begins at every pixel, and zeros follow the last row and column."""
    if stride == 1:
        x = keras.layers.ZeroPadding2D(((0, dilation), (0, dilation)))(x)
    return layers.conv(x, width, 2, name, stride=stride, dilation=dilation, padding=0)


def block(x, name, dilation, drop):
    """Figure 4: a depthwise 7x7, layer norm, and a hidden layer of four times the width at every pixel, added to the input."""
    width = x.shape[-1]
    y = layers.depthwise_conv(x, 7, f"{name}.block.0", dilation=dilation)
    y = norm(y, f"{name}.block.2")
    y = layers.dense(y, 4 * width, f"{name}.block.3", "gelu", initial=INITIAL)
    y = layers.dense(y, width, f"{name}.block.5", initial=INITIAL)
    y = layers.LayerScale(LAYER_SCALE, name=f"{name}.layer_scale")(y)
    return keras.layers.Add()([x, layers.stochastic_depth(y, drop)])


def norm(x, name):
    """Layer norm over the channels of every pixel."""
    return keras.layers.LayerNormalization(epsilon=EPSILON, name=name)(x)
