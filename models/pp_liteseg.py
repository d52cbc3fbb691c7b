"""PP-LiteSeg: A Superior Real-Time Semantic Segmentation Model.

Peng, Liu, Tang, Hao, Chu, Chen, Wu, Chen, Yu, Du, Dang, Lai, Liu, Hu, Yu, Ma, 2022. https://arxiv.org/abs/2204.02681

The form of Deci-AI/super-gradients, whose weights fit. The authors' PaddlePaddle/PaddleSeg publishes .pdparams only.
"""

import keras
from keras import ops

from models import backbones, layers
from models.backbones import stdc

REFERENCE = {
    "params": {
        "pp_liteseg": {12: 8_027_584},
        "pp_liteseg(auxiliary=True)": {12: 8_195_712},
        'pp_liteseg(variant="b")': {12: 12_233_792},
    },
    "macs": {"pp_liteseg": 136_540_236},
    "input": (64, 96, 3),
    "source": "Deci-AI/super-gradients training/models/segmentation_models/ppliteseg.py, run",
    "published": "Cityscapes val at full size: T 77.04, B 79.04 (PaddlePaddle/PaddleSeg's README)",
    "scores": {
        "Cityscapes val": {"pp_liteseg": 77.04, 'pp_liteseg(variant="b")': 79.04},
    },
}

SIZE_MULTIPLE = 32  # the reference refuses others, because a doubled map and the backbone's then differ in size

AUX_WEIGHTS = {f"aux_{i}": 1.0 for i in range(3)}  # if the heads are built
FULL_SIZE = ("logits", *AUX_WEIGHTS)

INITIAL = layers.kaiming_normal("fan_out", bias=0.0)

# The backbone, and the channels after each fusion.
VARIANTS = {"t": ("stdc1", (128, 64, 32)), "b": ("stdc2", (128, 96, 64))}

BINS = (1, 2, 4)


@layers.initial_weights(INITIAL)
def build(inputs, num_classes, *, variant="t", auxiliary=False):
    """Figure 3. `variant` is "t" or "b"; `auxiliary` adds a head on each of the backbone's three maps, for training."""
    features, (_, widths) = backbones.build(backbone_of(variant=variant), inputs), VARIANTS[variant]
    x = pyramid_pooling(features["c5"], "encoder.context_module")
    skips = []
    for i, (level, width) in enumerate((("c3", widths[1]), ("c4", 128), ("c5", 128))):
        skips.append(conv_norm_relu(features[level], width, 3, f"encoder.proj_convs.{i}"))
    for i, (skip, width) in enumerate(zip(reversed(skips), widths, strict=True)):
        x = layers.resize(x, scale=2) if i else x
        x = attention_fusion(x, skip, width, f"decoder.up_stages.{i}")
    outputs = {"logits": head(x, widths[-1], num_classes, "seg_head.0.seg_head", 8)}
    if auxiliary:
        for i, (skip, width) in enumerate(zip(skips, (32, 64, 64), strict=True)):
            outputs[f"aux_{i}"] = head(skip, width, num_classes, f"aux_heads.{i}.0.seg_head", 8 * 2**i)
    return outputs


def backbone_of(*, variant="t", auxiliary=False):
    """The name of the backbone."""
    if variant not in VARIANTS:
        raise ValueError(f"Expected variant: {', '.join(VARIANTS)}. Received: {variant=}.")
    return VARIANTS[variant][0]


def renames(*, variant="t", auxiliary=False):
    """The blocks of each of the backbone's stages are numbered from 0, and a block's stride is in front of its second step."""
    stages = "encoder.backbone.stages"
    pairs = [(r"^features\.0\.(conv|bn)$", rf"{stages}.block_s2.0.seq.\1")]
    pairs.append((r"^features\.1\.(conv|bn)$", rf"{stages}.block_s4.0.seq.\1"))
    first = {}
    for i, (stage, begins) in stdc.numbered(backbone_of(variant=variant)):
        first.setdefault(stage, i)
        ours, theirs = rf"^features\.{i}", f"{stages}.block_s{2**stage}.{i - first[stage]}"
        if begins:
            pairs += [(rf"{ours}\.avd_layer\.0$", rf"{theirs}.conv_list.1.0.seq.conv")]
            pairs += [(rf"{ours}\.avd_layer\.1$", rf"{theirs}.conv_list.1.0.seq.bn")]
            pairs += [(rf"{ours}\.conv_list\.1\.(conv|bn)$", rf"{theirs}.conv_list.1.1.seq.\1")]
        pairs += [(rf"{ours}\.conv_list\.(\d)\.(conv|bn)$", rf"{theirs}.conv_list.\1.seq.\2")]
    return pairs


def conv_norm_relu(x, filters, kernel, name, activation=layers.relu):
    """A convolution, batch norm, ReLU."""
    return layers.conv_norm(x, filters, kernel, f"{name}.seq", ("conv", "bn"), activation)


def pyramid_pooling(x, name):
    """Figure 5, simple pyramid pooling: the sum of the means of 1, 4 and 16 cells, then a 3x3; x itself is not kept."""
    maps = []
    for i, bins in enumerate(BINS):
        y = conv_norm_relu(layers.adaptive_average_pool(x, bins), 128, 1, f"{name}.branches.{i}.1")
        maps.append(layers.resize(y, like=x))
    return conv_norm_relu(keras.layers.Add()(maps), 128, 3, f"{name}.conv_out")


def attention_fusion(x, skip, filters, name):
    """Figure 4, unified attention fusion by places: a share of either map, from their channels' means and maxima."""
    maps = [reduce(y, axis=-1, keepdims=True) for y in (x, skip) for reduce in (ops.mean, ops.max)]
    share = conv_norm_relu(keras.layers.Concatenate()(maps), 2, 3, f"{name}.conv_atten.0")
    share = conv_norm_relu(share, 1, 3, f"{name}.conv_atten.1", activation="sigmoid")
    of_skip = keras.layers.Multiply()([skip, 1.0 - share])
    x = keras.layers.Add()([keras.layers.Multiply()([x, share]), of_skip])
    return conv_norm_relu(x, filters, 3, f"{name}.conv_out")


def head(x, width, num_classes, name, scale):
    """3x3, 1x1 to the classes, resized to the size of the image."""
    x = layers.conv(conv_norm_relu(x, width, 3, f"{name}.0"), num_classes, 1, f"{name}.2", bias=False)
    return layers.resize(x, scale=scale)
