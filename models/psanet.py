"""PSANet: Point-wise Spatial Attention Network for Scene Parsing.

Zhao, Zhang, Liu, Shi, Loy, Lin, Jia, ECCV 2018. https://hszhao.github.io/papers/eccv18_psanet.pdf

The authors' github.com/hszhao/semseg (model/psanet.py), whose weights fit, with both branches and its 1/2 resolution for the
attention. "aux_0" is computed from the features of the fourth stage only to train them; it is not part of the logits.
"""

import keras
from keras import ops

from models import backbones, layers, pspnet
from models.backbones import resnet

REFERENCE = {
    "params": {
        "psanet": {150: 53_273_836},
        "psanet(mask=(13, 17))": {12: 49_829_336},
        'psanet(backbone="resnet101_deep")': {150: 72_265_964},
    },
    "macs": {"psanet(mask=(13, 17))": 10_524_066_496},
    "input": (97, 129, 3),
    "source": "hszhao/semseg model/psanet.py, run",
    "published": "ResNet-50, 101, single scale: ADE20K 42.29, 43.37; VOC 77.25, 78.70; "
    "Cityscapes val 77.45, 78.42 (hszhao/semseg's README)",
    "scores": {
        "ADE20K val": {"psanet": 42.29, 'psanet(backbone="resnet101_deep")': 43.37},
        "VOC val": {"psanet": 77.25, 'psanet(backbone="resnet101_deep")': 78.7},
        "Cityscapes val": {"psanet": 77.45, 'psanet(backbone="resnet101_deep")': 78.42},
    },
}

AUX_WEIGHTS = {"aux_0": 0.4}
FULL_SIZE = ("logits", "aux_0")

# The reference refuses others: its grids of 1/16, of 1/8 and of the image share their corners.
SIZE_MULTIPLE, SIZE_REMAINDER = 16, 1

RENAMES = pspnet.STEM  # the same repository's backbone, and its heads below

WIDTH = 512


def build(inputs, num_classes, *, backbone="resnet50_deep", mask=(59, 59), smoothed_dilation=None):
    """A dilated backbone, point-wise spatial attention on its last stage, a head.

    `backbone` is a spec of `models.backbones` that can stay at 1/8 of the resolution. `mask` (height, width), odd numbers, is
    the size of the area around a position for which it predicts attention, at 1/16 of the resolution. To cover all pairs, an
    image of 16 k + 1 pixels needs 2 k + 1: the authors' 465 pixels need 59. In larger images, more distant pairs have the
    logit 0.
    `smoothed_dilation` "gi" or "ssc" smooths the backbone's dilated convolutions (layers/smoothed_dilation.py).
    """
    if not isinstance(mask, (tuple, list)) or len(mask) != 2 or any(n < 3 or n % 2 == 0 for n in mask):
        raise ValueError(f"Expected mask (height, width) of odd numbers from 3. Received: {mask=}.")
    options = {"dilate_first": True} if backbones.find(backbone)[1] is resnet else {}
    features = backbones.build(backbone, inputs, output_stride=8, smoothed_dilation=smoothed_dilation, **options)
    x = point_wise_spatial_attention(features["c5"], mask)
    x = pspnet.classifier(x, 512, num_classes, "cls")
    aux = pspnet.classifier(features["c4"], 256, num_classes, "aux")
    return {
        "logits": layers.resize(x, like=inputs, align_corners=True),
        "aux_0": layers.resize(aux, like=inputs, align_corners=True),
    }


def point_wise_spatial_attention(x, mask):
    """The features, with what a position collects from all others and what all others distribute to it."""
    y = keras.layers.Concatenate()(
        [aggregate(x, mask, "", distribute=False), aggregate(x, mask, "_p", distribute=True)]
    )
    y = layers.conv_norm(y, x.shape[-1], 1, "psa.proj")
    return keras.layers.Concatenate()([x, layers.resize(y, like=x, align_corners=True)])


def aggregate(x, mask, suffix, distribute):
    """One branch, at half the resolution: each position predicts the attention between it and those around it."""
    x = layers.conv_norm(x, WIDTH, 1, f"psa.reduce{suffix}")
    x = keras.layers.MaxPooling2D(1, 2)(x)  # rows and columns 0, 2, ..: the reference's resize of an odd size
    y = layers.conv_norm(x, WIDTH, 1, f"psa.attention{suffix}")
    y = layers.conv(y, mask[0] * mask[1], 1, f"psa.attention{suffix}.3", bias=False)
    return Aggregation(mask, distribute)([x, y])


@keras.saving.register_keras_serializable(package="tfseg")
class Aggregation(keras.layers.Layer):
    """[features [B, H, W, C], attention [B, H, W, mask height * mask width]] -> [B, H, W, C].

    Channel (a, b) of the attention at (h, w) is between there and (h + a - mask height // 2, w + b - mask width // 2);
    pairs beyond the mask have 0. A position's result is the mean of all features, weighted by the softmax of their
    attention. This attention is predicted at the position of the result, or with `distribute` at those of the features.
    """

    def __init__(self, mask, distribute, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.mask, self.distribute = tuple(mask), distribute

    def call(self, inputs):
        """The weighted means."""
        x, attention = inputs
        b, h, w = ops.shape(x)[:3]
        c, (height, width) = x.shape[-1], self.mask
        # From offsets to positions, along the width: [B, h, height, w, width] -> [B, h, height, w, w], then the height.
        y = ops.transpose(ops.reshape(attention, (b, h, w, height, width)), (0, 1, 3, 2, 4))
        y = _positions(ops.reshape(y, (b * h * height, w, width)), w)
        y = ops.transpose(ops.reshape(y, (b, h, height, w, w)), (0, 3, 4, 1, 2))
        y = _positions(ops.reshape(y, (b * w * w, h, height)), h)
        # [B, w, w, h, h] -> [B, h, w, h, w], the attention predicted at the first pair to the second.
        y = ops.transpose(ops.reshape(y, (b, w, w, h, h)), (0, 4, 2, 3, 1) if self.distribute else (0, 3, 1, 4, 2))
        y = ops.softmax(ops.cast(ops.reshape(y, (b, h * w, h * w)), "float32"))
        y = ops.matmul(ops.cast(y, x.dtype), ops.reshape(x, (b, h * w, c)))
        return ops.reshape(y, (b, h, w, c))

    def multiply_accumulates(self):
        """For one image: every position takes the mean of all features."""
        _, h, w, c = self.input[0].shape
        return (h * w) ** 2 * c

    def compute_output_spec(self, inputs):
        """The features' shape."""
        return keras.KerasTensor(inputs[0].shape, inputs[0].dtype)

    def get_config(self):
        """With the options of the constructor."""
        return {**super().get_config(), "mask": self.mask, "distribute": self.distribute}


def _positions(x, n):
    """[.., n, m], a row's entries for m offsets around its own index -> [.., n, n], its entries for the n indices.

    The offset of an index is one less in each next row. So we pad the rows to length m + 2 (n - 1), join them, and read them as
    rows that are shorter by one: then each index has its own column. This avoids a gather, whose gradient is slow.
    """
    before, length = x.shape[-1] // 2 + n - 1, x.shape[-1] + 2 * (n - 1)
    x = ops.pad(x, ((0, 0), (0, 0), (n - 1, n - 1)))
    rows = ops.shape(x)[0]
    x = ops.slice(ops.reshape(x, (rows, n * length)), (0, 0), (rows, n * (length - 1)))
    return ops.slice(ops.reshape(x, (rows, n, length - 1)), (0, 0, before), (rows, n, n))
