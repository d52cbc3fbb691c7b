"""TopFormer: Token Pyramid Transformer for Mobile Semantic Segmentation.

Zhang, Huang, Luo, Zhang, Wang, Liu, Yu, Shen, CVPR 2022. https://arxiv.org/abs/2204.05525

The authors' github.com/hustvl/TopFormer, whose weights fit.
"""

import dataclasses

import keras
from keras import ops

from models import layers

REFERENCE = {
    "params": {"topformer": {12: 1_371_852}, 'topformer(variant="base")': {12: 5_027_180}},
    "macs": {"topformer": 11_289_728, 'topformer(variant="base")': 39_407_872},
    "input": (64, 96, 3),
    "source": "hustvl/TopFormer mmseg/models/backbones/topformer.py and decode_heads/simple_head.py, run",
    "published": "ADE20K val: tiny 33.6, small 36.5, base 38.3 (the authors' README)",
    "scores": {
        "ADE20K val": {"topformer": 33.6, 'topformer(variant="small")': 36.5, 'topformer(variant="base")': 38.3},
    },
}

LAST_STEP = layers.resize  # the reference's output is an eighth of the image

# The reference's init function of its backbone, whose fan_out is that of a group of channels.
INITIAL = layers.kaiming_normal("fan_out", bias=0.0, depthwise=layers.kaiming_normal("fan_in", bias=0.0))
STEM = 16  # channels
KEYS = 16  # channels of a head's queries and keys; its values have twice as many
BLOCKS, EXPANSION = 4, 2  # of the transformer
STOCHASTIC_DEPTH = 0.1  # rate of the last block of a transformer; it rises linearly from 0
DROPOUT = 0.1
CN = ("c", "bn")  # what the reference calls a convolution and its batch norm


@dataclasses.dataclass(frozen=True)
class Variant:
    """Table 1: inverted residuals (kernel, expansion, channels, stride), heads, channels of the head; is its 1x1 depthwise?"""

    rows: tuple
    heads: int
    width: int
    depthwise: bool


VARIANTS = {
    "tiny": Variant(
        (
            *((3, 1, 16, 1), (3, 4, 16, 2), (3, 3, 16, 1), (5, 3, 32, 2), (5, 3, 32, 1)),
            *((3, 3, 64, 2), (3, 3, 64, 1), (5, 6, 96, 2), (5, 6, 96, 1)),
        ),
        heads=4,
        width=128,
        depthwise=True,
    ),
    "small": Variant(
        (
            *((3, 1, 16, 1), (3, 4, 24, 2), (3, 3, 24, 1), (5, 3, 48, 2), (5, 3, 48, 1)),
            *((3, 3, 96, 2), (3, 3, 96, 1), (5, 6, 128, 2), (5, 6, 128, 1), (3, 6, 128, 1)),
        ),
        heads=6,
        width=192,
        depthwise=False,
    ),
    "base": Variant(
        (
            *((3, 1, 16, 1), (3, 4, 32, 2), (3, 3, 32, 1), (5, 3, 64, 2), (5, 3, 64, 1)),
            *((3, 3, 128, 2), (3, 3, 128, 1), (5, 6, 160, 2), (5, 6, 160, 1), (3, 6, 160, 1)),
        ),
        heads=8,
        width=256,
        depthwise=False,
    ),
}


@layers.initial_weights(INITIAL)
def build(inputs, num_classes, *, variant="tiny"):
    """Figure 2. `variant` is "tiny", "small" or "base"."""
    if variant not in VARIANTS:
        raise ValueError(f"Expected variant: {', '.join(VARIANTS)}. Received: {variant=}.")
    v = VARIANTS[variant]
    pyramid = token_pyramid(inputs, v.rows)
    x = pooled(pyramid)
    for i in range(BLOCKS):
        name = f"backbone.trans.transformer_blocks.{i}"
        drop = STOCHASTIC_DEPTH * i / (BLOCKS - 1)
        x = added(x, attention(x, v.heads, f"{name}.attn"), drop)
        x = added(x, mlp(x, EXPANSION, f"{name}.mlp"), drop)
    ends = [sum(local.shape[-1] for local in pyramid[: i + 1]) for i in range(len(pyramid) - 1)]
    semantics = ops.split(x, ends, axis=-1)
    maps = [
        injection(local, semantic, v.width, f"backbone.SIM.{i}")
        for i, (local, semantic) in enumerate(zip(pyramid, semantics, strict=True))
        if i  # the map of 1/4 only gives tokens
    ]
    x = keras.layers.Add()([maps[0], *(layers.resize(y, like=maps[0]) for y in maps[1:])])
    return {"logits": head(x, v.depthwise, num_classes)}


