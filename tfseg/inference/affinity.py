"""Affinity: probabilities that pass to neighbours with like features.

After "affinity-guided propagation" of Ke et al., self-guided dense annotation: its abstract is public, its code is not. So
window, distance and softmax are our choice.
"""

import tensorflow as tf

from tfseg.inference.scores import logarithm, same

SMALLEST = 1e-12  # of a squared length, so that a feature of zeros stays one


def affinity(predict, num_classes, features, radius=2, tau=0.1, steps=4):
    """Refines the scores of whole images by the network's output `features`, at the resolution that this has.

    In every step the probabilities of a cell become the mean of those in the window around it, weighted by the softmax of
    -|f_i - f_j|^2 / tau, where f are the features of the cells divided by their lengths.

    Args:
        predict: images to scores.
        num_classes: number of classes in the scores.
        features: images to the features, float [batch, rows, columns, channels].
        radius: windows have 2 radius + 1 cells on a side, 1 or more.
        tau: above 0; at 0.1 a cell whose features are at right angles has e^-20 of the weight.
        steps: how often; 0 changes the resolution alone.
    """
    if not (isinstance(radius, int) and isinstance(steps, int) and radius >= 1 and steps >= 0 and tau > 0):
        raise ValueError(
            f"Expected radius of 1 or more cells, tau above 0 and steps of 0 or more. Received: {radius=}, {tau=}, {steps=}."
        )

    def scores(images, finish=same):
        logits = predict(images)
        found = tf.cast(features(images), logits.dtype)
        size, cells = tf.shape(logits)[1:3], tf.shape(found)[1:3]
        # The mean over each cell, which bilinear resizing to so few cells would not take.
        small = tf.image.resize(tf.nn.softmax(logits), cells, "area")
        small = propagated(small, weights(found, radius, tau), radius, steps)
        return finish(logarithm(tf.ensure_shape(tf.image.resize(small, size), logits.shape)))

    return scores


def weights(features, radius, tau):
    """Those of the neighbours of each cell, whose sum is 1; neighbours outside have none.

    Args:
        features: float [batch, rows, columns, channels].
        radius, tau: as in `affinity`.

    Returns:
        [batch, rows, columns, (2 radius + 1)^2], in the order of rows.
    """
    x = features * tf.math.rsqrt(tf.maximum(tf.reduce_sum(features**2, -1, keepdims=True), SMALLEST))
    inside = neighbours(tf.ones_like(x[..., :1]), radius)
    distances = [tf.reduce_sum((x - other) ** 2, -1) for other in neighbours(x, radius)]
    near = [tf.where(there[..., 0] > 0, -d / tau, -float("inf")) for d, there in zip(distances, inside, strict=True)]
    return tf.nn.softmax(tf.stack(near, -1))


def propagated(values, found, radius, steps):
    """Values [batch, rows, columns, channels] after `steps` means with the weights of `weights`."""
    for _ in range(steps):
        values = tf.add_n([found[..., i : i + 1] * x for i, x in enumerate(neighbours(values, radius))])
    return values


def neighbours(x, radius):
    """x [batch, rows, columns, channels] moved so that each cell reads a neighbour, in the order of rows; 0 outside."""
    rows, columns = tf.unstack(tf.shape(x)[1:3])
    padded = tf.pad(x, ((0, 0), (radius, radius), (radius, radius), (0, 0)))
    places = range(2 * radius + 1)
    return [padded[:, row : row + rows, column : column + columns] for row in places for column in places]
