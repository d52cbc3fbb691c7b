"""What the tests of augmentations share."""

import numpy as np
import tensorflow as tf

FILL = (100.0, 110.0, 120.0)
SIZE = (24, 32)


def example(height=30, width=40, seed=0):
    random = np.random.default_rng(seed)
    return {
        "image": tf.constant(random.integers(0, 256, (height, width, 3), np.uint8)),
        "label": tf.constant(random.integers(0, 5, (height, width), np.uint8)),
        "id": tf.constant("x"),
    }


def seeds(count):
    return [tf.constant([7, i], tf.int32) for i in range(count)]
