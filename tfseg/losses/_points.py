"""Pixels drawn from the valid ones of a label, and maps of another size at these pixels."""

import tensorflow as tf

from input_pipeline import IGNORE


def draw(label, count, few):
    """Draws pixels of each image, uniformly and with replacement; if no more than `few` are valid, each of them once.

    The draw depends only on the label, so that a resumed run and two replicas draw what one run draws.

    Args:
        label: int32 [batch, height, width], train ids or IGNORE.
        count: how many pixels.
        few: at most `count`.

    Returns:
        Pixels, int32 [batch, count], numbered row after row; whether each counts, bool of the same shape: with `few` pixels or
        less, only the first ones do.
    """
    label = tf.reshape(label, [tf.shape(label)[0], -1])
    batch, size = tf.unstack(tf.shape(label))
    valid = tf.not_equal(label, IGNORE)
    found = tf.reduce_sum(tf.cast(valid, tf.int32), 1)[:, None]
    # [batch, size]: the numbers of the valid pixels, then zeros. What is invalid goes to a place that is cut off.
    place = tf.cumsum(tf.cast(valid, tf.int32), 1) - 1 + size * tf.range(batch)[:, None]
    place = tf.reshape(tf.where(valid, place, batch * size), [-1, 1])
    order = tf.scatter_nd(place, tf.tile(tf.range(size), [batch]), [batch * size + 1])
    order = tf.reshape(order[:-1], [batch, size])
    # The sum of integers overflows to the same number everywhere.
    seeds = tf.reduce_sum(label * (2 * tf.range(size) + 1), 1)
    random = tf.map_fn(
        lambda seed: tf.random.stateless_uniform([count], tf.stack([seed, 0]), alg="philox"),
        seeds,
        fn_output_signature=tf.float32,
    )
    rank = tf.minimum(tf.cast(random * tf.cast(found, tf.float32), tf.int32), found - 1)
    rank = tf.where(found <= few, tf.range(count), rank)
    return tf.gather(order, tf.clip_by_value(rank, 0, size - 1), batch_dims=1), rank < found


def corners(pixels, label_size, map_size):
    """What bilinear interpolation of a map needs at the centres of pixels, as in `resize` on the half-pixel grid.

    Args:
        pixels: int32 of any shape, numbered row after row.
        label_size: (height, width) of the label that has the pixels, integers.
        map_size: (height, width) of the map that covers the same image.

    Returns:
        [(place in the map, numbered row after row, weight), ..] of four, in the shape of `pixels`. A place that has no weight
        is one of the others, so that its value cannot matter.
    """
    axes = []
    for position, n, m in zip((pixels // label_size[1], pixels % label_size[1]), label_size, map_size, strict=True):
        ratio = tf.cast(m, tf.float32) / tf.cast(n, tf.float32)
        x = (tf.cast(position, tf.float32) + 0.5) * ratio - 0.5
        x = tf.clip_by_value(x, 0.0, tf.cast(m, tf.float32) - 1.0)
        low, high = tf.floor(x), tf.math.ceil(x)
        axes.append([(tf.cast(low, tf.int32), 1.0 - (x - low)), (tf.cast(high, tf.int32), x - low)])
    return [(row * map_size[1] + column, a * b) for row, a in axes[0] for column, b in axes[1]]
