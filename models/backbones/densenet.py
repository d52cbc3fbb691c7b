"""DenseNet: Densely Connected Convolutional Networks.

Huang, Liu, van der Maaten, Weinberger, CVPR 2017. https://arxiv.org/abs/1608.06993

We build torchvision's form. The feature maps are the output of the stem, the normalised input of each transition, and the last.
"""

import dataclasses

import keras

from models import layers
from models.backbones import Weights

# Growth rate, layers of the four blocks, channels of the stem.
VARIANTS = {
    "densenet121": (32, (6, 12, 24, 16), 64),
    "densenet161": (48, (6, 12, 36, 24), 96),
    "densenet169": (32, (6, 12, 32, 32), 64),
    "densenet201": (32, (6, 12, 48, 32), 64),
}

INITIAL = layers.kaiming_normal("fan_in")

REFERENCE = {
    "densenet121": {"params": {1000: 7_978_856}, "macs": 521_396_000, "input": (96, 96, 3)},
    "densenet161": {"params": {1000: 28_681_000}, "macs": 1_421_210_000, "input": (96, 96, 3)},
    "densenet169": {"params": {1000: 14_149_480}, "macs": 618_472_000, "input": (96, 96, 3)},
    "densenet201": {"params": {1000: 20_013_928}, "macs": 789_777_000, "input": (96, 96, 3)},
}


# The files are older than torch's ban on dots in names: norm.1, conv.2.
_OLD_NAMES = ((r"(denselayer\d+\.(?:norm|conv))\.([12])", r"\1\2"),)
WEIGHTS = {
    "densenet121": Weights.torchvision("densenet121-a639ec97", 74.434, renames=_OLD_NAMES),
    "densenet161": Weights.torchvision("densenet161-8d451a50", 77.138, renames=_OLD_NAMES),
    "densenet169": Weights.torchvision("densenet169-b2777c0a", 75.600, renames=_OLD_NAMES),
    "densenet201": Weights.torchvision("densenet201-c1103571", 76.896, renames=_OLD_NAMES),
}

# Dilation changes the network: if a transition has no pool, its means are missing.
DILATION_KEEPS_FUNCTION = False


def channels(variant):
    """Of the five feature maps."""
    growth, blocks, features = VARIANTS[variant]
    sizes = [features]
    for block in blocks:
        sizes.append(features + block * growth)
        features = sizes[-1] // 2
    return {f"c{i + 1}": size for i, size in enumerate(sizes)}


def build(inputs, variant, output_stride=32, *, final_norm=True):
    """Table 1: a stem and four dense blocks. The transitions between them halve channels and resolution.

    As in DenseASPP (github.com/DeepMotionAIResearch/DenseASPP), a transition that must keep the resolution has no pool, and
    the whole block after it is dilated. Without `final_norm` c5 is the output of the last block.
    """
    growth, blocks, filters = VARIANTS[variant]
    x = layers.conv_norm(inputs, filters, 7, "features", ("conv0", "norm0"), stride=2)
    features = {"c1": x}
    x = layers.max_pool(x, 3, 2, padding=1, nonnegative=True)
    resolution, dilation = 4, 1
    for i, depth in enumerate(blocks, start=1):
        for j in range(1, depth + 1):
            x = dense_layer(x, f"features.denseblock{i}.denselayer{j}", growth, dilation)
        if i == len(blocks):
            break
        x = layers.relu(layers.batch_norm(x, f"features.transition{i}.norm"))
        features[f"c{i + 1}"] = x
        x = layers.conv(x, x.shape[-1] // 2, 1, f"features.transition{i}.conv", bias=False)
        if resolution < output_stride:
            x = keras.layers.AveragePooling2D(2)(x)
            resolution *= 2
        else:
            dilation *= 2
    return {**features, "c5": layers.relu(layers.batch_norm(x, "features.norm5")) if final_norm else x}


def head(features, num_classes, variant):
    """The mean over the image and a linear layer."""
    x = keras.layers.GlobalAveragePooling2D()(features["c5"])
    return layers.dense(x, num_classes, "classifier", initial=dataclasses.replace(layers.torch_default, bias=0.0))


def dense_layer(x, name, growth, dilation):
    """x and `growth` more channels, from a 1x1 with four times that width and a 3x3. Each norm comes before its convolution."""
    y = layers.relu(layers.batch_norm(x, f"{name}.norm1"))
    y = layers.conv_norm(y, 4 * growth, 1, name, ("conv1", "norm2"))
    y = layers.conv(y, growth, 3, f"{name}.conv2", dilation=dilation, bias=False)
    return keras.layers.Concatenate()([x, y])
