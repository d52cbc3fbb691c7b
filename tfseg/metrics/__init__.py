"""Metrics: count once, derive many. One a file, a function of the file's name; a file is a metric by being here.

    def name(confusion) -> a number, or one a class

`confusion` is the int64 NumPy matrix [classes, predicted classes >= classes]: rows are labels, columns predictions, a
predicted class that no label can have is an extra column at the end. What is not defined, such as the IoU of a class
that is neither in the labels nor in the predictions, is NaN, and None in what `compute` returns.
"""

import numpy as np
import tensorflow as tf

from input_pipeline import IGNORE
from tfseg import spec as specs
from tfseg import tables


def names() -> list[str]:
    """The metrics there are."""
    return specs.names(__name__)


def confusion_matrix(label, prediction, num_classes: int):
    """Counts the pixels of each (label, prediction) pair; sums over batches and replicas are sums of these matrices.

    Args:
        label: integer tensor of any shape; IGNORE and ids of num_classes or more do not count.
        prediction: integer tensor of as many elements, each 0..num_classes-1: an argmax over that many classes.
        num_classes: classes of the network.

    Returns:
        int64 [num_classes, num_classes], rows are labels, columns predictions.
    """
    # On the CPU also beside a GPU, whose bincount refuses enable_op_determinism (TF 2.21); 2 Mpixel take 4 ms.
    with tf.device("CPU:0"):
        label = tf.reshape(tf.cast(label, tf.int32), [-1])
        prediction = tf.reshape(tf.cast(prediction, tf.int32), [-1])
        counted = tf.logical_and(tf.less(label, num_classes), tf.not_equal(label, IGNORE))
        cells = num_classes * num_classes
        cell = tf.where(counted, label * num_classes + prediction, cells)  # the op ignores what is not below its size
        # Not tf.math.bincount: it first looks for the maximum (twice the time) and has no static shape for XLA.
        count = tf.raw_ops.DenseBincount(input=cell, size=cells, weights=tf.constant([], tf.int32), binary_output=False)
        return tf.cast(tf.reshape(count, [num_classes, num_classes]), tf.int64)


def compute(confusion, class_names) -> dict:
    """Every metric of a confusion matrix.

    Args:
        confusion: integer [C, C] of a network of C classes.
        class_names: of the data set, no more than C. The network's extra classes are always wrong: they count as misses
            of the labels and have no score of their own.

    Returns:
        {metric: 0..1, or {class name: 0..1}}, with None for what is not defined.

    Raises:
        ValueError: where the matrix has too few classes, or labels beyond the class names.
    """
    confusion, classes = np.asarray(confusion, np.int64), len(class_names)
    if confusion.ndim != 2 or confusion.shape[0] != confusion.shape[1] or len(confusion) < classes:
        raise ValueError(f"Expected a square matrix of {classes} or more classes. Received: shape {confusion.shape}.")
    if beyond := confusion[classes:].sum():
        raise ValueError(
            f"Expected labels 0..{classes - 1}. Received: {beyond} pixels with a label of {classes} or more."
        )
    if len(set(class_names)) < classes:
        raise ValueError(f"Expected names that differ. Received: class_names={list(class_names)}.")
    metrics, of_classes = {}, {}
    for name in names():
        value = specs.function(__name__, name)(confusion[:classes])
        if np.ndim(value):
            of_classes[name] = dict(zip(class_names, map(_number, value), strict=True))
        else:
            metrics[name] = _number(value)
    return metrics | of_classes


def table(metrics: dict, confusion=None) -> str:
    """The metrics as lines of text, in percent; "-" for what is not defined.

    Args:
        metrics: of `compute`; other keys are left out.
        confusion: the matrix they came from, for each class's share of the labelled pixels; None: no such column.
    """
    numbers = {n: metrics[n] for n in names() if n in metrics and not isinstance(metrics[n], dict)}
    columns = {n: metrics[n] for n in names() if n in metrics and isinstance(metrics[n], dict)}
    classes = list(next(iter(columns.values()), {}))
    if confusion is not None:
        pixels = np.asarray(confusion)[: len(classes)].sum(1)
        shares = pixels / pixels.sum() if pixels.any() else [None] * len(classes)
        columns["pixels"] = dict(zip(classes, shares, strict=True))
    rows = [[name, *(percent(column[name]) for column in columns.values())] for name in classes]
    rows += [[]] * bool(classes)
    rows += [[name, percent(value)] for name, value in numbers.items()]
    return tables.text(["class", *(f"{n} %" for n in columns)], rows)


def _number(value):
    return None if np.isnan(value) else float(value)


def percent(value) -> str:
    """A number 0..1 in percent, "-" for None."""
    return "-" if value is None else f"{100 * value:.2f}"
