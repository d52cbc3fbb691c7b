"""EoMT: Your ViT is Secretly an Image Segmentation Model.

Kerssies, Cavagnero, Hermans, Norouzi, Averta, Leibe, Dubbelman, de Geus, CVPR 2025. https://arxiv.org/abs/2503.19108

The network of huggingface/transformers, whose weights fit. The reference takes only `image_size`. Here the learnt positions
are resized for other sizes, as the authors do once when they change the size. The authors anneal masked attention away
during training, and afterwards the network has none; here it has none from the start.
"""

import dataclasses

import keras
from keras import ops

from models import backbones, layers
from models.backbones import _plain
from models.dinov2 import of_patches
from models.layers import vision_transformer as vit
from models.layers.mask_classification import MaskLogits, SemanticScores
from models.layers.positions import Token

REFERENCE = {
    "params": {
        "eomt": {12: 23_669_773},
        'eomt(backbone="dinov3_small", image_size=96, queries=50)': {12: 23_252_749},
    },
    "macs": {'eomt(backbone="dinov3_small", image_size=96, queries=50)': 1_319_745_792},
    "input": (96, 96, 3),
    "source": "huggingface/transformers models/eomt and models/eomt_dinov3, run",
    "published": "ADE20K val: ViT-L 58.4 (DINOv2), 59.5 (DINOv3), S 46.6, B 54.4; Cityscapes val: L 84.2 (the authors' README)",
    "scores": {
        "ADE20K val": {
            'eomt(backbone="vit_large", image_size=512, blocks=4)': 58.4,
            'eomt(backbone="dinov3_large", image_size=512, blocks=4)': 59.5,
        },
        "Cityscapes val": {'eomt(backbone="vit_large", image_size=1024, blocks=4)': 84.2},
    },
}

PATCH = 16
LAST_STEP = of_patches(4)  # the reference's masks have a quarter of the resolution

UNUSED = (r"^attn_mask_probs$", r"^criterion\.")  # how often attention is masked, 0 after training; of the loss

OF_EVERY_BACKBONE = (
    (r"^query$", "query.weight"),
    (r"^cls_token$", "embeddings.cls_token"),
    (r"^reg_token$", "embeddings.register_tokens"),
    (r"^pos_embed$", "embeddings.position_embeddings.weight"),
    (r"^blocks\.", "layers."),
    (r"\.attn\.([qkv])$", r".attention.\1_proj"),
    (r"\.ls([12])$", r".layer_scale\1.lambda1"),
    (r"^norm$", "layernorm"),
)
OF_VIT = (
    (r"^patch_embed\.proj$", "embeddings.patch_embeddings.projection"),
    (r"\.attn\.proj$", ".attention.out_proj"),
)
OF_DINOV3 = (
    (r"^patch_embed\.proj$", "embeddings.patch_embeddings"),
    (r"\.attn\.proj$", ".attention.o_proj"),
    (r"\.mlp\.fc1$", ".mlp.up_proj"),
    (r"\.mlp\.fc2$", ".mlp.down_proj"),
)


def renames(*, backbone="vit_small", image_size=512, queries=100, blocks=3, auxiliary=False):
    """The reference has two sets of names."""
    rotary = backbones.find(backbone)[1].VARIANTS[backbone].grid is None
    return (*OF_EVERY_BACKBONE, *(OF_DINOV3 if rotary else OF_VIT))


def build(inputs, num_classes, *, backbone="vit_small", image_size=512, queries=100, blocks=3, auxiliary=False):
    """Figure 1, right: queries join the tokens before the last blocks, and their products with the patches are the masks.

    Besides the logits, which are scores of 0..queries, there are the outputs for the loss `mask_classification`: "classes",
    logits [batch, n, queries, classes + 1] with no object as the last class, and "masks", logits [batch, n, height / 4,
    width / 4, queries]. The last of the n predictions counts; there are others only for training.

    Args:
      inputs: normalised pixels.
      num_classes: of the label map.
      backbone: "vit_small", "vit_base", "vit_large" or "dinov3_small", "dinov3_base", "dinov3_large".
      image_size: height and width for which the positions are learnt, a multiple of 16.
      queries: their number: the largest number of classes that an image may have.
      blocks: those that see the queries; the authors take 3 for small and base, 4 for large.
      auxiliary: adds a prediction before each of the last blocks: n = blocks + 1, otherwise 1.
    """
    plain = dataclasses.replace(_plain.find(backbone, PATCH), epsilon=1e-6)
    if image_size < PATCH or image_size % PATCH or not 1 <= blocks <= plain.depth or queries < 1:
        raise ValueError(
            f"Expected image_size a multiple of {PATCH}, queries of at least 1, blocks of 1..{plain.depth}. "
            f"Received: {image_size=}, {queries=}, {blocks=}."
        )
    x, patches, rotary = vit.embed(inputs, plain, (image_size // PATCH,) * 2)
    predicted = []
    for i in range(plain.depth):
        if i == plain.depth - blocks:
            x = keras.layers.Concatenate(axis=1)([Token(queries, plain.width, 1.0, name="query")(x), x])
        if auxiliary and i >= plain.depth - blocks:
            predicted.append(x)
        x = vit.block(x, plain, i, rotary)
    # The same layers predict from all of them, so they are one tensor: [batch, n, tokens, width].
    x = vit.norm(ops.stack([*predicted, x], axis=1), plain)
    asked = keras.layers.Reshape((len(predicted) + 1, queries, plain.width))(x[:, :, :queries])
    classes = layers.dense(asked, num_classes + 1, "class_predictor")
    pixels = enlarged(vit.patch_map(x, patches), plain.width)
    pixels = layers.fit(pixels, inputs[:, ::4, ::4])  # without the padding of the last patches
    masks = MaskLogits()([mask_head(asked, plain.width), pixels])
    return {"logits": SemanticScores()([classes, masks]), "classes": classes, "masks": masks}


def mask_head(x, width):
    """Of every query, the vector that is multiplied with the pixels: three linear layers."""
    x = layers.dense(x, width, "mask_head.fc1", "gelu")
    x = layers.dense(x, width, "mask_head.fc2", "gelu")
    return layers.dense(x, width, "mask_head.fc3")


def enlarged(x, width):
    """From 1/16 of the resolution to 1/4: twice a 2x2 transposed convolution and a depthwise 3x3."""
    for i in range(2):
        name = f"upscale_block.block.{i}"
        x = keras.layers.Activation("gelu")(layers.transposed_conv(x, width, 2, f"{name}.conv1"))
        x = layers.depthwise_conv(x, 3, f"{name}.conv2", bias=False)
        x = keras.layers.LayerNormalization(epsilon=1e-6, name=f"{name}.layernorm2d")(x)
    return x
