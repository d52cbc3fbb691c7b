"""STDC-Seg: Rethinking BiSeNet For Real-time Semantic Segmentation.

Fan, Lai, Huang, Wei, Chai, Luo, Wei, CVPR 2021. https://arxiv.org/abs/2104.13188

The authors' github.com/MichaelFan01/STDC-Seg, whose weights fit: BiSeNet whose spatial path is the backbone itself. It learns
details from a head that only training needs. The reference has such heads at 1/2, 1/4 and 1/16 too; its published networks do
not train them, and they are not built here.
"""

import keras

from models import backbones, layers
from models.backbones.stdc import conv_norm_relu

REFERENCE = {
    # The reference's less the heads that it does not train and the classifier.
    "params": {
        "stdc": {12: 8_570_208},
        "stdc(auxiliary=False)": {12: 8_273_312},
        "stdc(variant=2)": {12: 12_600_672},
    },
    "macs": {"stdc": 197_637_120},
    "input": (64, 96, 3),
    "source": "MichaelFan01/STDC-Seg models/model_stages.py, run",
    "published": "Cityscapes val: STDC1 72.22 at 0.5 of the size, 74.50 at 0.75; STDC2 74.24, 77.04 (the authors' README)",
    "scores": {
        "Cityscapes val": {"stdc": 74.5, "stdc(variant=2)": 77.04},
    },
}

VARIANTS = (1, 2)

AUX_WEIGHTS = {"aux_0": 1.0, "aux_1": 1.0}

INITIAL = layers.kaiming_normal("fan_in", gain=1.0, bias=0.0)

RENAMES = ((r"^features\.", "cp.backbone.features."),)
# The reference registers the backbone's stages a second time.
ALIASES = ((r"^cp\.backbone\.x\d+\.0\.", "cp.backbone.features."),)
UNUSED = (r"^cp\.backbone\.(conv_last|fc|bn|linear)\.", r"^conv_out_sp(2|4|16)\.")


@layers.initial_weights(INITIAL)
def build(inputs, num_classes, *, variant=1, auxiliary=True):
    """Figure 4. `variant` 1 or 2 is the backbone's.

    `auxiliary` adds the heads that only training needs: "aux_0" and "aux_1" on the context path, and "detail", one logit a
    pixel at 1/8 of the resolution, for the loss `detail_aggregate`.
    """
    features = backbones.build(backbone_of(variant=variant), inputs)
    context8, context16 = context_path(features)
    x = feature_fusion(features["c3"], context8)
    outputs = {"logits": to_image(head(x, 256, num_classes, "conv_out"), inputs)}
    if auxiliary:
        outputs["aux_0"] = to_image(head(context8, 64, num_classes, "conv_out16"), inputs)
        outputs["aux_1"] = to_image(head(context16, 64, num_classes, "conv_out32"), inputs)
        outputs["detail"] = head(features["c3"], 64, 1, "conv_out_sp8")
    return outputs


def backbone_of(*, variant=1, auxiliary=True):
    """The name of the backbone."""
    if variant not in VARIANTS:
        raise ValueError(f"Expected variant 1 or 2. Received: {variant=}.")
    return f"stdc{variant}"


def context_path(features):
    """The backbone's last two maps, refined and summed, beginning with the image's mean: (at 1/8, at 1/16)."""
    mean = keras.layers.GlobalAveragePooling2D(keepdims=True)(features["c5"])
    mean = conv_norm_relu(mean, 128, 1, "cp.conv_avg")
    x = keras.layers.Add()([attention_refinement(features["c5"], "cp.arm32"), mean])
    context16 = conv_norm_relu(double(x, features["c4"]), 128, 3, "cp.conv_head32")
    x = keras.layers.Add()([attention_refinement(features["c4"], "cp.arm16"), context16])
    return conv_norm_relu(double(x, features["c3"]), 128, 3, "cp.conv_head16"), context16


def double(x, like):
    """Every pixel 2x2 times, which is resizing to the nearest pixel; an odd size lacks the last row or column."""
    return layers.fit(keras.layers.UpSampling2D(2)(x), like)


def attention_refinement(x, name):
    """The channels of a 3x3, weighted by numbers from their means."""
    x = conv_norm_relu(x, 128, 3, f"{name}.conv")
    weights = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    weights = layers.conv_norm(weights, 128, 1, name, ("conv_atten", "bn_atten"), activation="sigmoid")
    return keras.layers.Multiply()([x, weights])


def feature_fusion(spatial, context):
    """Both paths through a 1x1; its result is added to itself, weighted per channel."""
    x = conv_norm_relu(keras.layers.Concatenate()([spatial, context]), 256, 1, "ffm.convblk")
    weights = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    weights = layers.relu(layers.conv(weights, 64, 1, "ffm.conv1", bias=False))
    weights = keras.layers.Activation("sigmoid")(layers.conv(weights, 256, 1, "ffm.conv2", bias=False))
    return keras.layers.Add()([keras.layers.Multiply()([x, weights]), x])


def head(x, width, num_classes, name):
    """3x3, 1x1 to the classes."""
    return layers.conv(conv_norm_relu(x, width, 3, f"{name}.conv"), num_classes, 1, f"{name}.conv_out", bias=False)


def to_image(x, inputs):
    """Resized to the size of the image."""
    return layers.resize(x, like=inputs, align_corners=True)
