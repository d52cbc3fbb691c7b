"""MA-Net: A Multi-Scale Attention Network for Liver and Tumor Segmentation.

Fan, Wang, Li, Wang, IEEE Access 8, 2020. https://ieeexplore.ieee.org/document/9201310

The network of segmentation_models_pytorch (github.com/qubvel-org), whose weights fit: on any backbone.
"""

import keras
from keras import ops

from models import backbones, layers
from models.fpn import DECODER, HEAD
from models.unet import two_convolutions

REFERENCE = {
    # ResNet-34 has 10_108_160 parameters more than ResNet-18.
    "params": {"manet": {12: 31_785_228}, 'manet(backbone="resnet18")': {12: 21_677_068}},
    "macs": {'manet(backbone="resnet18")': 562_637_056},
    "input": (64, 96, 3),
    "source": "qubvel-org/segmentation_models.pytorch decoders/manet, run",
}

SIZE_MULTIPLE = 32  # the reference refuses others: a doubled map and the backbone's then disagree on the size

RENAMES = ((r"^(?!decoder|segmentation_head)", "encoder."),)

WIDTHS = (256, 128, 64, 32, 16)
KEYS, REDUCTION = 64, 16  # channels with which positions are compared; by which the gates' hidden layer is narrower


@layers.initial_weights(DECODER)
def build(inputs, num_classes, *, backbone="resnet34"):
    """Figure 1: position attention on the deepest map, multi-scale fusion on the way up. `backbone`: of `models.backbones`."""
    features = backbones.aligned(backbone, backbones.build(backbone, inputs), inputs)
    strides = {"c0": 1, **backbones.strides(backbone)}
    x = position_attention(features["c5"], "decoder.center")
    for i, width in enumerate(WIDTHS):
        below, level = f"c{5 - i}", f"c{4 - i}"
        factor, name = strides[below] // strides[level], f"decoder.blocks.{i}"
        if level == "c0":
            x = layers.fit(keras.layers.UpSampling2D(factor)(x), inputs)
        else:
            x = fusion(x, features[level], factor, name)
        x = two_convolutions(x, name, width)
    return {"logits": layers.conv(x, num_classes, 3, "segmentation_head.0", initial=HEAD)}


def position_attention(x, name):
    """Figure 2, position-wise attention: every position adds the values of all others, then a 3x3."""
    query = layers.conv(x, KEYS, 1, f"{name}.center_conv")
    key = layers.conv(x, KEYS, 1, f"{name}.top_conv")
    value = layers.conv(x, x.shape[-1], 3, f"{name}.bottom_conv")
    x = keras.layers.Add()([x, PositionAttention()([query, key, value])])
    return layers.conv(x, x.shape[-1], 3, f"{name}.out_conv")


def fusion(x, skip, factor, name):
    """Figure 3, multi-scale fusion attention: the deeper map, weighted by gates of both maps' means, beside the other."""
    x = layers.conv_norm(x, x.shape[-1], 3, f"{name}.hl_conv.0")
    x = layers.conv_norm(x, skip.shape[-1], 1, f"{name}.hl_conv.1")
    x = layers.fit(keras.layers.UpSampling2D(factor)(x), skip)
    weights = keras.layers.Add()([gate(x, f"{name}.SE_hl"), gate(skip, f"{name}.SE_ll")])
    return keras.layers.Concatenate()([keras.layers.Multiply()([x, weights]), skip])


def gate(x, name):
    """A number in 0..1 for every channel, from the channels' means."""
    width = max(1, x.shape[-1] // REDUCTION)
    y = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    y = layers.relu(layers.conv(y, width, 1, f"{name}.1"))
    return keras.layers.Activation("sigmoid")(layers.conv(y, x.shape[-1], 1, f"{name}.3"))


@keras.saving.register_keras_serializable(package="tfseg")
class PositionAttention(keras.layers.Layer):
    """[queries [B, H, W, K], keys [B, H, W, K], values [B, H, W, V]] -> [B, H, W, V].

    As in the reference, one softmax runs over all pairs of positions of an image, not over the keys of a query, and the result
    [positions, V] is read as [V, H, W] without a transposition.
    """

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    def call(self, inputs):
        """The softmax is computed in float32."""
        query, key, value = inputs
        b, h, w, k = ops.shape(query)
        channels = value.shape[-1]
        query, key = (ops.reshape(x, (b, h * w, k)) for x in (query, key))
        likeness = ops.matmul(query, ops.transpose(key, (0, 2, 1)))
        weights = ops.softmax(ops.reshape(ops.cast(likeness, "float32"), (b, h * w * h * w)))
        weights = ops.reshape(ops.cast(weights, value.dtype), (b, h * w, h * w))
        mixed = ops.matmul(weights, ops.reshape(value, (b, h * w, channels)))
        return ops.transpose(ops.reshape(mixed, (b, channels, h, w)), (0, 2, 3, 1))

    def multiply_accumulates(self):
        """Of one image: every position is compared with all, and takes the values of all."""
        (_, h, w, keys), _, (*_, values) = (x.shape for x in self.input)
        return (h * w) ** 2 * (keys + values)

    def compute_output_spec(self, inputs):
        """The values' shape."""
        return keras.KerasTensor(inputs[2].shape, inputs[2].dtype)
