"""Plain vision transformers: tokens of patches, of which every block sees all, at one resolution.

Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021. https://arxiv.org/abs/2010.11929

Layers are named like those of timm's vision_transformer.py. The tokens are in the order registers, class, patches; only which
are the last matters.
"""

import dataclasses
import typing

import keras

from models.layers.attention import attention
from models.layers.convolution import conv
from models.layers.dense import dense
from models.layers.initial_weights import normal, torch_default
from models.layers.positions import PatchMap, PositionEmbedding, RotaryTable, Rotate, Token
from models.layers.residual import LayerScale, stochastic_depth
from models.layers.resizing import pad_to_multiple

# The authors' of all these networks; the normal distribution is cut off at -2 and 2, a hundred deviations away.
INITIAL = normal(0.02, bias=0.0)


@dataclasses.dataclass(frozen=True)
class Plain:
    """What makes one network of the kind another."""

    width: int
    depth: int
    heads: int
    patch: int = 16  # pixels a side
    grid: tuple | None = (14, 14)  # patches of the learnt table of positions; None: rotary positions
    class_position: bool = True  # whether the table has a position for the class token too
    antialias: bool = False  # whether the table is resized with antialiasing
    registers: int = 0  # further tokens: Darcet et al., ICLR 2024, https://arxiv.org/abs/2309.16588
    layer_scale: float | None = None  # where the scales of the residual branches start; None: there are none
    fused: bool = False  # whether one matrix makes queries, keys and values, as in timm
    key_bias: bool = True
    epsilon: float = 1e-6  # of the layer norms


class Embedded(typing.NamedTuple):
    """What the first block gets."""

    tokens: typing.Any  # [batch, registers + 1 + h * w, width]
    patches: typing.Any  # [batch, h, w, width], without positions: for the size of the maps
    rotary: typing.Any  # a RotaryTable's output, or None


def embed(inputs, plain, grid=None):
    """Patches to tokens. Pixels [batch, height, width, channels] are padded with zeros to whole patches, below and right.

    `grid` is that of the learnt positions, by default the published network's.
    """
    inputs = pad_to_multiple(inputs, plain.patch)
    options = {"stride": plain.patch, "padding": 0, "initial": torch_default}
    patches = conv(inputs, plain.width, plain.patch, "patch_embed.proj", **options)
    x = keras.layers.Reshape((-1, plain.width))(patches)
    token = Token(1, plain.width, name="cls_token")(x)
    if plain.class_position:
        x = keras.layers.Concatenate(axis=1)([token, x])
    if plain.grid:
        first = int(plain.class_position)
        x = x + PositionEmbedding(grid or plain.grid, first, plain.antialias, name="pos_embed")(patches)
    before = [] if plain.class_position else [token]
    if plain.registers:
        before.insert(0, Token(plain.registers, plain.width, name="reg_token")(x))
    x = keras.layers.Concatenate(axis=1)([*before, x]) if before else x
    return Embedded(x, patches, None if plain.grid else RotaryTable(plain.width // plain.heads, name="rope")(patches))


def block(x, plain, i, rotary=None, drop=0.0):
    """Figure 1, right: attention over all tokens and a hidden layer of four times the width, each added to its input.

    `i` counts from 0, and `drop` is the block's rate of stochastic depth.
    """
    name = f"blocks.{i}"
    y = norm(x, plain, f"{name}.norm1")
    query, key, value = _projections(y, plain, f"{name}.attn")
    if rotary is not None:
        query, key = (Rotate(plain.heads)([part, rotary]) for part in (query, key))
    y = dense(attention(query, key, value, plain.heads), plain.width, f"{name}.attn.proj", initial=INITIAL)
    x = _added(x, y, plain, f"{name}.ls1", drop)
    y = dense(norm(x, plain, f"{name}.norm2"), 4 * plain.width, f"{name}.mlp.fc1", "gelu", initial=INITIAL)
    return _added(x, dense(y, plain.width, f"{name}.mlp.fc2", initial=INITIAL), plain, f"{name}.ls2", drop)


def norm(x, plain, name="norm"):
    """Layer norm of every token; with the default name the one after the last block."""
    return keras.layers.LayerNormalization(epsilon=plain.epsilon, name=name)(x)


def patch_map(x, patches):
    """The tokens of the patches as a map: [batch, h, w, width]."""
    return PatchMap()([x, patches])


def _projections(x, plain, name):
    """Queries, keys and values."""
    if plain.fused:
        return keras.ops.split(dense(x, 3 * plain.width, f"{name}.qkv", initial=INITIAL), 3, axis=-1)
    bias = {"q": True, "k": plain.key_bias, "v": True}
    return [dense(x, plain.width, f"{name}.{part}", initial=INITIAL, bias=b) for part, b in bias.items()]


def _added(x, y, plain, name, drop):
    """x and the end of a residual branch."""
    y = y if plain.layer_scale is None else LayerScale(plain.layer_scale, name=name)(y)
    return keras.layers.Add()([x, stochastic_depth(y, drop)])
