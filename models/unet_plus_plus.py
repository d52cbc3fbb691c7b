"""UNet++: A Nested U-Net Architecture for Medical Image Segmentation.

Zhou, Siddiquee, Tajbakhsh, Liang, DLMIA 2018; IEEE Transactions on Medical Imaging 39(6), 2020. https://arxiv.org/abs/1807.10165

The network of segmentation_models_pytorch (github.com/qubvel-org), whose weights fit: on any backbone, without the paper's deep
supervision.
"""

import itertools

import keras

from models import backbones, layers
from models.fpn import DECODER, HEAD
from models.unet import two_convolutions

REFERENCE = {
    "params": {"unet_plus_plus": {12: 26_080_204}, 'unet_plus_plus(backbone="resnet18")': {12: 15_972_044}},
    "macs": {'unet_plus_plus(backbone="resnet18")': 1_506_705_408},
    "input": (64, 96, 3),
    "source": "qubvel-org/segmentation_models.pytorch decoders/unetplusplus, run",
}

SIZE_MULTIPLE = 32  # the reference refuses others: a doubled map and the backbone's then disagree on the size

RENAMES = ((r"^(?!decoder|segmentation_head)", "encoder."),)

WIDTHS = (256, 128, 64, 32, 16)


@layers.initial_weights(DECODER)
def build(inputs, num_classes, *, backbone="resnet34"):
    """Figure 1a: between the way down and the way up there is a node for each pair of levels, which sees all nodes left of it.

    `backbone` is a spec of `models.backbones`.
    """
    features = backbones.aligned(backbone, backbones.build(backbone, inputs), inputs)
    strides = {"c0": 1, **backbones.strides(backbone)}
    levels = [f"c{5 - i}" for i in range(6)]  # from the deepest up to the image
    factors = [strides[below] // strides[level] for below, level in itertools.pairwise(levels)]
    maps = [features[level] for level in levels[:-1]]

    # nodes[i, j] is the reference's x_i_j: it doubles what began i levels above the deepest map, up to the level j + 1.
    nodes = {}
    for span in range(4):
        for i in range(4 - span):
            j = i + span
            below = nodes[i, j - 1] if span else maps[i]
            skips = [nodes[k, j] for k in range(i + 1, j + 1)] + [maps[j + 1]]
            width = WIDTHS[j] if i == 0 else maps[j + 1].shape[-1]
            nodes[i, j] = node(below, skips, width, factors[j], f"decoder.blocks.x_{i}_{j}")
    x = keras.layers.UpSampling2D(factors[4])(nodes[0, 3])
    x = two_convolutions(layers.fit(x, inputs), "decoder.blocks.x_0_4", WIDTHS[4])
    return {"logits": layers.conv(x, num_classes, 3, "segmentation_head.0", initial=HEAD)}


def node(below, skips, width, factor, name):
    """Nearest pixel to the size of the skips, beside them, two 3x3."""
    x = layers.fit(keras.layers.UpSampling2D(factor)(below), skips[-1])
    return two_convolutions(keras.layers.Concatenate()([x, *skips]), name, width)
