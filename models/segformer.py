"""SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers.

Xie, Wang, Yu, Anandkumar, Alvarez, Luo, NeurIPS 2021. https://arxiv.org/abs/2105.15203

The Mix Transformer (backbones/mit.py) and a head that brings all of its maps to 1/4. Three ports, whose weights fit, differ:

- "transformers", huggingface/transformers, with the weights that the authors publish as nvidia/segformer-*: the authors' head,
  a linear layer for each map.
- "mmseg", open-mmlab/mmsegmentation: a 1x1 with batch norm and ReLU for each map, which it joins in the opposite order; and
  layer norms with an epsilon of 1e-6.
- "smp", qubvel-org/segmentation_models.pytorch: the authors' network under other names, and the epsilons of their code; its
  last resize aligns corners.
"""

import functools

import keras

from models import backbones, layers
from models.fpn import DECODER, HEAD

REFERENCE = {
    "params": {
        "segformer": {12: 3_717_228},
        'segformer(variant="b1")': {12: 13_680_332},
        'segformer(variant="b2")': {12: 27_355_852},
        'segformer(head="mmseg")': {12: 3_718_252},
    },
    "macs": {"segformer": 159_215_616, 'segformer(variant="b2")': 1_331_257_344},
    "input": (64, 96, 3),
    "source": "huggingface/transformers models/segformer, run; mmsegmentation's, run",
    "published": "ADE20K val: B0 37.41, B1 40.97, B2 45.58, B5 49.13 (49.62 at 640); Cityscapes val: B0 76.54, B1 78.56, "
    "B2 81.08, B5 82.25 (mmsegmentation's metafile)",
    "scores": {
        "ADE20K val": {
            "segformer": 37.41,
            'segformer(variant="b1")': 40.97,
            'segformer(variant="b2")': 45.58,
            'segformer(variant="b5")': 49.13,
        },
        "Cityscapes val": {
            "segformer": 76.54,
            'segformer(variant="b1")': 78.56,
            'segformer(variant="b2")': 81.08,
            'segformer(variant="b5")': 82.25,
        },
    },
}

WIDTHS = {"b0": 256, "b1": 256, "b2": 768, "b3": 768, "b4": 768, "b5": 768}  # of the head
LEVELS = ("c2", "c3", "c4", "c5")
DROPOUT = 0.1

EPSILONS = {
    "transformers": {"epsilon": 1e-5},
    "mmseg": {"epsilon": 1e-6},
    "smp": {"epsilon": 1e-6, "reduced_epsilon": 1e-5},
}


def last_step(*, variant="b0", head="transformers"):
    """The output is a quarter of the image."""
    return functools.partial(layers.resize, align_corners=head == "smp")


def backbone_of(*, variant="b0", head="transformers"):
    """The Mix Transformer of the same letter and digit."""
    return f"mit_{variant}"


def build(inputs, num_classes, *, variant="b0", head="transformers"):
    """Figure 2. `variant` is "b0" to "b5", `head` "transformers", "mmseg" or "smp"."""
    if variant not in WIDTHS:
        raise ValueError(f"Expected variant: {', '.join(WIDTHS)}. Received: {variant=}.")
    if head not in EPSILONS:
        raise ValueError(f"Expected head: {', '.join(EPSILONS)}. Received: {head=}.")
    features = backbones.build(backbone_of(variant=variant), inputs, **EPSILONS[head])
    maps = [features[level] for level in LEVELS]
    classify = mmseg_head if head == "mmseg" else functools.partial(authors_head, of_smp=head == "smp")
    return {"logits": classify(maps, WIDTHS[variant], num_classes)}


