"""OCNet: Object Context Network for Scene Parsing.

Yuan, Wang, arXiv 2018; Yuan, Huang, Guo, Zhang, Chen, Wang, IJCV 2021. https://arxiv.org/abs/1809.00916

The authors' github.com/openseg-group/OCNet.pytorch, whose weights fit. "aux_0" is computed from the features of the fourth
stage only to train them; it is not part of the logits.
"""

import functools

import keras
from keras import ops

import tfseg.spec as specs
from models import backbones, layers
from models.backbones import resnet

REFERENCE = {
    "params": {
        "ocnet": {12: 57_715_672},
        'ocnet(variant="pyramid")': {12: 62_577_112},
        'ocnet(variant="asp")': {12: 62_535_000},
        'ocnet(backbone="resnet18_deep")': {},
        'ocnet(variant="pyramid", backbone="resnet18_deep")': {},
        'ocnet(variant="asp", backbone="resnet18_deep")': {},
    },
    # The reference computes the transform of queries and keys twice, and counts it twice.
    "macs": {"ocnet": 6_435_240_448, 'ocnet(variant="pyramid")': 7_010_481_664, 'ocnet(variant="asp")': 6_976_792_576},
    "input": (64, 96, 3),
    "source": "openseg-group/OCNet.pytorch network/resnet101_{base,pyramid,asp}_oc.py, run",
    "published": "Cityscapes val, single scale: base 79.3, ASP 79.5; test 81.2 (the repository's README)",
    "scores": {
        "Cityscapes val": {"ocnet": 79.3, 'ocnet(variant="asp")': 79.5},
    },
}

AUX_WEIGHTS = {"aux_0": 0.4}
FULL_SIZE = ("logits", "aux_0")
LAST_STEP = functools.partial(layers.resize, align_corners=True)  # the reference's output is an eighth of the image

# Queries and keys have the same transform, which the reference registers under both names.
ALIASES = ((r"\.f_query\.", ".f_key."),)

KEYS = 256  # the number of channels with which two positions are compared
PYRAMID = (1, 2, 3, 6)
RATES = (12, 24, 36)


def build(inputs, num_classes, *, variant="base", backbone="resnet101_deep", scale=None):
    """Figure 3: a dilated backbone, a 3x3, one of three kinds of object context, a 1x1 to the classes.

    Args:
        inputs: [B, H, W, 3].
        num_classes: channels of the logits.
        variant: "base", "pyramid" or "asp": figure 4's base OC, pyramid OC, ASP-OC.
        backbone: a spec of `models.backbones` that can stay at 1/8 of the resolution.
        scale: only for base and asp, by default 1 and 2: the context is computed at 1 / (8 * scale) of the resolution. Its
            memory grows with the square of the number of pixels, so it falls by scale ** 4: base OC keeps 31 MB of attention
            weights for an image of 360x480, 485 MB for one of 720x960, and for the latter 29 MB with scale=2.

    Returns:
        {"logits": and "aux_0": [B, H / 8, W / 8, num_classes]}, rounded up.
    """
    contexts = {"base": base_context, "pyramid": pyramid_context, "asp": asp_context}
    context = specs.choose(contexts, variant, "a variant of OCNet")
    if scale is not None and (variant == "pyramid" or not isinstance(scale, int) or scale < 1):
        raise ValueError(f"Expected a whole scale from 1, of base or asp. Received: {scale=} of {variant=}.")
    options = {"dilate_first": True, "ceil_pool": True} if backbones.find(backbone)[1] is resnet else {}
    features = backbones.build(backbone, inputs, output_stride=8, initial=layers.torch_default, **options)
    x = context(features["c5"], **({"scale": scale} if scale else {}))
    # Only the repository's file for pyramid OC has no activation here.
    activation = None if variant == "pyramid" else leaky_relu
    y = layers.conv_norm(features["c4"], 512, 3, "dsn", activation=activation, bias=True)
    y = layers.spatial_dropout(y, 0.1 if variant == "asp" else 0.05)
    return {"logits": layers.conv(x, num_classes, 1, "cls"), "aux_0": layers.conv(y, num_classes, 1, "dsn.3")}


def base_context(x, scale=1):
    """Base OC: the object context of the whole image beside the features. [B, H, W, C] -> [B, H, W, 512]."""
    x = layers.conv_norm(x, 512, 3, "context", activation=leaky_relu, bias=True)
    y = object_context(x, "context.2.stages.0", KEYS, KEYS, scale=scale)
    x = keras.layers.Concatenate()([y, x])
    x = layers.conv_norm(x, 512, 1, "context.2.conv_bn_dropout", activation=leaky_relu, bias=True)
    return layers.spatial_dropout(x, 0.05)


def pyramid_context(x):
    """Pyramid OC: the object contexts of 1, 4, 9 and 36 parts of the image, and the features, widened to as many channels.

    [B, H, W, C] -> [B, H, W, 512].
    """
    x = layers.conv_norm(x, 512, 3, "layer5", activation=None, bias=True)
    maps = [layers.conv_norm(x, 512 * len(PYRAMID), 1, "context.up_dr", activation=leaky_relu, bias=True)]
    for i, parts in enumerate(PYRAMID):
        maps.append(object_context(x, f"context.stages.{i}", KEYS, 512, parts=parts))
    x = keras.layers.Concatenate()(maps)
    x = layers.conv_norm(x, 512, 1, "context.conv_bn_dropout", activation=leaky_relu, bias=True)
    return layers.spatial_dropout(x, 0.05)


