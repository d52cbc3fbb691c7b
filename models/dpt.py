"""DPT: Vision Transformers for Dense Prediction.

Ranftl, Bochkovskiy, Koltun, ICCV 2021. https://arxiv.org/abs/2103.13413

The network of segmentation_models_pytorch (github.com/qubvel-org), whose weights fit: on a plain vision transformer. Unlike in
the authors' own, the output of every fusion is projected after it is enlarged, and there is no auxiliary head.
"""

import keras
from keras import ops

from models import layers
from models.backbones import _plain
from models.fpn import DECODER, HEAD
from models.layers import vision_transformer as vit

REFERENCE = {
    # Without the transformer's last norm and classifier, which the reference has and does not use.
    "params": {"dpt": {12: 52_256_396}},
    "macs": {"dpt": 3_363_038_208},  # with the products of attention, which the parity file leaves out
    "input": (64, 96, 3),
    "source": "qubvel-org/segmentation_models.pytorch decoders/dpt, run",
    "published": "ADE20K val: ViT-B 46.97 (mmsegmentation 1.2.2)",
    "scores": {"ADE20K val": {'dpt(backbone="vit_base_patch16")': 46.97}},
}

SIZE_MULTIPLE = 32  # the reference refuses others: a doubled map and the next level's then disagree on the size

RENAMES = ((r"^(?!decoder|segmentation_head)", "encoder.model."),)
UNUSED = (r"^encoder\.model\.(norm|head)\.",)

WIDTHS, WIDTH = (256, 512, 1024, 1024), 256  # channels of the reassembled levels, and of all levels in the fusions
FACTORS = (4, 2, 1, 0.5)  # by which the levels are enlarged

LINEAR = layers.xavier_uniform(bias=0.0)  # of the decoder's linear layers


@layers.initial_weights(DECODER)
def build(inputs, num_classes, *, backbone="vit_small_patch16", dropout=0.1):
    """Figure 1: tokens after each quarter of the blocks, as maps at 1/4 to 1/32 of the resolution, fused from the deepest on.

    `backbone` is a plain vision transformer of `models.backbones`, such as "vit_base_patch16" or "dinov3_base".
    """
    plain = _plain.find(backbone, patch=16)
    with layers.initial_weights(vit.INITIAL):
        levels, patches = taps(inputs, plain)
    maps = [reassemble(x, patches, plain, i) for i, x in enumerate(levels)]
    x = None
    for i, level in enumerate(reversed(maps)):
        x = fusion(level, x, f"decoder.fusion_blocks.{i}")
    x = layers.conv_norm(x, WIDTH, 3, "segmentation_head.head", initial=HEAD)
    x = layers.conv(layers.dropout(x, dropout), num_classes, 1, "segmentation_head.head.4", initial=HEAD)
    return {"logits": layers.resize(x, scale=2, align_corners=True)}


def taps(inputs, plain):
    """All tokens after each quarter of the blocks, and the map of the patches."""
    x, patches, rotary = vit.embed(inputs, plain)
    levels = []
    for i in range(plain.depth):
        x = vit.block(x, plain, i, rotary)
        if (i + 1) % (plain.depth // 4) == 0:
            levels.append(x)
    return levels, patches


def reassemble(x, patches, plain, i):
    """Section 3.1: the class token joins every patch, and the map of the patches gets the resolution of its level."""
    name, factor = f"decoder.reassemble_blocks.{i}", FACTORS[i]
    token, x = x[:, plain.registers : plain.registers + 1], x[:, plain.registers + 1 :]
    x = keras.layers.Concatenate()([x, ops.zeros_like(x) + token])
    x = layers.dense(x, plain.width, f"decoder.projection_blocks.{i}.project.0", "gelu", initial=LINEAR)
    x = layers.conv(vit.patch_map(x, patches), WIDTHS[i], 1, f"{name}.project_to_out_channel")
    if factor > 1:
        x = layers.transposed_conv(x, WIDTHS[i], factor, f"{name}.upsample", stride=factor)
    elif factor < 1:
        x = layers.conv(x, WIDTHS[i], 3, f"{name}.upsample", stride=round(1 / factor))
    return layers.conv(x, WIDTH, 3, f"{name}.project_to_feature_dim", bias=False)


def fusion(x, deeper, name):
    """Figure 1, right: a level and what came from the deeper ones, enlarged twice."""
    x = residual(x, f"{name}.residual_conv_block1")
    x = x if deeper is None else keras.layers.Add()([x, deeper])
    x = layers.resize(residual(x, f"{name}.residual_conv_block2"), scale=2, align_corners=True)
    return layers.conv(x, WIDTH, 1, f"{name}.project")


def residual(x, name):
    """Two 3x3 after their activations, added to x."""
    y = layers.conv_norm(layers.relu(x), WIDTH, 3, name, ("conv_1", "batch_norm_1"))
    y = layers.conv_norm(y, WIDTH, 3, name, ("conv_2", "batch_norm_2"), activation=None)
    return keras.layers.Add()([x, y])
