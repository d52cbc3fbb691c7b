"""Photometric augmentation of the image; the label stays. The chain clips to 0..255 once, at its end."""

import tensorflow as tf

from input_pipeline import pointwise

POINTWISE = ("brightness", "contrast", "saturation")  # these add to what is pending: see `ops/__init__.py`
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: the gray of an RGB pixel


def brightness(example, seed, delta: float = 0.2):
    """Adds one value, uniform within +-`delta` of the full range 255, to all channels."""
    return pointwise.linear(example, 1.0, 255.0 * _uniform(seed, delta))


def contrast(example, seed, delta: float = 0.2):
    """Scales the distance to the image's mean colour by a factor uniform in [1 - delta, 1 + delta]."""
    factor = 1.0 + _uniform(seed, delta)
    return pointwise.linear(example, factor, pointwise.mean(example) * (1.0 - factor))


def saturation(example, seed, delta: float = 0.2):
    """Scales the distance to the pixel's own gray by a factor uniform in [1 - delta, 1 + delta]."""
    factor = 1.0 + _uniform(seed, delta)
    gray = tf.tile(tf.constant([LUMA]), [3, 1])
    return pointwise.mix(example, gray * (1.0 - factor) + tf.eye(3) * factor)


def _uniform(seed, delta):
    return tf.random.stateless_uniform([], seed, -delta, delta)
