"""Discriminative loss: pulls the embeddings of an instance's pixels together and pushes instances of a class apart."""

import tensorflow as tf

from input_pipeline import IGNORE, boxes


def discriminative(
    embedding, label, instances, box_classes, *, delta_v=0.5, delta_d=1.5, alpha=1.0, beta=1.0, gamma=0.001
):
    """The discriminative loss of De Brabandere, Neven, Van Gool, 2017 (https://arxiv.org/abs/1708.02551), equations 1 to 4.

    With the mean mu of the embeddings x of each of the C instances of a class in an image, it is the sum of

        alpha   mean over the instances of the mean over their pixels of max(0, |mu - x| - delta_v)^2
        beta    mean over the ordered pairs of instances of max(0, 2 delta_d - |mu_a - mu_b|)^2, 0 for one instance
        gamma   mean over the instances of |mu|

    An image's value is the mean over the classes that have an instance in it, since pixels of different classes are told apart
    by the label. Pixels of no instance and ignored pixels take no part. Distances are computed in float32 or float64, because
    their squares overflow in float16.

    Args:
        embedding: float [batch, height, width, dimensions] of any precision. What is under pixels of no instance, even NaN,
            changes neither the value nor the gradient.
        label: integer [batch, height, width], train ids or IGNORE.
        instances: int32 [batch, height, width], 0 for none, k for the object of row k - 1.
        box_classes: int32 [batch, rows], the class of each object, NONE for a row without one.
        delta_v: distance to the mean below which a pixel is not pulled, 0 or more.
        delta_d: half of the distance from which two means do not push each other, 0 or more. For the clusters of
            `tfseg.clustering` to be exact, more than 2 delta_v.
        alpha, beta, gamma: weights of the three terms, 0 or more.

    Returns:
        (sum, number of images with an instance), float32 scalars; (0, 0) with a gradient of 0 where there is none.

    Raises:
        ValueError: where shapes disagree or an argument is out of its range.
    """
    options = {"delta_v": delta_v, "delta_d": delta_d, "alpha": alpha, "beta": beta, "gamma": gamma}
    for name, value in options.items():
        if not value >= 0:
            raise ValueError(f"Expected {name} of 0 or more. Received: {name}={value}.")
    embedding, label, instances, classes = map(tf.convert_to_tensor, (embedding, label, instances, box_classes))
    shapes = embedding.shape[:-1], label.shape, instances.shape
    if embedding.shape.rank != 4 or not all(shapes[0].is_compatible_with(shape) for shape in shapes[1:]):
        raise ValueError(
            f"Expected an embedding [batch, height, width, dimensions] of the label's and the instances' size. Received: "
            f"{embedding.shape}, {label.shape}, {instances.shape}. Resize one of them first."
        )
    kind = embedding.dtype if embedding.dtype == tf.float64 else tf.float32
    count, rows = tf.shape(classes)[0], tf.shape(classes)[1]
    ids = tf.where(tf.not_equal(tf.cast(label, tf.int32), IGNORE) & (instances <= rows), instances, 0)
    ids = tf.reshape(ids, [count, -1])
    x = tf.reshape(tf.cast(embedding, kind), tf.concat([tf.shape(ids), embedding.shape[-1:]], 0))
    x = tf.where((ids > 0)[..., tf.newaxis], x, 0)  # keeps NaN out of the sums
    cell = tf.reshape(ids + (rows + 1) * tf.range(count)[:, tf.newaxis], [-1])

    def of_objects(values):
        """Sums over the pixels of each row; those of no instance are dropped."""
        flat = tf.reshape(values, tf.concat([[-1], tf.shape(values)[2:]], 0))
        found = tf.math.unsorted_segment_sum(flat, cell, count * (rows + 1))
        return tf.reshape(found, tf.concat([[count, rows + 1], tf.shape(values)[2:]], 0))

    pixels = of_objects(tf.ones_like(ids, kind))
    means = of_objects(x) / tf.maximum(pixels, 1)[..., tf.newaxis]
    there = (pixels[:, 1:] > 0) & tf.not_equal(classes, boxes.NONE)
    same = (classes[:, :, tf.newaxis] == classes[:, tf.newaxis]) & there[:, :, tf.newaxis] & there[:, tf.newaxis]
    others = tf.reduce_sum(tf.cast(same, kind), 2)  # instances of the class of each, itself included
    share = tf.math.divide_no_nan(tf.cast(there, kind), others)  # sums to 1 over a class
    kinds = tf.reduce_sum(share, 1)

    nearest = tf.reshape(tf.gather(tf.reshape(means, [-1, tf.shape(x)[-1]]), cell), tf.shape(x))
    pulls = of_objects(tf.nn.relu(_norm(nearest - x) - delta_v) ** 2) / tf.maximum(pixels, 1)
    variance = tf.reduce_sum(share * pulls[:, 1:], 1)

    means = means[:, 1:]
    apart = _norm(means[:, :, tf.newaxis] - means[:, tf.newaxis])
    pairs = tf.linalg.set_diag(same, tf.zeros_like(there))
    pushes = tf.reduce_sum(tf.where(pairs, tf.nn.relu(2 * delta_d - apart) ** 2, 0), 2)
    distance = tf.reduce_sum(share * tf.math.divide_no_nan(pushes, others - 1), 1)

    size = tf.reduce_sum(share * _norm(means), 1)
    loss = tf.math.divide_no_nan(alpha * variance + beta * distance + gamma * size, kinds)
    return tf.cast(tf.reduce_sum(loss), tf.float32), tf.reduce_sum(tf.cast(kinds > 0, tf.float32))


def _norm(x):
    """The length of vectors; its gradient at 0, which has no direction, is 0 and not NaN."""
    squares = tf.reduce_sum(x**2, -1)
    return tf.where(squares > 0, tf.sqrt(tf.where(squares > 0, squares, 1)), 0)
