"""What the ways to compute scores share."""

import tensorflow as tf

SMALLEST = 1e-30  # smallest probability, so that its logarithm is finite (-69)


def logarithm(probabilities):
    """Scores whose softmax are these probabilities, [..., classes]."""
    return tf.math.log(tf.maximum(probabilities, SMALLEST))


def same(scores):
    """The scores themselves: what is left out as `finish`."""
    return scores
