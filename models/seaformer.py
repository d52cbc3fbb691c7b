"""SeaFormer: Squeeze-Enhanced Axial Transformer for Mobile Semantic Segmentation.

Wan, Huang, Lu, Yu, Zhang, ICLR 2023. https://arxiv.org/abs/2301.13156

The authors' github.com/fudan-zvg/SeaFormer, whose weights fit. Many of its blocks are TopFormer's.
"""

import dataclasses

import keras
from keras import ops

from models import layers
from models.topformer import (
    CN,
    INITIAL,
    STOCHASTIC_DEPTH,
    added,
    gated,
    head,
    inverted_residual,
    linear,
    mlp,
    projection,
    stem,
)

REFERENCE = {
    "params": {"seaformer": {12: 1_653_932}, 'seaformer(variant="small")': {12: 3_972_316}},
    "macs": {"seaformer": 12_687_936, 'seaformer(variant="small")': 24_576_048},
    "input": (64, 96, 3),
    "source": "fudan-zvg/SeaFormer mmseg/models/backbones/seaformer.py and decode_heads/light_head.py, run",
    "published": "ADE20K val: tiny 36.5, small 39.4, base 41.9, large 43.8; Cityscapes val, half and full size: small 71.1 and "
    "76.4, base 72.2 and 77.7 (the authors' README)",
    "scores": {
        "ADE20K val": {
            "seaformer": 36.5,
            'seaformer(variant="small")': 39.4,
            'seaformer(variant="base")': 41.9,
            'seaformer(variant="large")': 43.8,
        },
        "Cityscapes val": {'seaformer(variant="small")': 76.4, 'seaformer(variant="base")': 77.7},
    },
}

LAST_STEP = layers.resize  # the reference's output is an eighth of the image

POSITIONS = 16  # of which the table of an axis has an entry; other lengths resize it


@dataclasses.dataclass(frozen=True)
class Variant:
    """Table 1 and appendix."""

    stem: int  # channels
    stages: tuple  # five of inverted residuals: (kernel, expansion, channels, stride)
    heads: int
    blocks: int  # of each transformer; the transformers follow the last stages
    keys: tuple  # channels of a head's queries and keys in each transformer; its values have twice as many
    expansions: tuple  # of each transformer's hidden layer
    widths: tuple  # of the fusions


VARIANTS = {
    "tiny": Variant(
        stem=16,
        stages=(
            ((3, 1, 16, 1), (3, 4, 16, 2), (3, 3, 16, 1)),
            ((5, 3, 32, 2), (5, 3, 32, 1)),
            ((3, 3, 64, 2), (3, 3, 64, 1)),
            ((5, 3, 128, 2),),
            ((3, 6, 160, 2),),
        ),
        heads=4,
        blocks=2,
        keys=(16, 24),
        expansions=(2, 4),
        widths=(64, 96),
    ),
    "small": Variant(
        stem=16,
        stages=(
            ((3, 1, 16, 1), (3, 4, 24, 2), (3, 3, 24, 1)),
            ((5, 3, 48, 2), (5, 3, 48, 1)),
            ((3, 3, 96, 2), (3, 3, 96, 1)),
            ((5, 4, 160, 2),),
            ((3, 6, 192, 2),),
        ),
        heads=6,
        blocks=3,
        keys=(16, 24),
        expansions=(2, 4),
        widths=(96, 128),
    ),
    "base": Variant(
        stem=16,
        stages=(
            ((3, 1, 16, 1), (3, 4, 32, 2), (3, 3, 32, 1)),
            ((5, 3, 64, 2), (5, 3, 64, 1)),
            ((3, 3, 128, 2), (3, 3, 128, 1)),
            ((5, 4, 192, 2),),
            ((3, 6, 256, 2),),
        ),
        heads=8,
        blocks=4,
        keys=(16, 24),
        expansions=(2, 4),
        widths=(128, 160),
    ),
    "large": Variant(
        stem=32,
        stages=(
            ((3, 3, 32, 1), (3, 4, 64, 2), (3, 4, 64, 1)),
            ((5, 4, 128, 2), (5, 4, 128, 1)),
            ((3, 4, 192, 2), (3, 4, 192, 1)),
            ((5, 4, 256, 2),),
            ((3, 6, 320, 2),),
        ),
        heads=8,
        blocks=3,
        keys=(16, 20, 24),
        expansions=(2, 4, 6),
        widths=(128, 160, 192),
    ),
}


