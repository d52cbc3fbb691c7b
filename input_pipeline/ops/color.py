"""Photometric augmentation of the image; the label stays. The chain clips to 0..255 once, at its end."""

import tensorflow as tf


def brightness(example, seed, delta: float = 0.2):
    """Adds one value, uniform within +-`delta` of the full range 255, to all channels."""
    return {**example, "image": example["image"] + 255.0 * _uniform(seed, delta)}


def contrast(example, seed, delta: float = 0.2):
    """Scales the distance to the image's mean colour by a factor uniform in [1 - delta, 1 + delta]."""
    mean = tf.reduce_mean(example["image"], axis=[0, 1])
    return {**example, "image": mean + (example["image"] - mean) * (1.0 + _uniform(seed, delta))}


def saturation(example, seed, delta: float = 0.2):
    """Scales the distance to the pixel's own gray by a factor uniform in [1 - delta, 1 + delta]."""
    gray = tf.tensordot(example["image"], [0.299, 0.587, 0.114], 1)[..., tf.newaxis]
    return {**example, "image": gray + (example["image"] - gray) * (1.0 + _uniform(seed, delta))}


def _uniform(seed, delta):
    return tf.random.stateless_uniform([], seed, -delta, delta)
