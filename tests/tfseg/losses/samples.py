"""Helpers for the tests of losses: small batches, and the parts of a second implementation in float64."""

import math

import numpy as np
import tensorflow as tf

CLASSES = 3
WEIGHTS = (1.0, 2.0, 0.5)  # of `batch`'s classes

# Pixels whose label has a known probability: softmax([log a, log b]) = (a, b) if a + b = 1.
#   image 0: 0.9, 0.8, 0.6, 0.5, ignored    image 1: 0.9, 0.2, ignored, ignored, ignored
FIRST = np.array([[0.9, 0.2, 0.6, 0.5, 0.01], [0.9, 0.8, 0.01, 0.01, 0.01]])  # the probability of class 0
LOGITS = np.log(np.stack([FIRST, 1 - FIRST], -1)).astype("float32")[:, None]
LABEL = np.array([[[0, 1, 0, 1, 255]], [[0, 1, 255, 255, 255]]], "uint8")
TWO_WEIGHTS = (2.0, 0.5)

# Regions, the probabilities as above.
#   image 0: (3/4, 1/4) of class 0, (1/2, 1/2) of class 1, ignored    image 1: (3/4, 1/4) of class 0, ignored, ignored
#   image 2: all ignored
# TP, FP, FN of image 0, class 0: 3/4, 1/2, 1/4    class 1: 1/2, 1/4, 1/2
#            image 1, class 0: 3/4, 0, 1/4           class 1: absent
REGION_FIRST = np.array([[0.75, 0.5, 0.1], [0.75, 0.1, 0.1], [0.1, 0.2, 0.3]])
REGION_LOGITS = np.log(np.stack([REGION_FIRST, 1 - REGION_FIRST], -1)).astype("float32")[:, None]
REGION_LABEL = np.array([[[0, 1, 255]], [[0, 255, 255]], [[255, 255, 255]]], "uint8")


def values(function, *args, **options):
    """(sum, count) as floats."""
    return [float(x) for x in function(*args, **options)]


def minus_log(*probabilities):
    return -sum(map(math.log, probabilities))


def batch(dtype="float32"):
    """Four images of three classes, 40 % ignored: the first has two valid pixels, the second no pixel of class 2."""
    rng = np.random.default_rng(1)
    label = rng.integers(0, CLASSES, (4, 5, 6)).astype("uint8")
    label[1][label[1] == 2] = 0
    label[rng.random(label.shape) < 0.4] = 255
    label[0] = 255
    label[0, 2, 3:5] = 1, 2
    return rng.normal(scale=2, size=(*label.shape, CLASSES)).astype(dtype), label


def step(function, **options):
    """A function (logits, label) -> (sum, count, gradient of the sum) of a loss."""

    def run(logits, label):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            total, count = function(logits, label, **options)
        return total, count, tape.gradient(total, logits)

    return run


def run(function, logits, label, jit_compile=False, **options):
    """(sum, count, gradient of the sum) as arrays."""
    one = step(function, **options)
    one = tf.function(one, jit_compile=True) if jit_compile else one
    return [x.numpy() for x in one(tf.convert_to_tensor(logits), label)]


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def valid_pixels(logits, label):
    """Per image: probabilities [pixels, classes] and ids [pixels], in float64."""
    return [(softmax(z[y != 255].astype("float64")), y[y != 255]) for z, y in zip(logits, label, strict=True)]


def mean_over_present(images, loss):
    """(sum, count) of a loss of regions: the mean over the classes of an image's label, summed over the images."""
    losses = [np.mean([loss(p[:, c], y == c) for c in set(y.tolist())]) for p, y in images if len(y)]
    return sum(losses), len(losses)
