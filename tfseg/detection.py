"""Cells of YOLO to boxes, inside the graph."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from input_pipeline import boxes as boxes_lib


class Detections(NamedTuple):
    """Boxes of each image, by falling score; rows from `count` on are 0."""

    boxes: tf.Tensor  # float32 [batch, most, 4], x1, y1, x2, y2 as shares of the image, which they may leave
    scores: tf.Tensor  # float32 [batch, most], 0..1
    classes: tf.Tensor  # int32 [batch, most], the place among the probabilities of a cell
    count: tf.Tensor  # int32 [batch]


def fits(detection, classes: int) -> bool:
    """Whether the channels of a detection, of either form that `decode` takes, are those of boxes and so many classes.

    Of `detection` only the shape is read.
    """
    channels = detection.shape[-1] - classes
    return channels == 5 if len(detection.shape) == 5 else channels > 0 and channels % 5 == 0


def check(threshold: float, overlap: float, most: int) -> None:
    """Raises ValueError for options of `decode` that are out of their ranges."""
    if not (0 <= threshold < 1 and 0 < overlap <= 1 and isinstance(most, int) and most >= 1):
        raise ValueError(
            "Expected threshold from 0 to less than 1, overlap above 0 and up to 1, most of 1 or more. Received: "
            f"{threshold=}, {overlap=}, {most=}."
        )


def decode(detection: tf.Tensor, classes: int, *, threshold: float, overlap: float, most: int) -> Detections:
    """The boxes of cells, without those that a better one of the same class covers.

    Redmon et al., CVPR 2016, equation 1: a box has a score for each class, its confidence times the class's probability.

    Args:
        detection: float [batch, rows, columns, 5 B + classes], see `losses.yolo_v1`, or [batch, rows, columns, B, 5 + classes],
            see `losses.yolo_v2`.
        classes: how many.
        threshold: scores must be larger.
        overlap: a box is dropped if its IoU with a better one of its class is larger.
        most: boxes of an image and of a class at most, the best.
    """
    detection = tf.cast(detection, tf.float32)
    images, rows, columns = tf.unstack(tf.shape(detection)[:3])
    if len(detection.shape) == 5:
        count, guesses, probabilities = detection.shape[3], detection[..., :5], detection[..., 5:]
    else:
        count = (detection.shape[-1] - classes) // 5
        guesses = tf.reshape(detection[..., : 5 * count], [images, rows, columns, count, 5])
        probabilities = detection[..., tf.newaxis, 5 * count :]
    x, y = tf.cast(tf.range(columns), tf.float32), tf.cast(tf.range(rows), tf.float32)
    corner = tf.stack(tf.meshgrid(x, y), -1)[:, :, tf.newaxis]
    middle = (corner + guesses[..., :2]) / tf.cast(tf.stack([columns, rows]), tf.float32)
    boxes = tf.concat([middle - guesses[..., 2:4] / 2, middle + guesses[..., 2:4] / 2], -1)
    scores = guesses[..., 4:5] * probabilities
    boxes = tf.reshape(boxes, [images, rows * columns * count, 4])
    scores = tf.reshape(scores, [images, rows * columns * count, classes])
    return suppressed(boxes, scores, threshold=threshold, overlap=overlap, most=most)


def suppressed(boxes: tf.Tensor, scores: tf.Tensor, *, threshold: float, overlap: float, most: int) -> Detections:
    """The best of boxes [batch, n, 4] with a score for each class [batch, n, classes]; see `decode`."""
    found = tf.image.combined_non_max_suppression(
        boxes[:, :, tf.newaxis],
        scores,
        max_output_size_per_class=most,
        max_total_size=most,
        iou_threshold=overlap,
        score_threshold=threshold,
        clip_boxes=False,
    )
    return Detections(
        found.nmsed_boxes, found.nmsed_scores, tf.cast(found.nmsed_classes, tf.int32), found.valid_detections
    )


def in_pixels(detection: tf.Tensor, kinds: Sequence[int], size, *, threshold, overlap, most) -> dict[str, tf.Tensor]:
    """The boxes of `decode` in pixels of the images, and their classes as train ids.

    Args:
        detection, threshold, overlap, most: as for `decode`.
        kinds: the train ids that the probabilities of a cell stand for, in their order.
        size: (height, width) of the images.

    Returns:
        {"boxes": float32 [batch, most, 4], x1, y1, x2, y2, cut at the edges of the image; "box_scores": float32 [batch, most],
        falling; "box_classes": int32 [batch, most]; "box_count": int32 [batch]}. Rows from `box_count` on are 0 of class -1.
    """
    found = decode(detection, len(kinds), threshold=threshold, overlap=overlap, most=most)
    height, width = tf.unstack(tf.cast(size, tf.float32))
    boxes = tf.clip_by_value(found.boxes, 0.0, 1.0) * tf.stack([width, height, width, height])
    return named(found._replace(boxes=boxes), kinds)


def named(found: Detections, kinds: Sequence[int]) -> dict[str, tf.Tensor]:
    """Detections by the names of `in_pixels`, with train ids in place of the places in `kinds`."""
    there = tf.range(tf.shape(found.scores)[1]) < found.count[:, tf.newaxis]
    return {
        "boxes": found.boxes,
        "box_scores": found.scores,
        "box_classes": tf.where(there, tf.gather(tf.constant(kinds, tf.int32), found.classes), boxes_lib.NONE),
        "box_count": found.count,
    }
