"""Metrics. Each file holds one, a function with the file's name; what it needs is said by its parameters.

    def name(confusion) -> a number, or one number for each class          always computed
    def name(confusion, categories) -> a number, or one a category         for data sets whose classes have categories
    def name(classes, *, <options>) -> counts.Count                        that --metrics may name

`confusion` is an int64 NumPy matrix [classes, predicted classes]: rows are labels, columns are predictions. A network may have
more classes than the data set; these are extra columns at the end. A value that is not defined, such as the IoU of a class that
is neither in the labels nor in the predictions, is NaN; `compute` returns None for it. `categories` are lists of class ids.

A metric of the third kind counts something besides the confusion matrix; `classes` are the names of the data set's classes.
"""

import inspect
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from input_pipeline import IGNORE
from tfseg import spec as specs
from tfseg import tables
from tfseg.metrics import _per_class

NOT_IN_TABLE = ("dice",)  # it says what the IoU says, 2 IoU / (1 + IoU), and the table must fit a terminal


def names(reads: str = "") -> list[str]:
    """The names of all metrics, or of those whose last parameter without a default is `reads`.

    That is "confusion", "categories" or "classes".
    """
    found = specs.names(__name__)
    return [name for name in found if _reads(name)[-1] == reads] if reads else found


def _reads(name):
    """The parameters without a default."""
    parameters = inspect.signature(specs.function(__name__, name)).parameters.values()
    return [p.name for p in parameters if p.default is p.empty]


def build(spec: str, classes: Sequence[str], things: Sequence[str] = (), of_cells: Sequence[str] = ()) -> dict:
    """What --metrics names: {name: counts.Count}, in the order of the spec.

    Args:
        spec: a chain such as `boundary_iou(width=0.02) | calibration`; blank: none.
        classes: names of the data set's classes.
        things: names of those that have boxes, for metrics with the option `things` if the spec does not give it.
        of_cells: names of those that the cells of a detection stand for, for metrics with that option in the same way.

    Raises:
        ValueError: for an unknown metric or option, one that is always computed, or one that is named twice.
    """
    found, counted = {}, names("classes")
    for call in specs.parse_chain(spec):
        if call.name in found:
            raise ValueError(f"Expected each metric once in --metrics. Received: {call.name} twice in {spec!r}.")
        if call.name not in counted and call.name in names():
            raise ValueError(
                f"Expected in --metrics only what is not always computed: {', '.join(counted)}. Received: {call.name}. "
                "Leave it out."
            )
        specs.choose(dict.fromkeys(counted), call.name, "a metric", spec)
        function = specs.function(__name__, call.name)
        options = inspect.signature(function).parameters
        given = {"things": tuple(things), "of_cells": tuple(of_cells)}
        given = {key: value for key, value in given.items() if value and key in options and key not in call.kwargs}
        found[call.name] = specs.apply(function, call, list(classes), **given)
    return found


def confusion_matrix(label, prediction, num_classes: int):
    """Counts the pixels of each (label, prediction) pair. Matrices of batches and replicas may be added.

    Args:
        label: integer tensor of any shape; IGNORE and ids of num_classes or more do not count.
        prediction: integer tensor with the same number of elements, each 0..num_classes-1.
        num_classes: classes of the network.

    Returns:
        int64 [num_classes, num_classes], rows are labels, columns predictions.
    """
    label = tf.reshape(tf.cast(label, tf.int32), [-1])
    prediction = tf.reshape(tf.cast(prediction, tf.int32), [-1])
    counted = tf.logical_and(tf.less(label, num_classes), tf.not_equal(label, IGNORE))
    count = count_cells(counted, label * num_classes + prediction, num_classes * num_classes)
    return tf.reshape(count, [num_classes, num_classes])


def unlabelled(label, prediction, num_classes: int):
    """Counts the predictions where there is no label. Counts of batches and replicas may be added.

    Args:
        label: integer tensor [batch, height, width]; an image that is IGNORE everywhere does not count, since it may only
            fill up a batch.
        prediction: integer tensor of the same shape, each 0..num_classes-1.
        num_classes: classes of the network.

    Returns:
        int64 [num_classes].
    """
    without = tf.equal(tf.cast(label, tf.int32), IGNORE)
    counted = tf.logical_and(without, tf.logical_not(tf.reduce_all(without, axis=(1, 2), keepdims=True)))
    return count_cells(counted, tf.cast(prediction, tf.int32), num_classes)