def token_pyramid(inputs, rows):
    """Section 3.1: the last maps of 1/4, 1/8, 1/16 and 1/32 of the resolution, of inverted residuals."""
    x = stem(inputs, STEM, "backbone.tpm.stem.0")
    maps = []
    for i, (kernel, expansion, channels, stride) in enumerate(rows, start=1):
        if stride > 1:
            maps.append(x)
        x = inverted_residual(x, kernel, expansion, channels, stride, f"backbone.tpm.layer{i}")
    return [*maps[1:], x]


def stem(inputs, channels, name):
    """A strided 3x3, batch norm and ReLU."""
    return layers.conv_norm(inputs, channels, 3, name, CN, stride=2)


def inverted_residual(x, kernel, expansion, channels, stride, name):
    """MobileNetV2's block: widened by a 1x1, a depthwise convolution, narrowed by a linear 1x1."""
    y, i = x, 0
    if expansion > 1:
        y, i = layers.conv_norm(y, expansion * x.shape[-1], 1, f"{name}.conv.0", CN), 2
    y = layers.depthwise_conv_norm(y, kernel, f"{name}.conv.{i}", CN, stride=stride)
    y = linear(y, channels, f"{name}.conv.{i + 2}")
    return keras.layers.Add()([x, y]) if stride == 1 and x.shape[-1] == channels else y


def pooled(maps):
    """The means of the maps, side by side, at half of the last one's resolution, rounded up."""
    cells = maps[-1][:, ::2, ::2]
    return keras.layers.Concatenate()([layers.adaptive_average_pool(x, like=cells) for x in maps])


def attention(x, heads, name):
    """Section 3.2. The reference does not scale the products of queries and keys."""
    query = linear(x, heads * KEYS, f"{name}.to_q")
    key = linear(x, heads * KEYS, f"{name}.to_k")
    value = linear(x, heads * 2 * KEYS, f"{name}.to_v")
    y = layers.map_attention(query, key, value, heads, scale=1.0)
    return projection(y, x.shape[-1], f"{name}.proj")


def linear(x, channels, name):
    """A 1x1 and batch norm."""
    return layers.conv_norm(x, channels, 1, name, CN, activation=None)


def projection(x, channels, name):
    """ReLU6, a 1x1, and a batch norm whose scale starts at 0, so that the branch at first adds nothing."""
    x = layers.conv(layers.relu6(x), channels, 1, f"{name}.1.c", bias=False)
    return layers.batch_norm(x, f"{name}.1.bn", start=0.0)


def mlp(x, expansion, name):
    """A hidden layer with a depthwise 3x3."""
    y = linear(x, expansion * x.shape[-1], f"{name}.fc1")
    y = layers.relu6(layers.depthwise_conv(y, 3, f"{name}.dwconv"))
    return linear(y, x.shape[-1], f"{name}.fc2")


def added(x, y, drop):
    """The sum of a map and a branch, which training drops at the rate `drop`."""
    return keras.layers.Add()([x, layers.stochastic_depth(y, drop)])


def injection(local, semantic, width, name):
    """Figure 3: the local map, weighted by gates of the global semantics, plus these."""
    y = gated(local, semantic, width, name)
    semantic = embedding(semantic, width, f"{name}.global_embedding")
    return keras.layers.Add()([y, layers.resize(semantic, like=local)])


def gated(local, semantic, width, name):
    """The local map times gates in 0..1 from a map of lower resolution."""
    gate = embedding(semantic, width, f"{name}.global_act")
    gate = layers.resize(keras.layers.Activation("hard_sigmoid")(gate), like=local)
    return keras.layers.Multiply()([embedding(local, width, f"{name}.local_embedding"), gate])


def embedding(x, width, name):
    """A 1x1 and batch norm, under mmcv's names."""
    return layers.conv_norm(x, width, 1, name, ("conv", "bn"), activation=None)


@layers.initial_weights(layers.mmcv)
def head(x, depthwise, num_classes):
    """A 1x1, `depthwise` or not, with batch norm and ReLU; then a 1x1 to the classes."""
    name, entries = "decode_head.linear_fuse", ("conv", "bn")
    width = x.shape[-1]
    x = layers.depthwise_conv_norm(x, 1, name, entries) if depthwise else layers.conv_norm(x, width, 1, name, entries)
    x = layers.spatial_dropout(x, DROPOUT)
    return layers.conv(x, num_classes, 1, "decode_head.conv_seg", initial=layers.mmseg_classes)
