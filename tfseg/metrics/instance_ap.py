"""Average precision of instances that are clusters of an embedding."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfseg import clustering, losses
from tfseg.counts import Count, of_images
from tfseg.metrics import _matches, _per_class
from tfseg.metrics.calibration import UNIT

READS = ("label", "prediction", "logits", "embedding", "instances")


def instance_ap(
    classes: Sequence[str],
    *,
    things: Sequence[str] = (),
    bandwidth: float = 1.5,
    smallest: int = 30,
    smallest_object: int = 100,
) -> Count:
    """AP of instances as cityscapesscripts' evalInstanceLevelSemanticLabeling gives it, for scores in steps of 1/1000.

    The pixels predicted as a class are clustered by their embedding (`tfseg.clustering.mean_shift`). The score of an instance
    is the mean probability of its class over its pixels. AP is the mean over the overlaps 0.5, 0.55, .. 0.95, and then over
    the classes that have a true instance.

    Args:
        classes: names of the data set's classes.
        things: names of the classes whose instances are counted; default: those that have boxes in the data set.
        bandwidth: of the clusters, above 0: delta_d of the loss.
        smallest: pixels; smaller clusters are dropped.
        smallest_object: pixels; smaller true instances and guesses do not count for AP, as in Cityscapes.

    Returns:
        A count with `instance_ap` and `instance_ap50`, 0..1, `ap` and `ap50` of each class, and `instances`: {"sbd" (symmetric
        best dice, mean over the images that have or guess instances), "dic" (mean over all images of |guessed - true|),
        "objects", "guesses", "images"}. Values are None without a true instance.
    """
    unknown = [name for name in things if name not in classes]
    if unknown or isinstance(things, str):
        raise ValueError(f"Expected things=(..) of the classes {', '.join(classes)}. Received: {things!r}.")
    if not (bandwidth > 0 and smallest >= 1 and smallest_object >= 1):
        raise ValueError(
            "Expected bandwidth above 0, smallest and smallest_object of 1 or more pixels. Received: "
            f"{bandwidth=}, {smallest=}, {smallest_object=}."
        )
    names = [name for name in classes if name in things] if things else list(classes)
    kinds = [list(classes).index(name) for name in names]
    keys = list(_matches.zero(0))

    def of_batch(label, prediction, probability, embedding, ids):
        total, images = _matches.zero(len(kinds)), np.zeros(4, np.int64)
        for one in zip(label, prediction, probability, embedding, ids, strict=True):
            guesses = guess(*one[1:4], kinds, bandwidth, smallest)
            found = _matches.count(one[0], one[4], guesses, kinds, smallest_object)
            total = {key: total[key] + found[key] for key in keys}
            dice, difference = _matches.best_dice(one[0], one[4], guesses, kinds)
            images += [round((dice or 0.0) * UNIT), dice is not None, abs(difference), 1]
        return *(total[key] for key in keys), images

    def update(seen):
        label, prediction, logits, embedding, ids = of_images(seen, READS)
        probability = tf.reduce_max(tf.nn.softmax(tf.cast(logits, tf.float32)), -1)
        embedding, _ = losses.at_one_size(tf.cast(embedding, tf.float32), label, "label")
        given = [tf.cast(label, tf.int32), prediction, probability, embedding, ids]
        *found, images = tf.numpy_function(of_batch, given, [tf.int64] * (len(keys) + 1))
        shapes = [zero[key].shape for key in keys]
        return {key: tf.ensure_shape(x, s) for key, x, s in zip(keys, found, shapes, strict=True)} | {
            "images": tf.ensure_shape(images, [4])
        }

    zero = {**_matches.zero(len(kinds)), "images": np.zeros(4, np.int64)}
    return Count(zero, update, lambda total: values(total, classes, names), reads=("embedding", "instances"))


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
