"""MobileViT: Light-weight, General-purpose, and Mobile-friendly Vision Transformer.

Mehta, Rastegari, ICLR 2022. https://arxiv.org/abs/2110.02178

The layers are called as in huggingface/transformers, whose copies of the authors' weights (apple/mobilevit-*) fit.
"""

import dataclasses

import keras
from keras import ops

from models import layers
from models.backbones import _dilation
from models.backbones.mobilenet_v3 import divisible

# apple/ml-cvnets, options conv_init and linear_init of the configurations of MobileViT. It cuts the normal distribution of
# linear layers at -2 and 2, but that is a hundred deviations away.
INITIAL = layers.kaiming_normal("fan_out", bias=0.0)
LINEAR = layers.normal(0.02, bias=0.0)

NORMALIZATION = "affine(order='bgr', mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0))"

STEM, HEADS, PATCH = 16, 4, 2  # channels of the stem, heads of attention, rows and columns of a patch
BLOCKS, TRANSFORMERS = (1, 3), (2, 4, 3)  # of the first two stages and of the last three
CN = ("convolution", "normalization")


@dataclasses.dataclass(frozen=True)
class Variant:
    """Table 4: channels of the stages, the transformers and the last 1x1; expansion of MobileNetV2's blocks; dropout."""

    widths: tuple
    hidden: tuple
    last: int
    expansion: int
    dropout: float


VARIANTS = {
    "mobilevit_xxs": Variant((16, 24, 48, 64, 80), (64, 80, 96), 320, 2, 0.05),
    "mobilevit_xs": Variant((32, 48, 64, 80, 96), (96, 120, 144), 384, 4, 0.1),
    "mobilevit_s": Variant((32, 64, 96, 128, 160), (144, 192, 240), 640, 4, 0.1),
}

# As huggingface/pytorch-image-models counts them (results/model_metadata-in1k.csv).
REFERENCE = {
    "mobilevit_xxs": {"params": {1000: 1_272_024}},
    "mobilevit_xs": {"params": {1000: 2_317_848}},
    "mobilevit_s": {"params": {1000: 5_578_632}},
}

DILATION_KEEPS_FUNCTION = False  # without stride, there are other patches


def channels(variant):
    """Of the five feature maps."""
    return dict(zip(("c1", "c2", "c3", "c4", "c5"), VARIANTS[variant].widths, strict=True))


def build(inputs, variant, output_stride=32):
    """Figure 1b: MobileNetV2's blocks, and from 1/8 on a transformer after each."""
    v = VARIANTS[variant]
    plan = _dilation.plan((2, 1, 2, 2, 2, 2), output_stride)[1:]
    x, features = conv(inputs, STEM, 3, "mobilevit.conv_stem", stride=2), {}
    for stage, (width, (stride, first, _)) in enumerate(zip(v.widths, plan, strict=True)):
        name = f"mobilevit.encoder.layer.{stage}"
        if stage < len(BLOCKS):
            for i in range(BLOCKS[stage]):
                x = inverted_residual(x, width, v.expansion, 1 if i else stride, 1, f"{name}.layer.{i}")
        else:
            x = inverted_residual(x, width, v.expansion, stride, first, f"{name}.downsampling_layer")
            i = stage - len(BLOCKS)
            x = mobilevit_block(x, v.hidden[i], TRANSFORMERS[i], v.dropout, name)
        features[f"c{stage + 1}"] = x
    return features


def head(features, num_classes, variant):
    """A 1x1, the means and a linear layer."""
    x = conv(features["c5"], VARIANTS[variant].last, 1, "mobilevit.conv_1x1_exp")
    x = keras.layers.Dropout(0.1)(keras.layers.GlobalAveragePooling2D()(x))
    return layers.dense(x, num_classes, "classifier", initial=LINEAR)


def conv(x, width, kernel, name, **options):
    """A convolution, batch norm and SiLU."""
    return layers.conv_norm(x, width, kernel, name, CN, "silu", **options)


def inverted_residual(x, width, expansion, stride, dilation, name):
    """MobileNetV2's block: widened by a 1x1, a depthwise 3x3, narrowed by a linear 1x1; added to its input if both fit."""
    y = conv(x, divisible(expansion * x.shape[-1]), 1, f"{name}.expand_1x1")
    y = layers.depthwise_conv_norm(y, 3, f"{name}.conv_3x3", CN, "silu", stride=stride, dilation=dilation)
    y = layers.conv_norm(y, width, 1, f"{name}.reduce_1x1", CN, None)
    return keras.layers.Add()([x, y]) if stride == 1 and x.shape[-1] == width else y