def count_cells(counted, cell, cells):
    """int64 [cells]: how often each of 0..cells-1 is in `cell`, where `counted` is true."""
    # On the CPU even if there is a GPU, whose bincount refuses enable_op_determinism (TF 2.21); 2 megapixels take 4 ms.
    with tf.device("CPU:0"):
        cell = tf.reshape(tf.where(counted, cell, cells), [-1])  # `cells` is ignored by the operation
        # Not tf.math.bincount, which first searches the maximum (twice the time) and has no static shape for XLA.
        count = tf.raw_ops.DenseBincount(input=cell, size=cells, weights=tf.constant([], tf.int32), binary_output=False)
        return tf.cast(count, tf.int64)


def compute(confusion, class_names, categories: Mapping[str, Sequence[str]] | None = None) -> dict:
    """Every metric of a confusion matrix.

    Args:
        confusion: integer [C, C] of a network of C classes.
        class_names: of the data set, no more than C. The network's extra classes are always wrong: they count as misses
            of the labels and have no score of their own.
        categories: {name: names of its classes}; classes that the data set does not have are left out. Without categories
            their metrics are left out.

    Returns:
        {metric: 0..1 (kappa: -1..1), or {name of the class or category: 0..1}}, with None for what is not defined.

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
    groups = {
        name: [class_names.index(c) for c in members if c in class_names]
        for name, members in (categories or {}).items()
    }
    groups = {name: ids for name, ids in groups.items() if ids}
    metrics, of_classes = {}, {}
    for name in names("confusion") + (names("categories") if groups else []):
        with_groups = "categories" in _reads(name)
        others = (list(groups.values()),) if with_groups else ()
        value = specs.function(__name__, name)(confusion[:classes], *others)
        if np.ndim(value):
            of_classes[name] = dict(
                zip(groups if with_groups else class_names, map(_per_class.number, value), strict=True)
            )
        else:
            metrics[name] = _per_class.number(value)
    return metrics | of_classes


def compute_with_unlabelled(confusion, unlabelled, class_names) -> dict:
    """The IoU by the other convention, where pixels without a label count in the union of the class predicted there.

    Some authors report it, such as those of ESPNet (arXiv:1803.06815) on CamVid. It is lower: an unlabelled pixel can only be
    a false positive.

    Args:
        confusion, class_names: as for `compute`.
        unlabelled: integer [C], of `unlabelled`.

    Returns:
        {"miou": 0..1, "iou": {class name: 0..1}}, with None for what is not defined.
    """
    classes = len(class_names)
    rows = np.asarray(confusion, np.int64)[:classes]
    hits = np.diagonal(rows)
    union = rows.sum(1) + (rows.sum(0) + unlabelled)[:classes] - hits
    values = np.divide(hits, union, out=np.full(classes, np.nan), where=union > 0)
    mean, of_classes = _per_class.with_mean(class_names, values)
    return {"miou": mean, "iou": of_classes}


def table(result: dict, confusion=None) -> str:
    """The metrics as a table in percent, less NOT_IN_TABLE, with "-" for values that are not defined.

    Args:
        result: from `compute` and from counts: numbers and, for a column, numbers by class. Other values are left out.
        confusion: the matrix that they were computed from, to show the share of the pixels of each class; None: no such column.
    """
    columns = {name: values for name, values in by_class(result).items() if name not in NOT_IN_TABLE}
    classes = list(next(iter(columns.values()), {}))
    if confusion is not None:
        pixels = np.asarray(confusion)[: len(classes)].sum(1)
        shares = pixels / pixels.sum() if pixels.any() else [None] * len(classes)
        columns["pixels"] = dict(zip(classes, shares, strict=True))
    rows = [[name, *(percent(column[name]) for column in columns.values())] for name in classes]
    rows += [[]] * bool(classes)
    rows += [[name, percent(value)] for name, value in numbers(result).items()]
    return tables.text(["class", *(f"{n} %" for n in columns)], rows)


def numbers(result: dict) -> dict:
    """The single numbers of an evaluation: those that are 0..1, and None for one that is not defined."""
    return {name: value for name, value in result.items() if value is None or isinstance(value, float)}


def by_class(result: dict) -> dict:
    """The metrics of an evaluation that have a number for each class."""
    classes = list(result.get("iou", ()))
    return {name: value for name, value in result.items() if isinstance(value, dict) and list(value) == classes}


def percent(value) -> str:
    """A number 0..1 in percent, "-" for None."""
    return "-" if value is None else f"{100 * value:.2f}"
