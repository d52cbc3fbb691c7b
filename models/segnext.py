"""SegNeXt: Rethinking Convolutional Attention Design for Semantic Segmentation.

Guo, Lu, Hou, Liu, Cheng, Hu, NeurIPS 2022. https://arxiv.org/abs/2209.08575
Geng, Guo, Chen, Li, Wei, Lin, Is Attention Better Than Matrix Decomposition?, ICLR 2021, for the head's "hamburger".
https://arxiv.org/abs/2109.04553

The form of mmsegmentation, of which the authors' code is a copy, and whose weights fit.
"""

import dataclasses

import keras
from keras import ops

from models import layers

REFERENCE = {
    "params": {"segnext": {12: 4_227_948}, 'segnext(variant="s")': {12: 13_897_420}},
    "macs": {"segnext": 147_670_272},
    "input": (64, 96, 3),
    "source": "open-mmlab/mmsegmentation mmseg/models/backbones/mscan.py and decode_heads/ham_head.py, run",
    "published": "ADE20K val: T 41.1, S 44.3, B 48.5, L 51.0; Cityscapes val: T 79.8, S 81.3, B 82.6, L 83.2 "
    "(the authors' README)",
    "scores": {
        "ADE20K val": {
            "segnext": 41.1,
            'segnext(variant="s")': 44.3,
            'segnext(variant="b")': 48.5,
            'segnext(variant="l")': 51.0,
        },
        "Cityscapes val": {
            "segnext": 79.8,
            'segnext(variant="s")': 81.3,
            'segnext(variant="b")': 82.6,
            'segnext(variant="l")': 83.2,
        },
    },
}

LAST_STEP = layers.resize  # the reference's output is an eighth of the image

# mmsegmentation's rule for the backbone, whose fan_out is that of a group of channels.
INITIAL = layers.kaiming_normal("fan_out", bias=0.0, depthwise=layers.kaiming_normal("fan_in", bias=0.0))
EXPANSIONS = (8, 8, 4, 4)  # of the hidden layer, for each stage
STRIPS = (7, 11, 21)
LAYER_SCALE = 1e-2
GROUPS = 32  # of the head's norms
DROPOUT = 0.1
RANK, STEPS_IN_TRAINING, STEPS = 16, 6, 7  # bases, and how often they are improved


@dataclasses.dataclass(frozen=True)
class Variant:
    """Table 2: channels and blocks of the stages, channels of the head, and the last block's rate of stochastic depth."""

    widths: tuple
    depths: tuple
    head: int
    stochastic_depth: float = 0.1  # it rises linearly from 0


WIDE = (64, 128, 320, 512)
VARIANTS = {
    "t": Variant((32, 64, 160, 256), (3, 3, 5, 2), 256),
    "s": Variant(WIDE, (2, 2, 4, 2), 256),
    "b": Variant(WIDE, (3, 3, 12, 3), 512),
    "l": Variant(WIDE, (3, 5, 27, 3), 1024, 0.3),
}


def build(inputs, num_classes, *, variant="t"):
    """Figures 2 and 3: four stages of convolutional attention, a head on the last three. `variant` is "t", "s", "b" or "l"."""
    if variant not in VARIANTS:
        raise ValueError(f"Expected variant: {', '.join(VARIANTS)}. Received: {variant=}.")
    maps = mscan(inputs, VARIANTS[variant])
    return {"logits": head(maps[1:], VARIANTS[variant].head, num_classes)}


