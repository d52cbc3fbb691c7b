"""Inception v3: Rethinking the Inception Architecture for Computer Vision.

Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, CVPR 2016. https://arxiv.org/abs/1512.00567

We build torchvision's form, without the auxiliary classifier. Its published weights expect pixels in [-1, 1]: torchvision's
`transform_input` scales to this range, and here the normalisation does. Convolutions with stride and pools are not padded, so
feature maps are smaller than their share of the image.
"""

import functools

import keras

from models import layers
from models.backbones import STRIDES as _STRIDES
from models.backbones import Weights, _dilation

VARIANTS = {"inception_v3": ()}

# The reference cuts the normal distribution at -2 and 2, but that is twenty deviations away.
INITIAL = layers.normal(0.1)

UNPADDED = True  # so feature maps are a few pixels smaller than their share of the image
LEAST = 75  # the smallest height and width in pixels; one pixel is left at the end

NORMALIZATION = "affine(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))"

REFERENCE = {"inception_v3": {"params": {1000: 27_161_264 - 3_326_696}, "macs": 5_713_216_096, "input": (299, 299, 3)}}

WEIGHTS = {
    "inception_v3": Weights.torchvision("inception_v3_google-0cc3c7bd", 77.294, unused=("AuxLogits.",)),
}

conv_norm = functools.partial(layers.conv_norm, entries=("conv", "bn"), epsilon=1e-3)


def channels(variant):
    """Of the five feature maps."""
    return {"c1": 64, "c2": 192, "c3": 288, "c4": 768, "c5": 2048}


def build(inputs, variant, output_stride=32):
    """Table 1."""
    *_, reduction_6, reduction_7 = _dilation.plan((2, 2, 2, 2, 2), output_stride)
    x = layers.pad_to_multiple(inputs, 1, least=LEAST)
    x = conv_norm(x, 32, 3, "Conv2d_1a_3x3", stride=2, padding=0)
    x = conv_norm(x, 32, 3, "Conv2d_2a_3x3", padding=0)
    x = conv_norm(x, 64, 3, "Conv2d_2b_3x3")
    features = {"c1": x}
    x = conv_norm(keras.layers.MaxPooling2D(3, 2)(x), 80, 1, "Conv2d_3b_1x1")
    x = features["c2"] = conv_norm(x, 192, 3, "Conv2d_4a_3x3", padding=0)

    x = keras.layers.MaxPooling2D(3, 2)(x)
    for name, width in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
        x = mixed_5(x, width, name)
    features["c3"] = x

    stride, first, dilation = reduction_6
    x = mixed_6a(x, "Mixed_6a", stride, first)
    for name, width in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
        x = mixed_6(x, width, name, dilation)
    features["c4"] = x

    stride, first, dilation = reduction_7
    x = mixed_7a(x, "Mixed_7a", stride, first)
    for name in ("Mixed_7b", "Mixed_7c"):
        x = mixed_7(x, name, dilation)
    features["c5"] = x
    return share(features, inputs, output_stride)


def share(features, inputs, output_stride):
    """Crops the feature maps of an image smaller than LEAST pixels, which was padded with zeros."""
    shares = {level: min(stride, output_stride) for level, stride in _STRIDES.items()}
    return {
        level: layers.fit(x, inputs[:, ::n, ::n, :1], pad=False)
        for (level, n), x in zip(shares.items(), features.values(), strict=True)
    }


def block_of(name):
    """A convolution before the mixed blocks, or a mixed block."""
    return name.partition(".")[0]


def head(features, num_classes, variant):
    """The means and a linear layer."""
    x = keras.layers.Dropout(0.5)(keras.layers.GlobalAveragePooling2D()(features["c5"]))
    return layers.dense(x, num_classes, "fc", initial=INITIAL)


