"""Average precision of instances: clusters of an embedding, or masks in boxes."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfseg import box_masks, clustering, detection, losses
from tfseg.counts import Count, of_images
from tfseg.metrics import _matches, _per_class
from tfseg.metrics.calibration import UNIT

BOXES = ("boxes", "box_scores", "box_classes", "box_count", "box_masks")  # of `box_masks.find`


def instance_ap(
    classes: Sequence[str],
    *,
    things: Sequence[str] = (),
    bandwidth: float = 1.5,
    smallest: int = 30,
    smallest_object: int = 100,
    of: str = "embedding",
    of_cells: Sequence[str] = (),
    threshold: float = 0.05,
    overlap: float = 0.5,
    most: int = 100,
) -> Count:
    """AP of instances as cityscapesscripts' evalInstanceLevelSemanticLabeling gives it, for scores in steps of 1/1000.

    The pixels predicted as a class are clustered by their embedding (`tfseg.clustering.mean_shift`), and the score of an
    instance is the mean probability of its class over its pixels. Or the instances are the masks of boxes, with the boxes'
    scores. AP is the mean over the overlaps 0.5, 0.55, .. 0.95, and then over the classes that have a true instance.

    Args:
        classes: names of the data set's classes.
        things: names of the classes whose instances are counted; default: those that have boxes in the data set.
        bandwidth: of the clusters, above 0: delta_d of the loss.
        smallest: pixels; smaller clusters are dropped.
        smallest_object: pixels; smaller true instances and guesses do not count for AP, as in Cityscapes.

        of: the output that the instances are made of: `embedding`, `mask_head` or `inside_outside` (`tfseg.box_masks`). The
            following options are for the last two.
        of_cells: names of the classes that the probabilities of the cells stand for, in their order; default: all.
        threshold, overlap, most: of the boxes, as for `detection_map`.

    Returns:
        A count with `instance_ap` and `instance_ap50`, 0..1, `ap` and `ap50` of each class, and `instances`: {"sbd" (symmetric
        best dice, mean over the images that have or guess instances), "dic" (mean over all images of |guessed - true|),
        "objects", "guesses", "images"}. Values are None without a true instance.
    """
    for key, given in (("things", things), ("of_cells", of_cells)):
        if isinstance(given, str) or [name for name in given if name not in classes]:
            raise ValueError(f"Expected {key}=(..) of the classes {', '.join(classes)}. Received: {given!r}.")
    if of not in ("embedding", *box_masks.READS):
        raise ValueError(f"Expected of='embedding' or one of {', '.join(box_masks.READS)}. Received: {of=}.")
    detection.check(threshold, overlap, most)
    if not (bandwidth > 0 and smallest >= 1 and smallest_object >= 1):
        raise ValueError(
            "Expected bandwidth above 0, smallest and smallest_object of 1 or more pixels. Received: "
            f"{bandwidth=}, {smallest=}, {smallest_object=}."
        )
    names = [name for name in classes if name in things] if things else list(classes)
    kinds = [list(classes).index(name) for name in names]
    keys = list(_matches.zero(0))

    cells = [list(classes).index(name) for name in of_cells or classes]

    def of_batch(label, ids, *given):
        total, images = _matches.zero(len(kinds)), np.zeros(4, np.int64)
        for label_of_one, ids_of_one, *one in zip(label, ids, *given, strict=True):
            guesses = guessed(label_of_one, *one)
            found = _matches.count(label_of_one, ids_of_one, guesses, kinds, smallest_object)
            total = {key: total[key] + found[key] for key in keys}
            dice, difference = _matches.best_dice(label_of_one, ids_of_one, guesses, kinds)
            images += [round((dice or 0.0) * UNIT), dice is not None, abs(difference), 1]
        return *(total[key] for key in keys), images

    if of == "embedding":
        reads = ("embedding",)

        def given_by(label, prediction, logits, embedding):
            probability = tf.reduce_max(tf.nn.softmax(tf.cast(logits, tf.float32)), -1)
            return prediction, probability, losses.at_one_size(tf.cast(embedding, tf.float32), label, "label")[0]

        def guessed(_, *one):
            return guess(*one, kinds, bandwidth, smallest)
    else:
        reads = box_masks.READS[of]

        def given_by(label, _, __, *outputs):
            options = {"threshold": threshold, "overlap": overlap, "most": most}
            named = dict(zip(reads, outputs, strict=True))
            found = box_masks.find(of, named, cells, tf.shape(label)[1:3], **options)
            return [found[name] for name in BOXES]

        def guessed(label, *one):
            return guess_in_boxes(of, dict(zip(BOXES, one, strict=True)), label.shape)

    def update(seen):
        label, ids, *others = of_images(seen, ("label", "instances", "prediction", "logits", *reads))
        given = [tf.cast(label, tf.int32), ids, *given_by(label, *others)]
        *found, images = tf.numpy_function(of_batch, given, [tf.int64] * (len(keys) + 1))
        shapes = [zero[key].shape for key in keys]
        return {key: tf.ensure_shape(x, s) for key, x, s in zip(keys, found, shapes, strict=True)} | {
            "images": tf.ensure_shape(images, [4])
        }

    zero = {**_matches.zero(len(kinds)), "images": np.zeros(4, np.int64)}
    return Count(zero, update, lambda total: values(total, classes, names), reads=(*reads, "instances"))


def guess(prediction, probability, embedding, kinds, bandwidth: float, smallest: int) -> list[_matches.Guess]:
    """The instances of an image.

    Args:
        prediction: train ids [height, width].
        probability: of the predicted class, 0..1, [height, width].
        embedding: [height, width, dimensions].
        kinds: the classes that have instances.
        bandwidth, smallest: as for `clustering.mean_shift`.
    """
    found = []
    for kind in kinds:
        of_class = prediction == kind
        clusters = clustering.mean_shift(embedding[of_class], bandwidth=bandwidth, smallest=smallest)
        for number in range(1, clusters.max(initial=0) + 1):
            mask = np.zeros(prediction.shape, bool)
            mask[of_class] = clusters == number
            found.append(_matches.Guess(kind, float(probability[mask].mean(dtype=np.float64)), mask))
    return found


def guess_in_boxes(head: str, found, shape: tuple[int, int]) -> list[_matches.Guess]:
    """The instances of an image of a `shape`, by falling score, that `box_masks.find` has found; empty ones are left out."""
    rows = zip(*(found[name][: found["box_count"]] for name in BOXES if name != "box_count"), strict=True)
    cut = box_masks.CUT[head]
    guesses = [_matches.Guess(int(k), float(s), box_masks.paste(m, b, shape, cut)) for b, s, k, m in rows]
    return [one for one in guesses if one.mask.any()]


def values(total: dict, classes: Sequence[str], names: Sequence[str]) -> dict:
    """The entries of the evaluation file; see `instance_ap`."""
    precision = _matches.average_precision(total)
    columns = {"ap": precision.mean(1), "ap50": precision[:, 0]}
    dice, with_instances, difference, images = total["images"].tolist()
    result = {}
    for key, column in columns.items():
        result[f"instance_{key}"], result[key] = _per_class.with_mean(names, column, classes)
    result["instances"] = {
        "sbd": dice / UNIT / with_instances if with_instances else None,
        "dic": difference / images if images else None,
        "objects": int(total["objects"].sum()),
        "guesses": int(total["guesses"].sum()),
        "images": images,
    }
    return result
