"""Sums of many points' values with gaussian weights, in time proportional to the points: the permutohedral lattice.

Adams, Baek, Davis. Fast High-Dimensional Filtering Using the Permutohedral Lattice. Computer Graphics Forum 29(2), 2010.
https://graphics.stanford.edu/papers/permutohedral/

Values are spread over the vertices of the simplex around each point, blurred along the d + 1 axes of the lattice, and read
again at the points. Only vertices near points exist. Written with TensorFlow's operations, it runs in a graph and on a GPU.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf


class Lattice(NamedTuple):
    """The vertices around n points in d dimensions."""

    vertices: tf.Tensor  # int32 [d + 1, n], of the simplex that a point lies in
    weights: tf.Tensor  # [d + 1, n], the point's barycentric coordinates; they sum up to 1
    neighbours: tf.Tensor  # int32 [d + 1, 2, m], of each vertex along each axis; m where there is none


def build(features) -> Lattice:
    """Makes the lattice on which `blur` has a standard deviation of 1.

    Args:
        features: float [n, d] with a static d.
    """
    d = features.shape[-1]
    elevated = tf.matmul(features, tf.constant(_elevation(d), features.dtype))
    # The nearest vertex of remainder 0: multiples of d + 1 whose sum is 0. Rounding may leave the sum off by as many as
    # `excess`: the coordinates that were rounded the furthest the other way make up for it.
    nearest = tf.round(elevated / (d + 1))
    excess = tf.cast(tf.reduce_sum(nearest, -1, keepdims=True), tf.int32)
    rank = _rank(elevated / (d + 1) - nearest) + excess
    too_low, too_high = tf.cast(rank < 0, tf.int32), tf.cast(rank > d, tf.int32)
    nearest += tf.cast(too_low - too_high, nearest.dtype)
    rank += (d + 1) * (too_low - too_high)

    # Barycentric coordinates are differences of the sorted distances to that vertex.
    places = tf.one_hot(rank, d + 1, dtype=features.dtype)
    ordered = tf.reduce_sum(places * (elevated / (d + 1) - nearest)[..., None], 1)
    rising = ordered[:, ::-1]
    weights = tf.concat([1 + rising[:, :1] - rising[:, -1:], rising[:, 1:] - rising[:, :-1]], -1)

    # Vertex k adds k to the coordinates of the d + 1 - k lowest ranks, and k - (d + 1) to the others. As the sum of all
    # coordinates is 0, the last one is left out.
    nearest, rank = (d + 1) * tf.cast(nearest[:, :d], tf.int64), rank[:, :d]
    keys = tf.stack([nearest + tf.cast(tf.where(rank <= d - k, k, k - d - 1), tf.int64) for k in range(d + 1)])
    codes, strides = _codes(keys, d)
    found, index = tf.unique(tf.reshape(codes, [-1]))
    order = tf.argsort(found)
    known = tf.gather(found, order)
    vertices = tf.reshape(tf.gather(tf.math.invert_permutation(order), index), tf.shape(codes))

    # One step along axis j adds d to its coordinate and takes 1 from the others.
    steps = (d + 1) * tf.concat([strides, [0]], 0) - tf.reduce_sum(strides)
    neighbours = tf.stack([[_find(known, known + step), _find(known, known - step)] for step in tf.unstack(steps)])
    return Lattice(vertices, tf.transpose(weights), neighbours)


def blur(lattice: Lattice, values):
    """The sums over all points of the weight exp(-distance^2 / 2), approximately, times their values: [n, c] to [n, c]."""
    count, d = tf.shape(lattice.neighbours)[-1], lattice.weights.shape[0] - 1
    corners = list(zip(tf.unstack(lattice.vertices), tf.unstack(lattice.weights), strict=True))
    total = sum(tf.math.unsorted_segment_sum(w[:, None] * values, v, count) for v, w in corners)
    for before, after in (tf.unstack(pair) for pair in tf.unstack(lattice.neighbours)):
        padded = tf.pad(total, [[0, 1], [0, 0]])
        total += 0.5 * (tf.gather(padded, before) + tf.gather(padded, after))
    # A vertex returns to itself in two more ways than staying: once forth, or back, along all axes.
    return sum(w[:, None] * tf.gather(total, v) for v, w in corners) / (1 + 2.0**-d)


def _elevation(d):
    """From d features to the plane in d + 1 dimensions whose coordinates sum up to 0: [d, d + 1], equation 2.

    Its columns have equal lengths, (d + 1) * sqrt(2 / 3), the distance on the lattice of the standard deviation of `blur`.
    """
    rows = np.zeros([d, d + 1])
    for i in range(d):
        rows[i, : i + 1] = 1
        rows[i, i + 1] = -(i + 1)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True) * (d + 1) * np.sqrt(2 / 3)


def _rank(values):
    """The place of each of the last axis in descending order, of equals the first one first: [n, m] to int32 [n, m]."""
    m = values.shape[-1]
    earlier = tf.constant(np.tri(m, k=-1, dtype=bool))  # [i, j]: j comes before i
    mine, others = values[:, :, None], values[:, None, :]
    return tf.reduce_sum(tf.cast((others > mine) | ((others == mine) & earlier), tf.int32), -1)


def _codes(keys, margin):
    """One number for each vertex, int64 [k, n], of keys [k, n, d], and what a step along each coordinate adds to it, [d].

    The number of a neighbour, up to `margin` away in each coordinate, is no other vertex's.
    """
    low, high = tf.reduce_min(keys, [0, 1]), tf.reduce_max(keys, [0, 1])
    extents = high - low + 1 + 2 * margin
    bits = tf.reduce_sum(tf.math.log(tf.cast(extents, tf.float64))) / np.log(2)
    check = tf.debugging.Assert(
        bits < 62,
        ["Expected larger deviations in crf(bilateral=(weight, pixels, colours)). Received: a lattice of bits", bits],
    )
    with tf.control_dependencies([check]):
        strides = tf.math.cumprod(extents, exclusive=True)
    return tf.reduce_sum((keys - low + margin) * strides, -1), strides


def _find(known, wanted):
    """Where the wanted numbers are among the known, ascending ones, int32; the count of these for a number that is unknown."""
    count = tf.size(known)
    place = tf.searchsorted(known, wanted)
    return tf.where(tf.gather(known, tf.minimum(place, count - 1)) == wanted, place, count)
