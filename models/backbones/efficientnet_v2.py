"""EfficientNetV2: Smaller Models and Faster Training.

Tan, Le, ICML 2021. https://arxiv.org/abs/2104.00298

We build torchvision's form: every padding is symmetric, epsilon of batch norm is 1e-3. c5 is the output of the last block; the
1x1 after it belongs to the classifier.
"""

import dataclasses

import keras

from models import layers
from models.backbones import Weights, efficientnet


@dataclasses.dataclass(frozen=True)
class Variant:
    """Table 4 and its larger forms."""

    stages: tuple  # expansion, kernel, stride, channels, repetitions; blocks of the first three stages are fused
    dropout: float  # of the classifier

    @property
    def norm(self):
        """The options of the batch norms."""
        return {"epsilon": 1e-3}


S = (
    (1, 3, 1, 24, 2),
    (4, 3, 2, 48, 4),
    (4, 3, 2, 64, 4),
    (4, 3, 2, 128, 6),
    (6, 3, 1, 160, 9),
    (6, 3, 2, 256, 15),
)
M = (
    (1, 3, 1, 24, 3),
    (4, 3, 2, 48, 5),
    (4, 3, 2, 80, 5),
    (4, 3, 2, 160, 7),
    (6, 3, 1, 176, 14),
    (6, 3, 2, 304, 18),
    (6, 3, 1, 512, 5),
)
L = (
    (1, 3, 1, 32, 4),
    (4, 3, 2, 64, 7),
    (4, 3, 2, 96, 7),
    (4, 3, 2, 192, 10),
    (6, 3, 1, 224, 19),
    (6, 3, 2, 384, 25),
    (6, 3, 1, 640, 7),
)
FUSED, LAST = 3, 1280  # stages, channels of the classifier's 1x1

VARIANTS = {
    "efficientnet_v2_s": Variant(S, 0.2),
    "efficientnet_v2_m": Variant(M, 0.3),
    "efficientnet_v2_l": Variant(L, 0.4),
}

INITIAL = efficientnet.INITIAL

REFERENCE = {
    "efficientnet_v2_s": {"params": {1000: 21_458_488}, "macs": 527_486_912, "input": (96, 96, 3)},
    "efficientnet_v2_m": {"params": {1000: 54_139_356}},
    "efficientnet_v2_l": {"params": {1000: 118_515_272}},
}


WEIGHTS = {
    "efficientnet_v2_s": Weights.torchvision("efficientnet_v2_s-dd5fe13b", 84.228),
    "efficientnet_v2_m": Weights.torchvision("efficientnet_v2_m-dc08266a", 85.112),
    "efficientnet_v2_l": Weights.torchvision("efficientnet_v2_l-59c71312", 85.808),
}

NORMALIZATION = {"efficientnet_v2_l": "affine(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))"}


def channels(variant):
    """Of the five feature maps."""
    widths = [filters for *_, filters, _ in VARIANTS[variant].stages]
    return {"c1": widths[0], "c2": widths[1], "c3": widths[2], "c4": widths[4], "c5": widths[-1]}


def build(inputs, variant, output_stride=32):
    """Table 4 up to its last stage; a feature map is the last one of its resolution."""
    v = VARIANTS[variant]
    x = layers.conv_norm(inputs, v.stages[0][3], 3, "features.0", activation="silu", stride=2, **v.norm)

    def next_block(x, stage, i, done, expansion, kernel, filters, stride, dilation, drop):
        block = fused_block if stage <= FUSED else efficientnet.block
        return block(x, expansion, kernel, filters, f"features.{stage}.{i}.block", v, stride, dilation, drop)

    depths = [repetitions for *_, repetitions in v.stages]
    return efficientnet.stages(x, 1.0, depths, output_stride, next_block, v.stages)


def head(features, num_classes, variant):
    """A 1x1 to 1280 channels, their means and a linear layer."""
    v = VARIANTS[variant]
    x = layers.conv_norm(features["c5"], LAST, 1, f"features.{len(v.stages) + 1}", activation="silu", **v.norm)
    return efficientnet.classifier(x, num_classes, v.dropout)


def fused_block(x, expansion, kernel, filters, name, v, stride, dilation, drop):
    """Fused-MBConv, figure 2: widened by the convolution with the stride, narrowed by a linear 1x1.

    Without an expansion there is only the former.
    """
    where = {"stride": stride, "dilation": dilation, "activation": "silu", **v.norm}
    if expansion == 1:
        y = layers.conv_norm(x, filters, kernel, f"{name}.0", **where)
    else:
        y = layers.conv_norm(x, x.shape[-1] * expansion, kernel, f"{name}.0", **where)
        y = layers.conv_norm(y, filters, 1, f"{name}.1", activation=None, **v.norm)
    # A block with stride never adds its input, also if dilation replaced the stride, because its channels always change.
    if stride > 1 or x.shape[-1] != filters:
        return y
    return keras.layers.Add()([x, layers.stochastic_depth(y, drop)])