def authors_head(maps, width, num_classes, of_smp):
    """A linear layer for each map, all at the size of the first, the last map first; a 1x1, batch norm, ReLU; a 1x1.

    NVlabs' linear layers and classifier start like PyTorch's, the 1x1 between them like mmcv's; smp has its own rules.
    """
    linear, fuse, last = (HEAD, DECODER, HEAD) if of_smp else (layers.torch_default, layers.mmcv, layers.torch_default)
    names = [f"decode_head.linear_c.{i}.proj" for i in range(len(maps))]
    maps = [layers.dense(x, width, name, initial=linear) for x, name in zip(maps, names, strict=True)]
    entries = ("linear_fuse", "batch_norm")
    x = layers.conv_norm(joined(maps, maps[0], reverse=True), width, 1, "decode_head", entries, initial=fuse)
    x = x if of_smp else layers.spatial_dropout(x, DROPOUT)
    return layers.conv(x, num_classes, 1, "decode_head.classifier", initial=last)


@layers.initial_weights(layers.mmcv)
def mmseg_head(maps, width, num_classes):
    """A 1x1, batch norm and ReLU for each map, all at the size of the first; the same for their join; a 1x1."""
    entries = ("conv", "bn")
    maps = [layers.conv_norm(x, width, 1, f"decode_head.convs.{i}", entries) for i, x in enumerate(maps)]
    x = layers.conv_norm(joined(maps, maps[0]), width, 1, "decode_head.fusion_conv", entries)
    x = layers.spatial_dropout(x, DROPOUT)
    return layers.conv(x, num_classes, 1, "decode_head.conv_seg", initial=layers.mmseg_classes)


def joined(maps, like, reverse=False):
    """The maps side by side at the size of `like`."""
    maps = [like, *(layers.resize(x, like=like) for x in maps[1:])]
    return keras.layers.Concatenate()(maps[::-1] if reverse else maps)


def renames(*, variant="b0", head="transformers"):
    """Our layers are called as transformers' modules. The loader splits what the other ports keep in one matrix."""
    encoder = r"^segformer\.encoder\."
    if head == "mmseg":
        return (
            (rf"{encoder}patch_embeddings\.(\d)\.proj", r"backbone.layers.\1.0.projection"),
            (rf"{encoder}patch_embeddings\.(\d)\.layer_norm", r"backbone.layers.\1.0.norm"),
            (rf"{encoder}layer_norm\.(\d)", r"backbone.layers.\1.2"),
            (rf"{encoder}block\.(\d)\.", r"backbone.layers.\1.1."),
            (r"\.layer_norm_(\d)$", r".norm\1"),
            (r"\.attention\.self\.(q|k|v)[a-z]+$", r".attn.attn.\1"),
            (r"\.attention\.output\.dense$", ".attn.attn.out_proj"),
            (r"\.attention\.self\.layer_norm$", ".attn.norm"),
            (r"\.attention\.self\.", ".attn."),
            (r"\.mlp\.dense1$", ".ffn.layers.0"),
            (r"\.mlp\.dwconv\.dwconv$", ".ffn.layers.1"),
            (r"\.mlp\.dense2$", ".ffn.layers.4"),
        )
    if head == "smp":
        stages = range(len(LEVELS))  # smp counts them from 1, and those of its decoder backwards
        return (
            *((rf"{encoder}patch_embeddings\.{i}\.", f"encoder.patch_embed{i + 1}.") for i in stages),
            *((rf"{encoder}block\.{i}\.", f"encoder.block{i + 1}.") for i in stages),
            *((rf"{encoder}layer_norm\.{i}$", f"encoder.norm{i + 1}") for i in stages),
            (r"\.layer_norm_(\d)$", r".norm\1"),
            (r"\.attention\.self\.(q|k|v)[a-z]+$", r".attn.\1"),
            (r"\.attention\.output\.dense$", ".attn.proj"),
            (r"\.attention\.self\.", ".attn."),
            (r"\.layer_norm$", ".norm"),
            (r"\.mlp\.dense", ".mlp.fc"),
            *((rf"^decode_head\.linear_c\.{i}\.proj$", f"decoder.mlp_stage.{3 - i}.linear") for i in stages),
            (r"^decode_head\.linear_fuse$", "decoder.fuse_stage.0"),
            (r"^decode_head\.batch_norm$", "decoder.fuse_stage.1"),
            (r"^decode_head\.classifier$", "segmentation_head.0"),
        )
    return ()
