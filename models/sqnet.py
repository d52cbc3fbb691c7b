"""SQNet: Speeding up Semantic Segmentation for Autonomous Driving.

Treml et al., NIPS Workshop on Machine Learning for Intelligent Transportation Systems 2016.
https://openreview.net/pdf?id=S1uHiFyyg

The network of pytorchcv (github.com/osmr/pytorchcv), whose weights fit. Like all others, its last layer ends with an ELU, so no
logit is below -1. The parallel dilated convolutions have their ELUs before the sum.
"""

import keras

from models import layers

REFERENCE = {
    "params": {"sqnet": {12: 16_250_668, 19: 16_262_771}},
    "macs": {"sqnet": 1_667_481_600},
    "input": (64, 96, 3),
    "source": "osmr/pytorchcv pytorchcv/models/sqnet.py, run",
    "published": "Cityscapes test 59.8 (zh320's README)",
    "scores": {
        "Cityscapes test": {"sqnet": 59.8},
    },
}

SIZE_MULTIPLE = 16  # the reference refuses others, because the maps of decoder and encoder then differ in size

DILATIONS = (1, 2, 3, 4)


@layers.initial_weights(layers.kaiming_uniform("fan_in", bias=0.0))
def build(inputs, num_classes):
    """SqueezeNet's modules, parallel dilated convolutions, and a decoder with refined bypasses; ELU everywhere."""
    x = conv(inputs, 96, 3, "stem.conv", stride=2)
    skips = []
    for stage, (filters, units) in enumerate(((128, 2), (256, 2), (512, 3)), start=1):
        skips.append(x)
        x = layers.max_pool(x, 2)
        for unit in range(2, units + 2):  # unit1 is the pool
            x = fire(x, filters, f"hg.down_seq.down{stage}.unit{unit}")

    x = keras.layers.Add()(
        [
            conv(x, 512, 3, f"hg.up_seq.up1.conv.branches.branch{i}.conv", dilation=dilation)
            for i, dilation in enumerate(DILATIONS, start=1)
        ]
    )
    x = double(x, 256, "hg.up_seq.up1.deconv.conv")
    x = bypass(x, skips[2], "hg.skip_seq.skip3.conv")
    x = refine(x, 128, "hg.up_seq.up2")
    x = bypass(x, skips[1], "hg.skip_seq.skip2.conv")
    x = refine(x, 96, "hg.up_seq.up3")
    x = bypass(x, skips[0], "hg.skip_seq.skip1.conv")
    return {"logits": refine(x, num_classes, "head")}


def fire(x, filters, name):
    """1x1 to an eighth of the filters; then one half of the filters from a 1x1 and one half from a 3x3."""
    x = conv(x, filters // 8, 1, f"{name}.conv.conv")
    halves = [layers.conv(x, filters // 2, 2 * i - 1, f"{name}.branches.branch{i}.conv") for i in (1, 2)]
    return elu(keras.layers.Concatenate()(halves))


def bypass(x, skip, name):
    """x with the encoder's map of the same resolution, which goes through a 3x3."""
    return keras.layers.Concatenate()([x, conv(skip, skip.shape[-1], 3, name)])


def refine(x, filters, name):
    """3x3, then to double the resolution."""
    return double(conv(x, x.shape[-1], 3, f"{name}.conv.conv"), filters, f"{name}.deconv.conv")


def double(x, filters, name):
    """A transposed 3x3 of stride 2."""
    return elu(layers.transposed_conv(x, filters, 3, name, padding=1, output_padding=1))


def conv(x, filters, kernel, name, **options):
    """A convolution with its ELU."""
    return elu(layers.conv(x, filters, kernel, name, **options))


def elu(x):
    """x if it is positive, otherwise exp(x) - 1."""
    return keras.layers.ELU()(x)
