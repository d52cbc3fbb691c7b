"""MiT, the Mix Transformer: SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers.

Xie, Wang, Yu, Anandkumar, Alvarez, Luo, NeurIPS 2021. https://arxiv.org/abs/2105.15203

The layers are called as in huggingface/transformers, whose published weights fit. The first patches are at 1/4 of the
resolution, so they are both c1 and what c2 is made of. Sizes are rounded up. An image must have at least 29 rows and columns:
in smaller ones, as in the reference, no square of 8x8 patches fits.
"""

import dataclasses

import keras

from models import layers
from models.backbones import _dilation

# NVlabs/SegFormer mmseg/models/backbones/mix_transformer.py, `_init_weights`: fan_out is that of a group of channels. It cuts
# the normal distribution of linear layers at -2 and 2, but that is a hundred deviations away.
INITIAL = layers.kaiming_normal("fan_out", bias=0.0, depthwise=layers.kaiming_normal("fan_in", bias=0.0))
LINEAR = layers.normal(0.02, bias=0.0)
STOCHASTIC_DEPTH = 0.1  # rate of the last block; it rises linearly from 0

HEADS, REDUCTIONS = (1, 2, 5, 8), (8, 4, 2, 1)  # of the stages: heads, and by which keys and values are fewer in a row
EXPANSION = 4  # of the hidden layer at every position

ENCODER = "segformer.encoder"


@dataclasses.dataclass(frozen=True)
class Variant:
    """Table 6: channels and blocks of the four stages."""

    widths: tuple
    depths: tuple


NARROW, WIDE = (32, 64, 160, 256), (64, 128, 320, 512)

VARIANTS = {
    "mit_b0": Variant(NARROW, (2, 2, 2, 2)),
    "mit_b1": Variant(WIDE, (2, 2, 2, 2)),
    "mit_b2": Variant(WIDE, (3, 4, 6, 3)),
    "mit_b3": Variant(WIDE, (3, 4, 18, 3)),
    "mit_b4": Variant(WIDE, (3, 8, 27, 3)),
    "mit_b5": Variant(WIDE, (3, 6, 40, 3)),
}

# Those of the whole SegFormer (tests/parity) with 12 classes, without its head, and a linear layer to 1000 classes: for b0
# 3_717_228 - 397_836 + 257_000, for b1 13_680_332 - 528_908 + 513_000, for b2 27_355_852 - 3_159_564 + 513_000.
REFERENCE = {
    "mit_b0": {"params": {1000: 3_576_392}},
    "mit_b1": {"params": {1000: 13_664_424}},
    "mit_b2": {"params": {1000: 24_709_288}},
}

OUTPUT_STRIDES = (32,)


def channels(variant):
    """Of the five feature maps."""
    widths = VARIANTS[variant].widths
    return dict(zip(("c1", "c2", "c3", "c4", "c5"), (widths[0], *widths), strict=True))


def strides(variant):
    """Of the five feature maps."""
    return {"c1": 4, "c2": 4, "c3": 8, "c4": 16, "c5": 32}


def build(inputs, variant, output_stride=32, *, epsilon=1e-5, reduced_epsilon=None, stochastic_depth=STOCHASTIC_DEPTH):
    """Figure 2, left: four stages of overlapping patches and transformer blocks.

    The layer norms have `epsilon`; those of the patches and of the reduced keys have `reduced_epsilon`, by default the same.
    `stochastic_depth` is the rate of the last block.
    """
    _dilation.refuse(output_stride, "MiT", "attention has no stride that dilation could replace")
    v, x, features, done = VARIANTS[variant], inputs, {}, 0
    reduced_epsilon = reduced_epsilon or epsilon
    for stage, (width, depth, heads, reduction) in enumerate(zip(v.widths, v.depths, HEADS, REDUCTIONS, strict=True)):
        kernel, stride = (3, 2) if stage else (7, 4)
        x = layers.conv(x, width, kernel, f"{ENCODER}.patch_embeddings.{stage}.proj", stride=stride)
        x = norm(x, f"{ENCODER}.patch_embeddings.{stage}.layer_norm", reduced_epsilon)
        features.setdefault("c1", x)
        for i in range(depth):
            drop = stochastic_depth * done / (sum(v.depths) - 1)
            x = block(x, f"{ENCODER}.block.{stage}.{i}", heads, reduction, drop, epsilon, reduced_epsilon)
            done += 1
        x = features[f"c{stage + 2}"] = norm(x, f"{ENCODER}.layer_norm.{stage}", epsilon)
    return features


def head(features, num_classes, variant):
    """The means and a linear layer."""
    x = keras.layers.GlobalAveragePooling2D()(features["c5"])
    return layers.dense(x, num_classes, "classifier", initial=LINEAR)


def block(x, name, heads, reduction, drop, epsilon, reduced_epsilon):
    """Attention and the hidden layer, each after a layer norm and added to its input."""
    y = norm(x, f"{name}.layer_norm_1", epsilon)
    y = attention(y, f"{name}.attention", heads, reduction, reduced_epsilon)
    x = keras.layers.Add()([x, layers.stochastic_depth(y, drop)])
    y = mix_ffn(norm(x, f"{name}.layer_norm_2", epsilon), f"{name}.mlp")
    return keras.layers.Add()([x, layers.stochastic_depth(y, drop)])


def attention(x, name, heads, reduction, epsilon):
    """Equations 1 and 2: keys and values come from squares of reduction x reduction positions."""
    width = x.shape[-1]
    query = layers.dense(x, width, f"{name}.self.query", initial=LINEAR)
    if reduction > 1:
        x = layers.conv(x, width, reduction, f"{name}.self.sr", stride=reduction, padding=0)
        x = norm(x, f"{name}.self.layer_norm", epsilon)
    key = layers.dense(x, width, f"{name}.self.key", initial=LINEAR)
    value = layers.dense(x, width, f"{name}.self.value", initial=LINEAR)
    y = layers.map_attention(query, key, value, heads)
    return layers.dense(y, width, f"{name}.output.dense", initial=LINEAR)


def mix_ffn(x, name):
    """Equation 3: a hidden layer with a depthwise 3x3, whose zero padding tells positions apart."""
    y = layers.dense(x, EXPANSION * x.shape[-1], f"{name}.dense1", initial=LINEAR)
    y = layers.depthwise_conv(y, 3, f"{name}.dwconv.dwconv")
    y = keras.layers.Activation("gelu")(y)
    return layers.dense(y, x.shape[-1], f"{name}.dense2", initial=LINEAR)


def norm(x, name, epsilon):
    """Layer norm over the channels of every position."""
    return keras.layers.LayerNormalization(epsilon=epsilon, name=name)(x)
