"""Mean average precision of boxes, as in PASCAL VOC."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfseg import detection as detection_lib
from tfseg.counts import Count, of_images
from tfseg.metrics import _per_class

READS = ("image", "detection", "boxes", "box_classes")
SCORES = 10_000  # scores are counted in steps of 1 / SCORES
OVERLAP = 0.5  # of a right box and a true one; it must be larger


def detection_map(
    classes: Sequence[str],
    *,
    things: Sequence[str] = (),
    of_cells: Sequence[str] = (),
    threshold: float = 0.01,
    overlap: float = 0.5,
    most: int = 100,
) -> Count:
    """VOC's average precision of the boxes in `detection`, by area and at 11 points, for scores in steps of 1/10000.

    Boxes are continuous: a side is x2 - x1, without VOC's pixel more. Guesses with equal scores are one threshold.

    Args:
        classes: names of the data set's classes.
        things: names of the classes that count; default: those that have boxes in the data set.
        of_cells: names of the classes that the probabilities of the cells stand for, in their order; default: all.
        threshold: guesses with a lower score are left out, 0..1.
        overlap: a guess whose IoU with a better one of its class is larger is left out, 0..1.
        most: guesses in an image, at most.

    Returns:
        A count with `detection_map` and `detection_map_11`, 0..1: the means over the classes that have a true box, `box_ap` and
        `box_ap_11` of each class, and `detections`: {"objects", "guesses", "images"}. Values are None without a true box.
    """
    for name in (*things, *of_cells):
        if name not in classes:
            raise ValueError(f"Expected names of the classes {', '.join(classes)}. Received: {name!r}.")
    detection_lib.check(threshold, overlap, most)
    cells = list(of_cells) or list(classes)
    names = [name for name in classes if name in (things or classes) and name in cells]
    ids, places = [list(classes).index(n) for n in names], [cells.index(n) for n in names]
    zero = {**counts_of_none(len(names)), "images": np.zeros(1, np.int64)}
    keys = list(counts_of_none(0))

    def of_batch(true, kinds, guessed, scores, channels):
        total = counts_of_none(len(names))
        for image in zip(true, kinds, guessed, scores, channels, strict=True):
            for row, (kind, place) in enumerate(zip(ids, places, strict=True)):
                chosen = (image[4] == place) & (image[3] > 0)
                count(total, row, image[0][image[1] == kind], image[2][chosen], image[3][chosen])
        return *(total[key] for key in keys), np.array([len(true)], np.int64)

    def update(seen):
        image, cells_seen, boxes, box_classes = of_images(seen, READS)
        if not detection_lib.fits(cells_seen, len(cells)):
            raise ValueError(
                f"Expected a detection with 5 channels for each box and one for each of {len(cells)} classes. Received: "
                f"{cells_seen.shape[-1]} channels. Name the classes of the cells with of_cells=(..)."
            )
        found = detection_lib.decode(cells_seen, len(cells), threshold=threshold, overlap=overlap, most=most)
        size = tf.cast(tf.shape(image)[1:3], tf.float32)
        pixels = found.boxes * tf.stack([size[1], size[0], size[1], size[0]])
        given = [boxes, box_classes, pixels, found.scores, found.classes]
        counted = tf.numpy_function(of_batch, given, [tf.int64] * (len(keys) + 1))
        return {key: tf.ensure_shape(x, zero[key].shape) for key, x in zip((*keys, "images"), counted, strict=True)}

    return Count(zero, update, lambda total: values(total, classes, names), reads=READS[1:])


def counts_of_none(classes: int) -> dict:
    """The counts of no image."""
    return {"scores": np.zeros([classes, SCORES + 1, 2], np.int64), "objects": np.zeros(classes, np.int64)}


def count(total: dict, row: int, true, guesses, scores, *, pixel: float = 0.0, difficult=None) -> list[str]:
    """Adds the boxes of one class in one image to a total, and returns what became of each guess, by falling score.

    A guess is compared with the true box that it overlaps most: it is right if their IoU is above OVERLAP and no better guess
    took that box. A match with a difficult box counts neither way.

    Args:
        total: of `counts_of_none`; changed.
        row: of the class.
        true, guesses: float [n, 4] and [m, 4], x1, y1, x2, y2.
        scores: float [m], 0..1.
        pixel: 1 for boxes of whole pixels, whose last ones are x2 and y2, as VOC's own are.
        difficult: bool [n]; None: none is.
    """
    difficult = np.zeros(len(true), bool) if difficult is None else np.asarray(difficult, bool)
    total["objects"][row] += np.count_nonzero(~difficult)
    true = np.asarray(true, np.float64).reshape(-1, 4)
    taken, marks = np.zeros(len(true), bool), []
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    for box, score in ((np.asarray(guesses[i], np.float64), scores[i]) for i in order):
        low, high = np.maximum(true[:, :2], box[:2]), np.minimum(true[:, 2:], box[2:])
        shared = np.maximum(high - low + pixel, 0).prod(1)
        areas = (true[:, 2:] - true[:, :2] + pixel).prod(1) + (box[2:] - box[:2] + pixel).prod()
        iou = shared / np.maximum(areas - shared, 1e-12)
        best = int(iou.argmax()) if len(iou) else -1
        if best >= 0 and iou[best] > OVERLAP and difficult[best]:
            marks.append("ignored")
            continue
        right = best >= 0 and iou[best] > OVERLAP and not taken[best]
        taken[best if right else []] = True
        total["scores"][row, round(float(np.clip(score, 0, 1)) * SCORES), int(right)] += 1
        marks.append("true" if right else "false")
    return marks


def curve(total: dict, row: int) -> tuple[np.ndarray, np.ndarray]:
    """(right, wrong) guesses of a class that have at least each of the scores that there are, the highest score first."""
    wrong, right = total["scores"][row].T
    used = np.flatnonzero(wrong + right)[::-1]
    return right[::-1].cumsum()[::-1][used], wrong[::-1].cumsum()[::-1][used]


def average_precision(total: dict, row: int) -> tuple[float, float]:
    """(AP by area, AP at 11 points) of a class; NaN without a true box.

    By area: of the precision at each recall or more (VOC 2010 and later). At 11 points: the mean of it at the recalls 0, 0.1,
    .. 1 (VOC 2007), which are compared as whole numbers, since the fourth of numpy.arange(0, 1.1, 0.1) is above 0.3.
    """
    positives = int(total["objects"][row])
    if not positives:
        return np.nan, np.nan
    right, wrong = curve(total, row)
    precision = np.maximum.accumulate((right / np.maximum(right + wrong, 1))[::-1])[::-1]
    area = float(np.sum(np.diff(right, prepend=0) / positives * precision))
    reached = [precision[right * 10 >= tenth * positives] for tenth in range(11)]
    return area, float(np.mean([at.max(initial=0.0) for at in reached]))


def values(total: dict, classes: Sequence[str], names: Sequence[str]) -> dict:
    """The entries of the evaluation file; see `detection_map`."""
    found = np.array([average_precision(total, row) for row in range(len(names))]).reshape(-1, 2)
    result = {}
    for column, (mean, of_class) in zip(
        found.T, (("detection_map", "box_ap"), ("detection_map_11", "box_ap_11")), strict=True
    ):
        result[mean], result[of_class] = _per_class.with_mean(names, column, classes)
    result["detections"] = {
        "objects": int(total["objects"].sum()),
        "guesses": int(total["scores"].sum()),
        "images": int(total["images"][0]),
    }
    return result