@layers.initial_weights(INITIAL)
def mscan(inputs, v):
    """Table 2: the maps at 1/4, 1/8, 1/16 and 1/32 of the resolution."""
    x, maps, done = inputs, [], 0
    for stage, (width, depth, expansion) in enumerate(zip(v.widths, v.depths, EXPANSIONS, strict=True), start=1):
        name = f"backbone.patch_embed{stage}"
        if stage == 1:
            x = layers.conv_norm(x, width // 2, 3, f"{name}.proj", (0, 1), "gelu", stride=2, bias=True)
            x = layers.conv_norm(x, width, 3, f"{name}.proj", (3, 4), None, stride=2, bias=True)
        else:
            x = layers.conv_norm(x, width, 3, name, ("proj", "norm"), None, stride=2, bias=True)
        for i in range(depth):
            drop = v.stochastic_depth * done / (sum(v.depths) - 1)
            x = block(x, f"backbone.block{stage}.{i}", expansion, drop)
            done += 1
        x = keras.layers.LayerNormalization(epsilon=1e-5, name=f"backbone.norm{stage}")(x)
        maps.append(x)
    return maps


def block(x, name, expansion, drop):
    """Figure 2a: attention and a hidden layer, each after a batch norm, with a learnt scale, added to its input."""
    y = attention(layers.batch_norm(x, f"{name}.norm1"), f"{name}.attn")
    x = added(x, y, f"{name}.layer_scale_1", drop)
    y = mlp(layers.batch_norm(x, f"{name}.norm2"), expansion, f"{name}.mlp")
    return added(x, y, f"{name}.layer_scale_2", drop)


def added(x, y, name, drop):
    """The sum of a map and a scaled branch, which training drops at the rate `drop`."""
    y = layers.LayerScale(LAYER_SCALE, name=name)(y)
    return keras.layers.Add()([x, layers.stochastic_depth(y, drop)])


def attention(x, name):
    """Figure 2b and equation 1: strips of three lengths behind a 5x5 gate the map; a 1x1 before and after."""
    value = keras.layers.Activation("gelu")(layers.conv(x, x.shape[-1], 1, f"{name}.proj_1"))
    unit = f"{name}.spatial_gating_unit"
    near = layers.depthwise_conv(value, 5, f"{unit}.conv0")
    maps = [near]
    for i, length in enumerate(STRIPS):
        y = layers.depthwise_conv(near, (1, length), f"{unit}.conv{i}_1")
        maps.append(layers.depthwise_conv(y, (length, 1), f"{unit}.conv{i}_2"))
    gate = layers.conv(keras.layers.Add()(maps), x.shape[-1], 1, f"{unit}.conv3")
    y = layers.conv(keras.layers.Multiply()([gate, value]), x.shape[-1], 1, f"{name}.proj_2")
    return keras.layers.Add()([x, y])


def mlp(x, expansion, name):
    """A hidden layer with a depthwise 3x3."""
    y = layers.conv(x, expansion * x.shape[-1], 1, f"{name}.fc1")
    y = keras.layers.Activation("gelu")(layers.depthwise_conv(y, 3, f"{name}.dwconv"))
    return layers.conv(y, x.shape[-1], 1, f"{name}.fc2")


@layers.initial_weights(layers.mmcv)
def head(maps, width, num_classes):
    """Figure 3c: the maps side by side at 1/8, what a few bases explain of them added to them, and the classes."""
    maps = [maps[0], *(layers.resize(x, like=maps[0]) for x in maps[1:])]
    x = layers.relu(group_norm(keras.layers.Concatenate()(maps), width, "decode_head.squeeze"))
    y = layers.relu(layers.conv(x, width, 1, "decode_head.hamburger.ham_in.conv"))
    y = MatrixDecomposition(name="decode_head.hamburger.ham")(y)
    y = group_norm(y, width, "decode_head.hamburger.ham_out")
    x = layers.relu(keras.layers.Add()([x, y]))
    x = layers.relu(group_norm(x, width, "decode_head.align"))
    x = layers.spatial_dropout(x, DROPOUT)
    return layers.conv(x, num_classes, 1, "decode_head.conv_seg", initial=layers.mmseg_classes)


def group_norm(x, width, name):
    """A 1x1 and group norm."""
    x = layers.conv(x, width, 1, f"{name}.conv", bias=False)
    return keras.layers.GroupNormalization(GROUPS, epsilon=1e-5, name=f"{name}.gn")(x)


@keras.saving.register_keras_serializable(package="tfseg")
class MatrixDecomposition(keras.layers.Layer):
    """Algorithm 1 of Geng et al. with multiplicative updates: [B, H, W, C], not negative, -> its approximation of rank 16.

    Every image has its own bases [C, 16] and coefficients [H * W, 16], of which six steps (in evaluation seven) lower the
    squared error of their product. The bases start from uniform draws, divided by their norms. The reference draws them anew
    at every call. We do so in training. In evaluation they start from the same draws every time, which are kept with the
    weights, so that an image always has the same result and an export agrees. Computed in float32 under every policy.
    """

    optional = ("bases",)  # checkpoints of the reference have no bases

    def __init__(self, **options):
        super().__init__(autocast=False, **options)
        self.seed_generator = keras.random.SeedGenerator()

    def build(self, shape):
        """The draws for evaluation; the same in every network."""
        start = keras.initializers.RandomUniform(0.0, 1.0, seed=0)
        self.bases = self.add_weight(shape=(1, shape[-1], RANK), initializer=start, trainable=False, name="bases")

    def call(self, inputs, training=False):
        """Gradients flow through all steps, as in the reference."""
        batch, height, width, channels = ops.shape(inputs)
        x = ops.cast(ops.reshape(inputs, (batch, height * width, channels)), "float32")
        if training:
            bases = keras.random.uniform((batch, channels, RANK), dtype="float32", seed=self.seed_generator)
        else:
            bases = ops.convert_to_tensor(self.bases)
        bases = bases / ops.sqrt(ops.sum(ops.square(bases), axis=1, keepdims=True))
        coefficients = ops.softmax(ops.matmul(x, bases))
        for _ in range(STEPS_IN_TRAINING if training else STEPS):
            coefficients = updated(coefficients, x, bases)
            bases = updated(bases, transposed(x), coefficients)
        coefficients = updated(coefficients, x, bases)
        y = ops.matmul(coefficients, transposed(bases))
        return ops.cast(ops.reshape(y, (batch, height, width, channels)), inputs.dtype)

    def compute_output_spec(self, inputs, training=False):
        """The shape of the input."""
        return keras.KerasTensor(inputs.shape, inputs.dtype)

    def multiply_accumulates(self):
        """Of one image in evaluation: products of data and factors, of a factor with itself, and with the other one."""
        _, height, width, channels = self.input.shape
        positions = height * width
        data = (2 * STEPS + 3) * positions * channels * RANK
        return data + ((2 * STEPS + 1) * channels + (2 * STEPS + 1) * positions) * RANK**2


def updated(factor, x, other):
    """One multiplicative step towards x = factor other^T: Lee and Seung, Nature 1999."""
    return factor * ops.matmul(x, other) / (ops.matmul(factor, ops.matmul(transposed(other), other)) + 1e-6)


def transposed(x):
    """[batch, rows, columns] -> [batch, columns, rows]."""
    return ops.transpose(x, (0, 2, 1))
