"""Photometric augmentation of the image; the label does not change. The chain clips to 0..255 once, at its end.

Brightness, contrast and saturation are the colour jitter of Howard, "Some Improvements on Deep Convolutional Neural Network
Based Image Classification", 2013; hue and the channels' order come with SSD (Liu et al., 2016). `share` is the share of the
examples, 0..1, on which an op acts.
"""

import math

import tensorflow as tf

from input_pipeline import pointwise
from input_pipeline.ops import _draws

# These add to the pending work: see `ops/__init__.py`.
POINTWISE = ("brightness", "channel_shuffle", "contrast", "darken", "gamma", "gray", "hue", "photometric", "saturation")
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: the gray of an RGB pixel
# RGB to Y, I, Q, the colours of NTSC television: the gray, and two axes at right angles to it in which hue is an angle.
YIQ = (LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


def brightness(example, seed, delta: float = 0.2):
    """Adds one value, uniform within +-`delta` (0..1) of the full range 255, to all channels."""
    _draws.check(delta=(delta, 0, 1))
    return pointwise.linear(example, 1.0, 255.0 * _draws.either_way(seed, delta))


def contrast(example, seed, delta: float = 0.2):
    """Scales the distance to the image's mean colour by a factor uniform in [1 - delta, 1 + delta], `delta` in 0..1."""
    _draws.check(delta=(delta, 0, 1))
    factor = 1.0 + _draws.either_way(seed, delta)
    return pointwise.linear(example, factor, pointwise.mean(example) * (1.0 - factor))


def saturation(example, seed, delta: float = 0.2):
    """Scales the distance to the pixel's own gray by a factor uniform in [1 - delta, 1 + delta], `delta` in 0..1."""
    _draws.check(delta=(delta, 0, 1))
    factor = 1.0 + _draws.either_way(seed, delta)
    return pointwise.mix(example, _grays() * (1.0 - factor) + tf.eye(3) * factor)


def hue(example, seed, delta: float = 0.05):
    """Turns the hue by an angle uniform within +-`delta` (0..0.5) of the whole circle: 0.05 is 18 degrees.

    The angle is that in the plane of I and Q of YIQ, so that grays and the luma of every pixel stay and it is one 3x3 matrix.
    In HSV, which torchvision's ColorJitter turns, 1/3 of the circle exchanges red, green and blue; here their luma stays.
    """
    _draws.check(delta=(delta, 0, 0.5))
    angle = 2.0 * math.pi * _draws.either_way(seed, delta)
    cos, sin, zero = tf.cos(angle), tf.sin(angle), tf.zeros([])
    turn = tf.stack([tf.stack([zero + 1.0, zero, zero]), tf.stack([zero, cos, -sin]), tf.stack([zero, sin, cos])])
    return pointwise.mix(example, tf.linalg.inv(tf.constant(YIQ)) @ turn @ tf.constant(YIQ))


def gamma(example, seed, ratio: float = 1.5):
    """Value v becomes 255 (v / 255)^g. The logarithm of g is uniform: g is from 1 / `ratio` to `ratio`, which is 1..10.

    The exponent of a display's or a camera's response curve (albumentations' RandomGamma, with 0.8..1.2).
    """
    _draws.check(ratio=(ratio, 1, 10))
    exponent, full = tf.exp(_draws.either_way(seed, math.log(ratio))), math.log(255.0)
    # A power would take seven times as long. log(0) is -inf, and exp makes it 0 again.
    return pointwise.curve(example, lambda v: tf.exp(exponent * (tf.math.log(v) - full) + full))


def darken(example, seed, gamma: tuple[float, float] = (1.0, 1.6), gain: tuple[float, float] = (0.4, 1.1)):
    """Value v becomes 255 gain (v / 255)^g, as if less light fell on the scene; g is uniform in `gamma`, 1..10, `gain` 0..2."""
    _draws.check_range("gamma", gamma, 1, 10)
    _draws.check_range("gain", gain, 0, 2)
    draws, full = tf.random.stateless_uniform([2], seed), math.log(255.0)
    exponent, factor = (low + draws[i] * (high - low) for i, (low, high) in enumerate((gamma, gain)))
    return pointwise.curve(example, lambda v: factor * tf.exp(exponent * (tf.math.log(v) - full) + full))


def gray(example, seed, share: float = 0.1):
    """Makes a share of the images gray: each channel becomes the luma (torchvision's RandomGrayscale, SimCLR with 0.2)."""
    return pointwise.mix(example, tf.where(_draws.acts(seed, share), _grays(), tf.eye(3)))


def channel_shuffle(example, seed, share: float = 0.5):
    """Puts the channels in another order in a share of the images; all six orders are equally likely, RGB too."""
    order = tf.where(_draws.acts(seed, share), tf.argsort(tf.random.stateless_uniform([3], seed)), tf.range(3))
    return pointwise.mix(example, tf.gather(tf.eye(3), order))


def photometric(
    example,
    seed,
    brightness: float = 0.125,
    contrast: float = 0.5,
    saturation: float = 0.5,
    hue: float = 0.1,
    share: float = 0.5,
):
    """Each of the four ops of these names, in this order, with this `delta`, each on its own share of the images.

    SSD's photometric distortion (Liu et al., 2016, section 2.2) with MMSegmentation's values: 32 of 255 levels, 0.5..1.5 for
    contrast and saturation, 18 of the 180 steps that OpenCV has for the circle of hues. Contrast there is about 0; here it is
    about the image's mean, which leaves the brightness to `brightness`.
    """
    ranges = {"brightness": (brightness, 0, 1), "contrast": (contrast, 0, 1), "saturation": (saturation, 0, 1)}
    _draws.check(**ranges, hue=(hue, 0, 0.5))
    for i, (op, delta) in enumerate(zip(JITTER, (brightness, contrast, saturation, hue), strict=True)):
        own = tf.random.experimental.stateless_fold_in(seed, i)
        example = op(example, own, tf.where(_draws.acts(own, share), float(delta), 0.0))
    return example


JITTER = (brightness, contrast, saturation, hue)


def _grays():
    """The matrix whose every row is the luma."""
    return tf.tile(tf.constant([LUMA]), [3, 1])
