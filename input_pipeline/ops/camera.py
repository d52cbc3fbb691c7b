"""The effects of a lens, a sensor and a file on an image: blur, noise, JPEG artefacts. The label does not change.

`share` is the share of the examples, 0..1, on which an op acts; the others cost nothing. Milliseconds are those of an image of
360x480 on one core. Strengths and the finding that networks which meet them in training stand them: Hendrycks and Dietterich,
"Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", 2019.
"""

import math

import numpy as np
import scipy.special
import tensorflow as tf

from input_pipeline import pointwise
from input_pipeline.ops import _draws

# Quantiles of the standard normal distribution, in the middle of 65536 equal shares: from -4.32 to 4.32.
QUANTILES = scipy.special.ndtri((np.arange(65536) + 0.5) / 65536).astype(np.float32)


def blur(example, seed, sigma: tuple[float, float] = (0.1, 2.0), share: float = 0.5):
    """Gaussian blur with a standard deviation uniform in `sigma`, pixels, 0.01..20 (SimCLR, Chen et al., 2020: 0.1..2).

    The kernel reaches three of the largest deviations to each side (5 ms for 2 pixels); at the edges the image is mirrored.
    """
    _draws.check_range("sigma", sigma, 0.01, 20)
    deviation, radius = tf.random.stateless_uniform([], seed, *map(float, sigma)), math.ceil(3 * sigma[1])

    def blurred(image):
        kernel = tf.nn.softmax(-0.5 * (tf.range(-radius, radius + 1.0) / deviation) ** 2)
        for axis, shape in ((0, [-1, 1, 1, 1]), (1, [1, -1, 1, 1])):
            filters = tf.tile(tf.reshape(kernel, shape), [1, 1, 3, 1])
            padded = _mirrored(image, radius, axis)
            image = tf.nn.depthwise_conv2d(padded[tf.newaxis], filters, [1, 1, 1, 1], "VALID")[0]
        return image

    return _sometimes(example, seed, share, blurred)


def noise(example, seed, sigma: tuple[float, float] = (0.0, 10.0), share: float = 0.5):
    """Adds Gaussian noise, independent for each pixel and channel; its deviation is uniform in `sigma`, levels of 0..255.

    The noise is one of the normal distribution's 65536 quantiles, which takes 4 ms; TensorFlow's generator takes 11.
    """
    _draws.check_range("sigma", sigma, 0, 255)
    deviation = tf.random.stateless_uniform([], seed, *map(float, sigma))

    def noisy(image):
        count = (tf.size(image) + 1) // 2
        bits = tf.random.stateless_uniform(
            [count], tf.random.experimental.stateless_fold_in(seed, 0), None, None, tf.int32
        )
        number = tf.reshape(tf.cast(tf.bitcast(bits, tf.uint16), tf.int32), [-1])[: tf.size(image)]
        return image + tf.reshape(tf.gather(deviation * QUANTILES, number), tf.shape(image))

    return _sometimes(example, seed, share, noisy)


def jpeg(example, seed, quality: tuple[int, int] = (30, 95), share: float = 0.5):
    """Stores the image as JPEG and reads it again; the quality is uniform in `quality`, 1..100, both included (2 ms).

    The artefacts are libjpeg's: blocks of 8x8 pixels, of 16x16 in the colour, which has half the resolution.
    """
    _draws.check_range("quality", quality, 1, 100)
    drawn = tf.random.stateless_uniform([], seed, int(quality[0]), int(quality[1]) + 1, tf.int32)

    def stored(image):
        pixels = tf.cast(tf.round(pointwise.clip(image)), tf.uint8)
        file = tf.raw_ops.EncodeJpegVariableQuality(images=pixels, quality=drawn)
        return tf.cast(tf.io.decode_jpeg(file, channels=3), tf.float32)

    return _sometimes(example, seed, share, stored)


def _sometimes(example, seed, share, change):
    """The example, whose image is changed by `change` in a share of the draws."""
    image = tf.cast(example["image"], tf.float32)
    changed = tf.cond(_draws.acts(seed, share), lambda: tf.ensure_shape(change(image), image.shape), lambda: image)
    return {**example, "image": changed}


def _mirrored(image, radius, axis):
    """The image with `radius` more rows (or columns) on both sides, which mirror it; an image may be smaller than that."""
    length = tf.shape(image)[axis]
    place = tf.math.floormod(tf.range(-radius, length + radius), 2 * length)
    return tf.gather(image, tf.minimum(place, 2 * length - 1 - place), axis=axis)