@layers.initial_weights(INITIAL)
def build(inputs, num_classes, *, variant="tiny"):
    """Figure 2. `variant` is "tiny", "small", "base" or "large"."""
    if variant not in VARIANTS:
        raise ValueError(f"Expected variant: {', '.join(VARIANTS)}. Received: {variant=}.")
    v = VARIANTS[variant]
    x = stem(inputs, v.stem, "backbone.smb1.stem_block.0")
    semantics, first = [], len(v.stages) - len(v.keys)
    for i, rows in enumerate(v.stages):
        for j, row in enumerate(rows, start=1):
            x = inverted_residual(x, *row, f"backbone.smb{i + 1}.layer{j}")
        if i == 1:
            detail = x  # 1/8 of the resolution
        if i >= first:
            keys, expansion = v.keys[i - first], v.expansions[i - first]
            x = transformer(x, v.blocks, v.heads, keys, expansion, f"backbone.trans{i - first + 1}")
            semantics.append(x)
    for i, (semantic, width) in enumerate(zip(semantics, v.widths, strict=True), start=1):
        detail = gated(detail, semantic, width, f"decode_head.fuse{i}")  # figure 4
    return {"logits": head(detail, True, num_classes)}


def transformer(x, blocks, heads, keys, expansion, name):
    """Attention and a hidden layer, alternating."""
    for i in range(blocks):
        drop = STOCHASTIC_DEPTH * i / (blocks - 1)
        x = added(x, attention(x, heads, keys, f"{name}.transformer_blocks.{i}.attn"), drop)
        x = added(x, mlp(x, expansion, f"{name}.transformer_blocks.{i}.mlp"), drop)
    return x


def attention(x, heads, keys, name):
    """Figure 3: attention along the rows' and the columns' means gates the details that a depthwise 3x3 keeps."""
    query, key = (linear(x, heads * keys, f"{name}.to_{which}") for which in "qk")
    value = linear(x, heads * 2 * keys, f"{name}.to_v")
    details = keras.layers.Concatenate()([query, key, value])
    details = layers.depthwise_conv_norm(details, 3, f"{name}.dwconv", CN, activation=layers.relu6)
    details = linear(details, x.shape[-1], f"{name}.pwconv")
    rows = axial(query, key, value, heads, 2, "row", name)
    columns = axial(query, key, value, heads, 1, "column", name)
    gate = projection(value + (rows + columns), x.shape[-1], f"{name}.proj")
    return keras.layers.Multiply()([keras.layers.Activation("hard_sigmoid")(gate), details])


def axial(query, key, value, heads, squeezed, which, name):
    """Attention between the means over the axis `squeezed`, whose length is then 1."""
    query, key, value = (ops.mean(x, axis=squeezed, keepdims=True) for x in (query, key, value))
    query = position(query, 3 - squeezed, f"{name}.pos_emb_{which}q")
    key = position(key, 3 - squeezed, f"{name}.pos_emb_{which}k")
    y = layers.map_attention(query, key, value, heads)
    return projection(y, y.shape[-1], f"{name}.proj_encode_{which}")


def position(x, kept, name):
    """Adds a learnt entry for each position along the axis `kept`, the only one of height and width that is longer than 1."""
    return x + layers.resize(PositionTable(kept, name=name)(x), like=x)


@keras.saving.register_keras_serializable(package="tfseg")
class PositionTable(keras.layers.Layer):
    """A learnt entry for each of 16 positions along the axis `kept`: [B, H, W, C] -> [1, 16, 1, C] or [1, 1, 16, C]."""

    def __init__(self, kept, **options):
        super().__init__(**options)
        self.kept = kept

    def get_config(self):
        """Its options."""
        return {**super().get_config(), "kept": self.kept}

    def build(self, input_shape):
        """The reference draws the entries from a normal distribution of deviation 1."""
        start = keras.initializers.RandomNormal(stddev=1.0)
        self.pos_embed = self.add_weight(shape=(1, input_shape[-1], POSITIONS), initializer=start, name="pos_embed")

    def call(self, x):
        """Of x only the number of channels counts."""
        return ops.expand_dims(ops.transpose(self.pos_embed, (0, 2, 1)), 3 - self.kept)

    def compute_output_spec(self, x):
        """As the class says."""
        sizes = (POSITIONS, 1) if self.kept == 1 else (1, POSITIONS)
        return keras.KerasTensor((1, *sizes, x.shape[-1]), self.compute_dtype)
