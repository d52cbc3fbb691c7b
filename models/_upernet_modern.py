"""UPerNet's head on Swin and ConvNeXt, as huggingface/transformers and OpenMMLab's mmsegmentation build it.

It differs from the authors' head on a ResNet (upernet.py): every map of the backbone has a layer norm, the means of the
pyramid go through their 1x1 before they are resized, and an auxiliary head is trained on the third stage. The two differ from
each other in names, in the order in which Swin merges pixels, and in that transformers has no dropout.
"""

import keras

from models import backbones, layers
from models.backbones import convnext, swin

HEADS = {"transformers": (swin, convnext), "mmseg": (swin,)}  # with the families that they fit
LEVELS = ("c2", "c3", "c4", "c5")
BINS = (1, 2, 3, 6)

INITIAL = layers.normal(0.02, bias=0.0)  # the rule of transformers, for everything


def default(backbone):
    """The head that a backbone has by default; None if it has none of these."""
    return "transformers" if backbones.find(backbone)[1] in HEADS["transformers"] else None


def build(inputs, num_classes, backbone, width, head):
    """The networks of transformers' models/upernet and mmsegmentation's uper_head.py.

    Returns:
      {"logits": [B, H / 4, W / 4, num_classes], "aux_0": [B, H / 16, W / 16, num_classes]}.
    """
    family, mmseg = backbones.find(backbone)[1], head == "mmseg"
    if family not in HEADS[head]:
        raise ValueError(
            f"Expected a backbone for {head=}: Swin{'' if mmseg else ' or ConvNeXt'}. Received: {backbone=}."
        )
    # Its rate of stochastic depth is mmsegmentation's.
    options = {"dense": True, "channels_first": mmseg, "stochastic_depth": 0.3} if family is swin else {}
    features = backbones.build(backbone, inputs, initial=None if mmseg else INITIAL, **options)
    maps = [
        keras.layers.LayerNormalization(epsilon=family.EPSILON, name=f"hidden_states_norms.stage{i}")(features[level])
        for i, level in enumerate(LEVELS, start=1)
    ]
    with layers.initial_weights(layers.mmcv if mmseg else INITIAL):
        auxiliary = conv_norm(maps[2], 256, 3, "auxiliary_head.convs.0")
        outputs = {"logits": (pyramid(maps, width), "decode_head"), "aux_0": (auxiliary, "auxiliary_head")}
        return {name: classes(x, num_classes, f"{of}.classifier", mmseg) for name, (x, of) in outputs.items()}


def classes(x, num_classes, name, mmseg):
    """The last layer of a head."""
    x = layers.spatial_dropout(x, 0.1 if mmseg else 0.0)
    return layers.conv(x, num_classes, 1, name, initial=layers.mmseg_classes if mmseg else INITIAL)


def pyramid(maps, width):
    """Pyramid pooling of the last map, the way back up, and a 3x3 of all maps: [B, H / 4, W / 4, width]."""
    *maps, last = maps
    cells = [last]
    for i, bins in enumerate(BINS):
        y = conv_norm(layers.adaptive_average_pool(last, bins), width, 1, f"decode_head.psp_modules.{i}.1")
        cells.append(layers.resize(y, like=last))
    x = conv_norm(keras.layers.Concatenate()(cells), width, 3, "decode_head.bottleneck")
    found = [x]
    for i in reversed(range(len(maps))):
        lateral = conv_norm(maps[i], width, 1, f"decode_head.lateral_convs.{i}")
        x = keras.layers.Add()([lateral, layers.resize(x, like=lateral)])
        found.insert(0, conv_norm(x, width, 3, f"decode_head.fpn_convs.{i}"))
    found = found[:1] + [layers.resize(y, like=found[0]) for y in found[1:]]
    return conv_norm(keras.layers.Concatenate()(found), width, 3, "decode_head.fpn_bottleneck")


def conv_norm(x, filters, kernel, name):
    """A convolution with batch norm and ReLU, with transformers' names."""
    return layers.conv_norm(x, filters, kernel, name, ("conv", "batch_norm"))


def renames(backbone, head):
    """Pairs from our layer names, which in the backbone are torchvision's, to the keys of the reference."""
    if head == "mmseg":
        return *_swin_mmseg(), (r"\.batch_norm$", ".bn"), (r"\.classifier$", ".conv_seg")
    return tuple(_swin_transformers() if backbones.find(backbone)[1] is swin else _convnext_transformers())


def _swin_transformers():
    for stage in range(4):
        layer = f"backbone.encoder.layers.{stage}"
        yield rf"^features\.{2 * stage + 1}\.(\d+)", rf"{layer}.blocks.\1"
        yield rf"^features\.{2 * stage + 2}\.", f"{layer}.downsample."
    yield r"^features\.0\.0$", "backbone.embeddings.patch_embeddings.projection"
    yield r"^features\.0\.2$", "backbone.embeddings.norm"
    yield r"\.norm1$", ".layernorm_before"
    yield r"\.norm2$", ".layernorm_after"
    yield r"\.attn\.proj$", ".attention.output.dense"
    yield r"\.attn\.", ".attention.self."
    yield r"\.mlp\.0$", ".intermediate.dense"
    yield r"\.mlp\.3$", ".output.dense"
    yield r"^hidden_states_norms", "backbone.hidden_states_norms"


def _swin_mmseg():
    for stage in range(4):
        yield rf"^features\.{2 * stage + 1}\.(\d+)", rf"backbone.stages.{stage}.blocks.\1"
        yield rf"^features\.{2 * stage + 2}\.", f"backbone.stages.{stage}.downsample."
        yield rf"^hidden_states_norms\.stage{stage + 1}$", f"backbone.norm{stage}"
    yield r"^features\.0\.0$", "backbone.patch_embed.projection"
    yield r"^features\.0\.2$", "backbone.patch_embed.norm"
    yield r"\.attn\.", ".attn.w_msa."
    yield r"\.mlp\.0$", ".ffn.layers.0.0"
    yield r"\.mlp\.3$", ".ffn.layers.1"


def _convnext_transformers():
    for stage in range(4):
        layer = f"backbone.encoder.stages.{stage}"
        yield rf"^features\.{2 * stage + 1}\.(\d+)", rf"{layer}.layers.\1"
        if stage:
            yield rf"^features\.{2 * stage}\.", f"{layer}.downsampling_layer."
    yield r"^features\.0\.0$", "backbone.embeddings.patch_embeddings"
    yield r"^features\.0\.1$", "backbone.embeddings.layernorm"
    for ours, theirs in (("0", "dwconv"), ("2", "layernorm"), ("3", "pwconv1"), ("5", "pwconv2")):
        yield rf"\.block\.{ours}$", f".{theirs}"
    yield r"\.layer_scale$", ".layer_scale_parameter"
    yield r"^hidden_states_norms", "backbone.hidden_states_norms"