def mobilevit_block(x, hidden, blocks, dropout, name):
    """Figure 1b, the block: a transformer between two 3x3. A map with an odd size is enlarged for it by a row or column."""
    width = x.shape[-1]
    y = conv(x, width, 3, f"{name}.conv_kxk")
    y = layers.conv(y, hidden, 1, f"{name}.conv_1x1.convolution", bias=False)
    even = layers.resize(y, like=layers.pad_to_multiple(y, PATCH))
    tokens = Unfold()(even)
    for i in range(blocks):
        tokens = transformer_block(tokens, dropout, f"{name}.transformer.layer.{i}")
    tokens = norm(tokens, f"{name}.layernorm")
    y = layers.resize(Fold()([tokens, even]), like=y)
    y = conv(y, width, 1, f"{name}.conv_projection")
    return conv(keras.layers.Concatenate()([x, y]), width, 3, f"{name}.fusion")


def transformer_block(x, dropout, name):
    """Attention and a hidden layer, each after a layer norm and added to its input: [B, patches, 4, C] -> the same.

    A pixel sees those at the same place in all other patches. So each place of the patch takes the role of further heads.
    """
    width = x.shape[-1]
    y = norm(x, f"{name}.layernorm_before")
    maps = [
        layers.dense(y, width, f"{name}.attention.attention.{which}", initial=LINEAR)
        for which in ("query", "key", "value")
    ]
    flat = [keras.layers.Reshape((-1, PATCH**2 * width))(y) for y in maps]
    y = keras.layers.Reshape((-1, PATCH**2, width))(layers.attention(*flat, PATCH**2 * HEADS))
    y = layers.dense(y, width, f"{name}.attention.output.dense", initial=LINEAR)
    x = keras.layers.Add()([x, layers.dropout(y, dropout)])
    y = norm(x, f"{name}.layernorm_after")
    y = layers.dense(y, 2 * width, f"{name}.intermediate.dense", "silu", initial=LINEAR)
    y = layers.dense(y, width, f"{name}.output.dense", initial=LINEAR)
    return keras.layers.Add()([x, layers.dropout(y, dropout)])


def norm(x, name):
    """Layer norm over the channels of every pixel."""
    return keras.layers.LayerNormalization(epsilon=1e-5, name=name)(x)


@keras.saving.register_keras_serializable(package="tfseg")
class Unfold(keras.layers.Layer):
    """Patches of 2x2 pixels, row after row, and in each its pixels, row after row: [B, H, W, C] -> [B, H * W / 4, 4, C]."""

    def __init__(self, **options):
        super().__init__(autocast=False, **options)

    def call(self, x):
        """Height and width are even."""
        batch, height, width, channels = ops.shape(x)
        x = ops.reshape(x, (batch, height // PATCH, PATCH, width // PATCH, PATCH * channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4))
        return ops.reshape(x, (batch, (height // PATCH) * (width // PATCH), PATCH**2, channels))

    def compute_output_spec(self, x):
        """As the class says."""
        batch, height, width, channels = x.shape
        patches = height and width and (height // PATCH) * (width // PATCH)
        return keras.KerasTensor((batch, patches, PATCH**2, channels), x.dtype)


@keras.saving.register_keras_serializable(package="tfseg")
class Fold(keras.layers.Layer):
    """The inverse of `Unfold`: [patches [B, H * W / 4, 4, C], a map [B, H, W, any]] -> [B, H, W, C]."""

    def __init__(self, **options):
        super().__init__(autocast=False, **options)

    def call(self, inputs):
        """Height and width are even."""
        x, like = inputs
        batch, height, width = ops.shape(like)[:3]
        x = ops.reshape(x, (batch, height // PATCH, width // PATCH, PATCH, PATCH * x.shape[-1]))
        x = ops.transpose(x, (0, 1, 3, 2, 4))
        return ops.reshape(x, (batch, height, width, inputs[0].shape[-1]))

    def compute_output_spec(self, inputs):
        """As the class says."""
        x, like = inputs
        return keras.KerasTensor((*like.shape[:3], x.shape[-1]), x.dtype)
