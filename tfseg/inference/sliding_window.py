"""Scores from overlapping windows, so that an image of any size fits into memory."""

from typing import NamedTuple

import tensorflow as tf

from tfseg.inference.scores import logarithm, same


def sliding_window(predict, num_classes, size, overlap=0.5):
    """Computes the scores of overlapping windows and blends them.

    The windows start (1 - overlap) * size pixels apart; the last one is moved inwards, to end where the image ends. If the
    image is not longer than a window along an axis, this axis is not divided. The probabilities of a pixel are the weighted
    mean over its windows. The weight is the product over both axes of the distance to the nearer edge of the window: near its
    edge a window sees little context, and weights that fall to almost 0 leave no visible seam.

    Args:
        predict: images to scores.
        num_classes: number of classes in the scores.
        size: height and width of the window, or one number for both; pixels of the images given.
        overlap: overlap of neighbouring windows as a part of the window, 0 or more and less than 1.
    """
    size, strides = steps(size, overlap)

    def scores(images, finish=same):
        images = tf.convert_to_tensor(images)
        batch, *extent = tf.unstack(tf.shape(images)[:3])
        rows, columns = (_windows(*axis) for axis in zip(extent, size, strides, strict=True))

        def strip(i):
            def part(j):
                start = [0, rows.starts[i], columns.starts[j], 0]
                here = tf.slice(images, start, [-1, rows.length, columns.length, -1])
                return rows.weights[i][:, None, None] * columns.weights[j][:, None] * tf.nn.softmax(predict(here))

            return _overlap_add(part, columns, 2, [batch, rows.length, columns.length, num_classes], same)

        found = _overlap_add(
            strip, rows, 1, [batch, rows.length, extent[1], num_classes], lambda total: finish(logarithm(total))
        )
        return tf.ensure_shape(found, [*images.shape[:3], *found.shape[3:]])

    return scores


def steps(size: int | tuple[int, int], overlap: float = 0.5) -> tuple[tuple[int, int], tuple[int, int]]:
    """The height and width of a window, and the pixels from one window to the next down and across.

    Raises:
        ValueError: for a size or an overlap that cannot be.
    """
    size = (size, size) if isinstance(size, int) else tuple(size)
    if len(size) != 2 or not all(isinstance(n, int) and n > 0 for n in size):
        raise ValueError(f"Expected size=(height, width), pixels. Received: size={size}.")
    if not 0 <= overlap < 1:
        raise ValueError(f"Expected overlap in 0..1, less than 1. Received: overlap={overlap}.")
    return size, tuple(max(1, round(n * (1 - overlap))) for n in size)


class _Windows(NamedTuple):
    """The windows along one axis, an integer tensor or float32 each."""

    starts: tf.Tensor  # [windows], pixels
    steps: tf.Tensor  # [windows], pixels from one start to the next, from the last one to the end of the image
    length: tf.Tensor  # [], pixels of each window
    weights: tf.Tensor  # [windows, length], of each window's pixels; those of one pixel add up to 1


def _windows(extent, size, stride):
    length = tf.minimum(size, extent)
    last = extent - length
    starts = tf.minimum(stride * tf.range(-(-last // stride) + 1), last)
    places = starts[:, None] + tf.range(length)
    weights = tf.broadcast_to(_taper(length), tf.shape(places))
    total = tf.gather(tf.math.unsorted_segment_sum(weights, places, extent), places)
    return _Windows(starts, tf.concat([starts[1:], [extent]], 0) - starts, length, weights / total)


def _overlap_add(part, windows, axis, shape, finish):
    """Sums parts that overlap along an axis and applies `finish`, in time and memory that grow only with the result.

    The section that no later part overlaps is finished at once; only the rest, which is no larger than a part, is kept.

    Args:
        part: number of a window to its part, float32 of `shape`.
        windows: the windows along the axis.
        axis: 1 or 2.
        shape: of each part, [batch, height, width, classes].
        finish: a function of the last axis.
    """
    order = [axis, *(a for a in range(3) if a != axis)]  # pieces are put one after another along the first axis
    example = finish(tf.zeros([1, 1, 1, shape[-1]]))
    rest = range(3, example.shape.rank)
    pieces = tf.TensorArray(
        example.dtype,
        tf.shape(windows.starts)[0],
        infer_shape=False,
        element_shape=[None, None, None, *example.shape[3:]],
    )

    def add(i, begun, pieces):
        total, step = begun + part(i), windows.steps[i]
        done, begun_next = tf.split(total, [step, windows.length - step], axis)
        pieces = pieces.write(i, finish(tf.transpose(done, [*order, 3])))
        begun_next = tf.pad(begun_next, [[0, step if a == axis else 0] for a in range(4)])
        return i + 1, tf.ensure_shape(begun_next, begun.shape), pieces

    # One window at a time: a network's activations are what fills the memory.
    *_, pieces = tf.while_loop(
        lambda i, *_: i < tf.shape(windows.starts)[0], add, (0, tf.zeros(shape), pieces), parallel_iterations=1
    )
    return tf.transpose(pieces.concat(), [*(order.index(a) for a in range(3)), *rest])


def _taper(length):
    """Distance of each of `length` pixels to the nearer end, as a part of the largest: float32 [length], 0 < x <= 1."""
    place = tf.cast(tf.range(length), tf.float32) + 0.5
    distance = tf.minimum(place, tf.reverse(place, [0]))
    return distance / tf.reduce_max(distance)
