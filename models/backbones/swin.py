"""Swin: Swin Transformer: Hierarchical Vision Transformer using Shifted Windows.

Liu, Lin, Cao, Hu, Wei, Zhang, Lin, Guo, ICCV 2021. https://arxiv.org/abs/2103.14030

We build torchvision's form; other forms of the same network differ where `build` says so. The stem has stride 4, so its output
c1 is at 1/4 of the resolution, like c2. The stem rounds sizes down, the later stages round them up.
"""

import dataclasses

import keras
from keras import ops

from models import layers
from models.backbones import Weights, _dilation

# Of linear layers; the stem's convolution starts as PyTorch's. The reference cuts the normal distribution at -2 and 2, but that
# is a hundred deviations away.
LINEAR = layers.normal(0.02, bias=0.0)
WINDOW, EPSILON = 7, 1e-5
OUTPUT_STRIDES = (32,)


@dataclasses.dataclass(frozen=True)
class Variant:
    """Section 3.3, and the rate of stochastic depth of the last block; it rises linearly from 0."""

    width: int
    depths: tuple
    heads: tuple
    stochastic_depth: float


VARIANTS = {
    "swin_tiny": Variant(96, (2, 2, 6, 2), (3, 6, 12, 24), 0.2),
    "swin_small": Variant(96, (2, 2, 18, 2), (3, 6, 12, 24), 0.3),
    "swin_base": Variant(128, (2, 2, 18, 2), (4, 8, 16, 32), 0.5),
}

REFERENCE = {
    "swin_tiny": {"params": {1000: 28_288_354}, "macs": 1_105_673_000, "input": (96, 96, 3)},
    "swin_small": {"params": {1000: 49_606_258}},
    "swin_base": {"params": {1000: 87_768_224}},
}


WEIGHTS = {
    "swin_tiny": Weights.torchvision("swin_t-704ceda3", 81.474),
    "swin_small": Weights.torchvision("swin_s-5e29d889", 83.196),
    "swin_base": Weights.torchvision("swin_b-68c6b09e", 83.582),
}


def channels(variant):
    """Of the five feature maps."""
    width = VARIANTS[variant].width
    return {"c1": width, "c2": width, "c3": 2 * width, "c4": 4 * width, "c5": 8 * width}


def strides(variant):
    """Of the five feature maps."""
    return {"c1": 4, "c2": 4, "c3": 8, "c4": 16, "c5": 32}


def build(inputs, variant, output_stride=32, *, dense=False, channels_first=False, stochastic_depth=None):
    """Figure 3: a stem of 4x4 patches and four stages.

    The options are for networks whose reference has another form. With `dense` the image is padded to whole patches, so that
    all sizes are rounded up, and the windows are shifted also where a map has only one. `channels_first` keeps the four pixels
    of a channel together where patches are merged. `stochastic_depth` is the rate of the last block.
    """
    _dilation.refuse(output_stride, "Swin", "its windows cannot be dilated")
    v = VARIANTS[variant]
    rate = v.stochastic_depth if stochastic_depth is None else stochastic_depth
    x = layers.pad_to_multiple(inputs, 4) if dense else inputs
    x = norm(layers.conv(x, v.width, 4, "features.0.0", stride=4, padding=0), "features.0.2")
    features, done = {"c1": x}, 0
    for stage, (depth, heads) in enumerate(zip(v.depths, v.heads, strict=True)):
        if stage:
            x = merge(x, f"features.{2 * stage}", channels_first)
        masks = None, layers.shift_mask(x, WINDOW, WINDOW // 2, dense)
        for i in range(depth):
            drop = rate * done / (sum(v.depths) - 1)
            x = block(x, f"features.{2 * stage + 1}.{i}", heads, masks[i % 2], dense, drop)
            done += 1
        features[f"c{stage + 2}"] = x
    return features


def head(features, num_classes, variant):
    """A layer norm, the means and a linear layer."""
    x = keras.layers.GlobalAveragePooling2D()(norm(features["c5"], "norm"))
    return layers.dense(x, num_classes, "head", initial=LINEAR)


def block(x, name, heads, mask, dense, drop):
    """Equation 3: attention in windows, shifted where there is a mask, then a hidden layer of four times the width."""
    width, shift = x.shape[-1], WINDOW // 2 if mask is not None else 0
    options = {"size": WINDOW, "shift": shift, "mask": mask, "shift_small": dense, "initial": LINEAR}
    y = layers.window_attention(norm(x, f"{name}.norm1"), heads, f"{name}.attn", **options)
    x = keras.layers.Add()([x, layers.stochastic_depth(y, drop)])
    y = layers.dense(norm(x, f"{name}.norm2"), 4 * width, f"{name}.mlp.0", "gelu", initial=LINEAR)
    y = layers.dense(y, width, f"{name}.mlp.3", initial=LINEAR)
    return keras.layers.Add()([x, layers.stochastic_depth(y, drop)])


def merge(x, name, channels_first):
    """2x2 pixels, one after another, through a layer norm and a linear layer to twice the channels."""
    width = 2 * x.shape[-1]
    x = norm(MergePatches(channels_first)(layers.pad_to_multiple(x, 2)), f"{name}.norm")
    kernel, _ = LINEAR.start(2 * width, width)
    return keras.layers.Dense(width, use_bias=False, kernel_initializer=kernel, name=f"{name}.reduction")(x)


def norm(x, name):
    """Layer norm over the channels of every pixel."""
    return keras.layers.LayerNormalization(epsilon=EPSILON, name=name)(x)


@keras.saving.register_keras_serializable(package="tfseg")
class MergePatches(keras.layers.Layer):
    """[B, H, W, C] -> [B, H / 2, W / 2, 4 C] of even sizes: pixel above left, below left, above right, below right.

    With `channels_first` the four pixels of a channel, row by row, follow each other, as PyTorch's Unfold orders them.
    """

    def __init__(self, channels_first=False, **options):
        super().__init__(autocast=False, **options)
        self.channels_first = channels_first

    def call(self, inputs):
        """Transposes."""
        b, h, w, c = ops.shape(inputs)
        x = ops.reshape(inputs, (b, h // 2, 2, w // 2, 2, c))
        x = ops.transpose(x, (0, 1, 3, 5, 2, 4) if self.channels_first else (0, 1, 3, 4, 2, 5))
        return ops.reshape(x, (b, h // 2, w // 2, 4 * c))

    def compute_output_spec(self, inputs):
        """As above."""
        b, h, w, c = inputs.shape
        return keras.KerasTensor((b, h and h // 2, w and w // 2, 4 * c), inputs.dtype)

    def get_config(self):
        """Its option."""
        return {**super().get_config(), "channels_first": self.channels_first}
