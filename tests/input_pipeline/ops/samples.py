"""Helpers for the tests of augmentations."""

import numpy as np
import tensorflow as tf

from input_pipeline import boxes, ops

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


def group_of(chain, size=SIZE, fill=FILL, most_boxes=4):
    """The whole chain for the examples of a group, as the stream does it: `augment(examples, seeds) -> batch`."""
    parts, mixed = ops.build_parts(chain, size, fill), ops.mix(chain, ops.GROUP)

    def augment(examples, seeds):
        done = []
        for given, seed in zip(examples, seeds, strict=True):
            for part in parts:
                given = part(given, seed)
            done.append(boxes.pad(given, most_boxes))
        batch = {key: tf.stack([x[key] for x in done]) for key in done[0]}
        return mixed(batch, tf.stack(seeds)) if mixed else batch

    return augment
