"""FPN: the segmentation branch of Panoptic Feature Pyramid Networks, on any backbone.

Kirillov, Girshick, He, Dollar, CVPR 2019. https://arxiv.org/abs/1901.02446
Lin, Dollar, Girshick, He, Hariharan, Belongie, CVPR 2017, for the pyramid. https://arxiv.org/abs/1612.03144

The network of segmentation_models_pytorch (github.com/qubvel-org), whose weights fit. Its older form in Keras
(github.com/qubvel/segmentation_models) differs: two 3x3 with batch norm at every level, resized to the nearest pixel, and a
pyramid that begins with the backbone's last map added to its own projection. Two of its encoders differ from torchvision's
(models/_smp.py); weights on them need the backbones `efficientnet_b0_tf` (to b7) and `mobilenet_v2(last_convolution=True)`.
"""

import keras

from models import backbones, layers

REFERENCE = {
    "params": {"fpn": {12: 23_156_812}, 'fpn(backbone="resnet18")': {}},
    "macs": {"fpn": 643_203_072},
    "input": (64, 96, 3),
    "source": "qubvel-org/segmentation_models.pytorch decoders/fpn, run",
}

SIZE_MULTIPLE = 32  # the reference refuses others: a doubled map and the backbone's then disagree on the size

RENAMES = ((r"^(?!decoder|segmentation_head)", "encoder."),)

# The reference's init functions, of its decoder and of its head.
DECODER, HEAD = layers.kaiming_uniform("fan_in", bias=0.0), layers.xavier_uniform(bias=0.0)
AGGREGATIONS = {"sum": keras.layers.Add, "concat": keras.layers.Concatenate}
PYRAMID, SEGMENTATION, GROUPS = 256, 128, 32  # channels, channels, groups of the norm


@layers.initial_weights(DECODER)
def build(inputs, num_classes, *, backbone="resnet34", aggregation="sum"):
    """Figure 3: the pyramid of 1/4 to 1/32 of the resolution, every level of it brought to 1/4, and their sum.

    `backbone` is a spec of `models.backbones`. `aggregation` of the levels is "sum", or "concat" for maps side by side.
    """
    if aggregation not in AGGREGATIONS:
        raise ValueError(f"Expected aggregation: {', '.join(AGGREGATIONS)}. Received: {aggregation=}.")
    features = backbones.aligned(backbone, backbones.build(backbone, inputs), inputs)
    pyramid = feature_pyramid(features, backbones.strides(backbone))
    maps = [segmentation_branch(pyramid[i:], f"decoder.seg_blocks.{i}") for i in range(4)]
    x = layers.spatial_dropout(AGGREGATIONS[aggregation]()(maps), 0.2)
    x = layers.conv(x, num_classes, 1, "segmentation_head.0", initial=HEAD)
    return {"logits": layers.resize(x, like=inputs, align_corners=True)}


def feature_pyramid(features, strides):
    """Top-down, to the nearest pixel: [c5, c4, c3, c2], each brought to the same channels and added to the one before."""
    x = layers.conv(features["c5"], PYRAMID, 1, "decoder.p5")
    pyramid = [x]
    for above, level in (("c5", "c4"), ("c4", "c3"), ("c3", "c2")):
        skip = layers.conv(features[level], PYRAMID, 1, f"decoder.p{level[1]}.skip_conv")
        x = keras.layers.UpSampling2D(strides[above] // strides[level])(x)
        x = keras.layers.Add()([layers.fit(x, skip), skip])
        pyramid.append(x)
    return pyramid


def segmentation_branch(levels, name):
    """The first of the levels, brought to the size of each that follows, with a 3x3 before every step; at least one 3x3."""
    x, *following = levels
    for i in range(max(len(following), 1)):
        x = layers.conv(x, SEGMENTATION, 3, f"{name}.block.{i}.block.0", bias=False)
        x = layers.relu(keras.layers.GroupNormalization(GROUPS, epsilon=1e-5, name=f"{name}.block.{i}.block.1")(x))
        if following:
            x = layers.resize(x, like=following[i], align_corners=True)
    return x