def mixed_5(x, width, name):
    """Figure 5: 1x1, 5x5, two 3x3, and a pool with `width` channels."""
    a = conv_norm(x, 64, 1, f"{name}.branch1x1")
    b = chain(x, f"{name}.branch5x5", ((48, 1), (64, 5)))
    c = chain(x, f"{name}.branch3x3dbl", ((64, 1), (96, 3), (96, 3)))
    return keras.layers.Concatenate()([a, b, c, pooled(x, width, name)])


def mixed_6a(x, name, stride, dilation):
    """Figure 10: to half the resolution."""
    a = conv_norm(x, 384, 3, f"{name}.branch3x3", stride=stride, dilation=dilation, padding=0)
    b = chain(x, f"{name}.branch3x3dbl", ((64, 1), (96, 3)), dilation)
    b = conv_norm(b, 96, 3, f"{name}.branch3x3dbl_3", stride=stride, dilation=dilation, padding=0)
    return keras.layers.Concatenate()([a, b, max_pool(x, stride, dilation)])


def mixed_6(x, width, name, dilation):
    """Figure 6: 1x1, one 7x7 and two 7x7 as pairs of 1x7 and 7x1, and a pool."""
    a = conv_norm(x, 192, 1, f"{name}.branch1x1")
    b = chain(x, f"{name}.branch7x7", ((width, 1), (width, (1, 7)), (192, (7, 1))), dilation)
    twice = ((width, 1), (width, (7, 1)), (width, (1, 7)), (width, (7, 1)), (192, (1, 7)))
    c = chain(x, f"{name}.branch7x7dbl", twice, dilation)
    return keras.layers.Concatenate()([a, b, c, pooled(x, 192, name, dilation)])


def mixed_7a(x, name, stride, dilation):
    """Like figure 10, with a 7x7."""
    a = conv_norm(x, 192, 1, f"{name}.branch3x3_1")
    a = conv_norm(a, 320, 3, f"{name}.branch3x3_2", stride=stride, dilation=dilation, padding=0)
    b = chain(x, f"{name}.branch7x7x3", ((192, 1), (192, (1, 7)), (192, (7, 1))), dilation)
    b = conv_norm(b, 192, 3, f"{name}.branch7x7x3_4", stride=stride, dilation=dilation, padding=0)
    return keras.layers.Concatenate()([a, b, max_pool(x, stride, dilation)])


def mixed_7(x, name, dilation):
    """Figure 7: the last 3x3 of a branch is a 1x3 and a 3x1 side by side."""
    a = conv_norm(x, 320, 1, f"{name}.branch1x1")
    b = conv_norm(x, 384, 1, f"{name}.branch3x3_1")
    b = [conv_norm(b, 384, k, f"{name}.branch3x3_2{i}", dilation=dilation) for i, k in (("a", (1, 3)), ("b", (3, 1)))]
    c = chain(x, f"{name}.branch3x3dbl", ((448, 1), (384, 3)), dilation)
    c = [
        conv_norm(c, 384, k, f"{name}.branch3x3dbl_3{i}", dilation=dilation) for i, k in (("a", (1, 3)), ("b", (3, 1)))
    ]
    return keras.layers.Concatenate()([a, *b, *c, pooled(x, 192, name, dilation)])


def chain(x, name, convolutions, dilation=1):
    """Convolutions (channels, kernel), one after another."""
    for i, (filters, kernel) in enumerate(convolutions, start=1):
        x = conv_norm(x, filters, kernel, f"{name}_{i}", dilation=dilation)
    return x


def pooled(x, width, name, dilation=1):
    """3x3 means and a 1x1."""
    x = layers.average_pool(x, 3, 1, padding=dilation, dilation=dilation)
    return conv_norm(x, width, 1, f"{name}.branch_pool")


def max_pool(x, stride, dilation):
    """3x3 maxima with stride, or dilated instead."""
    return layers.dilated_max_pool(x, 3, dilation) if stride == 1 else keras.layers.MaxPooling2D(3, stride)(x)