def asp_context(x, scale=2):
    """ASP-OC: ASPP with the object context instead of the image's mean. [B, H, W, C] -> [B, H, W, 512]."""
    x = layers.conv_norm(x, 512, 3, "context", activation=leaky_relu, bias=True)
    name = "context.2"
    y = layers.conv_norm(x, 256, 3, f"{name}.context", activation=leaky_relu, bias=True)
    y = object_context(y, f"{name}.context.2.stages.0", 128, 256, scale=scale)
    maps = [layers.conv_norm(y, 256, 1, f"{name}.context.2.conv_bn_dropout", activation=leaky_relu, bias=True)]
    maps.append(layers.conv_norm(x, 256, 1, f"{name}.conv2", activation=leaky_relu))
    for i, rate in enumerate(RATES, start=3):
        maps.append(layers.conv_norm(x, 256, 3, f"{name}.conv{i}", activation=leaky_relu, dilation=rate))
    x = layers.conv_norm(keras.layers.Concatenate()(maps), 512, 1, f"{name}.conv_bn_dropout", activation=leaky_relu)
    return layers.spatial_dropout(x, 0.1)


def object_context(x, name, keys, values, *, parts=1, scale=1):
    """Equation 2: for every position the mean of the features of similar positions. [B, H, W, C] -> [B, H, W, C].

    Args:
        x: [B, H, W, C].
        name: the beginning of the layers' names.
        keys, values: the number of channels with which positions are compared, and of those that are collected.
        parts: the image is divided into `parts` x `parts` parts, and a position sees only its own part.
        scale: the context is computed at 1 / scale of the resolution.
    """
    y = layers.max_pool(x, scale) if scale > 1 else x
    key = layers.conv_norm(y, keys, 1, f"{name}.f_key", activation=leaky_relu, bias=True)
    value = layers.conv(y, values, 1, f"{name}.f_value")
    y = ObjectContext(parts)([key, value])
    y = layers.conv(y, x.shape[-1], 1, f"{name}.W", initial=layers.zeros)
    return layers.resize(y, like=x, align_corners=True) if scale > 1 else y


def leaky_relu(x):
    """The activation of the reference's InPlaceABN."""
    return keras.layers.LeakyReLU(0.01)(x)


@keras.saving.register_keras_serializable(package="tfseg")
class ObjectContext(keras.layers.Layer):
    """[keys [B, H, W, K], values [B, H, W, V]] -> [B, H, W, V]: self-attention within each of parts x parts of the image.

    A part has H // parts by W // parts positions; the last parts also have the remaining ones.
    """

    def __init__(self, parts=1, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.parts = parts

    def call(self, inputs):
        """Part by part, from left to right and down."""
        key, value = inputs
        rows, columns = (self._spans(n) for n in ops.shape(key)[1:3])
        return ops.concatenate(
            [
                ops.concatenate([attend(*(_window(x, row, column) for x in (key, value))) for column in columns], 2)
                for row in rows
            ],
            1,
        )

    def _spans(self, n):
        """(begin, length) of the parts of n positions."""
        step = n // self.parts
        return [(i * step, step if i < self.parts - 1 else n - i * step) for i in range(self.parts)]

    def multiply_accumulates(self):
        """For one image: every position is compared with all positions of its part, and takes their weighted mean."""
        (_, h, w, keys), (*_, values) = (x.shape for x in self.input)
        rows, columns = (sum(length**2 for _, length in self._spans(n)) for n in (h, w))
        return rows * columns * (keys + values)

    def compute_output_spec(self, inputs):
        """The values' shape."""
        return keras.KerasTensor(inputs[1].shape, inputs[1].dtype)

    def get_config(self):
        """With the option of the constructor."""
        return {**super().get_config(), "parts": self.parts}


def _window(x, row, column):
    """x [B, H, W, C] at the spans (begin, length) of rows and columns."""
    return ops.slice(x, (0, row[0], column[0], 0), (ops.shape(x)[0], row[1], column[1], x.shape[-1]))


def attend(key, value):
    """[B, h, w, K], [B, h, w, V] -> [B, h, w, V]: means of all values, weighted by softmax(key . key / sqrt(K)).

    Queries and keys are the same. The weights [B, h w, h w] need the most memory: two at a time, and one is kept for training.
    """
    b, h, w, k = ops.shape(key)
    keys, values = ops.reshape(key, (b, h * w, k)), ops.reshape(value, (b, h * w, value.shape[-1]))
    likeness = ops.matmul(keys * key.shape[-1] ** -0.5, ops.transpose(keys, (0, 2, 1)))
    weights = ops.softmax(ops.cast(likeness, "float32"))
    return ops.reshape(ops.matmul(ops.cast(weights, values.dtype), values), (b, h, w, value.shape[-1]))
