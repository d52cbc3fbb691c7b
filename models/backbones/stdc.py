"""STDC: the backbone of Rethinking BiSeNet For Real-time Semantic Segmentation; a block keeps the maps of all its steps.

Fan, Lai, Huang, Wei, Chai, Luo, Wei, CVPR 2021. https://arxiv.org/abs/2104.13188

The authors' github.com/MichaelFan01/STDC-Seg (nets/stdcnet.py). Their ImageNet weights lie in a shared folder of Google Drive,
from where they are not downloaded here; --init_from takes the file.
"""

import keras

from models import layers
from models.backbones import _dilation

# STDC blocks in the stages at 1/8, 1/16 and 1/32.
VARIANTS = {"stdc1": (2, 2, 2), "stdc2": (4, 5, 3)}

INITIAL = layers.kaiming_normal("fan_out", bias=0.0)
LINEAR = layers.normal(0.001, bias=0.0)

STEPS = 4  # convolutions in a block
OUTPUT_STRIDES = (32,)


def channels(variant):
    """Of the five feature maps."""
    return {"c1": 32, "c2": 64, "c3": 256, "c4": 512, "c5": 1024}


def build(inputs, variant, output_stride=32):
    """Table 2: two 3x3 with stride, then three stages of STDC blocks."""
    _dilation.refuse(output_stride, "stdc", "the average pool beside a block's stride has no dilated form")
    x = conv_norm_relu(inputs, 32, 3, "features.0", stride=2)
    features = {"c1": x}
    x = features["c2"] = conv_norm_relu(x, 64, 3, "features.1", stride=2)
    for i, (stage, first) in numbered(variant):
        x = features[f"c{stage}"] = block(x, channels(variant)[f"c{stage}"], f"features.{i}", stride=2 if first else 1)
    return features


def numbered(variant):
    """(number of the block in `features`, (level of its stage, whether it is the first there)) of each block."""
    blocks = [(stage, not i) for stage, depth in enumerate(VARIANTS[variant], start=3) for i in range(depth)]
    return list(enumerate(blocks, start=2))


def head(features, num_classes, variant):
    """The authors' classifier: a 1x1, squared, its mean over the image, a hidden layer, the classes."""
    x = conv_norm_relu(features["c5"], 1024, 1, "conv_last")
    x = keras.layers.GlobalAveragePooling2D(keepdims=True)(keras.ops.square(x))
    x = layers.relu(layers.conv(x, 1024, 1, "fc", bias=False, initial=LINEAR))
    x = layers.conv(keras.layers.Dropout(0.2)(x), num_classes, 1, "linear", bias=False, initial=LINEAR)
    return keras.layers.Flatten()(x)


def block(x, filters, name, stride=1):
    """Figure 3: a 1x1 and three 3x3, each half as wide as the one before, side by side.

    A stride is in a depthwise convolution after the 1x1; beside it the map of the 1x1 is averaged.
    """
    width = filters // 2
    x = conv_norm_relu(x, width, 1, f"{name}.conv_list.0")
    maps = [x]
    if stride == 2:
        maps = [layers.average_pool(x, 3, 2, padding=1)]
        x = layers.depthwise_conv_norm(x, 3, f"{name}.avd_layer", activation=None, stride=2)
    for step in range(1, STEPS):
        width = width // 2 if step < STEPS - 1 else width
        x = conv_norm_relu(x, width, 3, f"{name}.conv_list.{step}")
        maps.append(x)
    return keras.layers.Concatenate()(maps)


def conv_norm_relu(x, filters, kernel, name, **options):
    """A convolution, batch norm, ReLU."""
    return layers.conv_norm(x, filters, kernel, name, ("conv", "bn"), **options)
