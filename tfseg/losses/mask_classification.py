"""The set prediction loss of networks that predict masks and their classes."""

import math

import tensorflow as tf

from input_pipeline import IGNORE
from tfseg.losses import _assignment, _points

QUERIES = ("classes", "masks")  # see tfseg.losses: read at their own size, and the logits are made of them

# PointRend's (Kirillov et al., CVPR 2020, section 3.3), whose sampling Mask2Former takes.
OVERSAMPLE, UNCERTAIN = 3, 0.75


def mask_classification(
    classes,
    masks,
    label,
    *,
    class_factor=2.0,
    mask_factor=5.0,
    dice_factor=5.0,
    no_object=0.1,
    points=12544,
):
    """Mask2Former's loss (Cheng et al., CVPR 2022, https://arxiv.org/abs/2112.01527, sections 3.2.2 and 3.3), for label maps.

    Each class of an image's label is a segment. Segments and queries are matched one to one so that the sum of

        -class_factor p(class) + mask_factor (binary cross entropy of the mask) + dice_factor (its dice loss)

    is the least. Then a prediction costs, for each image,

        class_factor (mean of the queries' cross entropies, of weight 1 if matched, else `no_object` and the class no object)
        + mask_factor (mean of the segments' binary cross entropies) + dice_factor (mean of their dice losses),

    with dice 1 - (2 sum s t + 1) / (sum s + sum t + 1) of probabilities s and targets t. Costs and losses of masks are means
    over `points` pixels: for the matching drawn uniformly, for the loss of each segment three quarters of them the most
    uncertain (logits next to 0) of three times as many, the others uniformly. If an image has no more valid pixels than
    points, each of them is a point once. Points are never ignored pixels. The logits there are interpolated; so no mask is
    enlarged to the label's size. What is drawn depends on the label alone, so that runs can be repeated.

    The losses of all n predictions are added up. The authors divide the sums of a batch by its number of segments; here each
    image counts the same. An image with more classes than queries has only the first ones as segments. The matching runs in
    TensorFlow operations: also compiled by XLA and on several replicas.

    Args:
        classes: float [batch, n, queries, C + 1] of any precision, logits; the last class is no object. n predictions.
        masks: float [batch, n, h, w, queries], logits of masks that cover the image, at any resolution; computed in float32.
            Where a mask has the label's size, what is under ignored pixels, even NaN, changes nothing.
        label: integer [batch, height, width], 0..C-1 or IGNORE. Another id gives NaN.
        class_factor, mask_factor, dice_factor: of the three parts, 0 or more.
        no_object: weight of a query that no segment has, 0 or more.
        points: pixels of a mask that count; the paper's 112 * 112.

    Returns:
        (sum, count), float32 scalars: of the images' losses, and of the images with valid pixels; (0, 0) with a gradient of 0
        where there is none.

    Raises:
        ValueError: where shapes disagree or an argument is out of its range.
    """
    classes, masks, label = (tf.convert_to_tensor(x) for x in (classes, masks, label))
    _check(classes, masks, label, min(class_factor, mask_factor, dice_factor, no_object), points)
    label = tf.cast(label, tf.int32)
    valid, number = tf.not_equal(label, IGNORE), classes.shape[-1] - 1
    present = tf.reduce_any(tf.equal(label[..., None], tf.range(number)), (1, 2))
    present &= tf.cumsum(tf.cast(present, tf.int32), 1) <= tf.shape(classes)[2]
    n, drawn = classes.shape[1], _Points(label, points, classes.shape[1])
    # The predictions of an image follow each other in one batch.
    present, (z, y) = tf.repeat(present, n, axis=0), (_flat(x) for x in (classes, masks))
    query = _matched(z, y, present, drawn, (class_factor, mask_factor, dice_factor))
    entropy, dice = _of_masks(y, query, present, drawn)
    loss = class_factor * _of_classes(z, query, no_object) + mask_factor * entropy + dice_factor * dice
    loss = tf.reduce_sum(tf.reshape(loss, [-1, n]), 1)
    loss = tf.where(tf.reduce_any(valid & ((label < 0) | (label >= number))), math.nan, loss)
    counts = tf.reduce_any(valid, (1, 2))
    return tf.reduce_sum(tf.where(counts, loss, 0.0)), tf.reduce_sum(tf.cast(counts, tf.float32))


def _flat(x):
    """[batch, n, ..] -> float32 [batch * n, ..]."""
    return tf.cast(tf.reshape(x, tf.concat([[-1], tf.shape(x)[2:]], 0)), tf.float32)


class _Points:
    """The pixels at which masks are compared: each image's for n masks that follow each other."""

    def __init__(self, label, points, n):
        self.size = tf.unstack(tf.shape(label)[1:])
        count = tf.minimum(points, self.size[0] * self.size[1])
        self.hard = tf.cast(UNCERTAIN * tf.cast(count, tf.float32), tf.int32)
        easy, candidates = count - self.hard, OVERSAMPLE * count
        pixels, counts = (tf.repeat(x, n, axis=0) for x in _points.draw(label, count + easy + candidates, count))
        self.uniform = pixels[:, :count], counts[:, :count]
        self.others, self.candidates = pixels[:, count : count + easy], pixels[:, count + easy :]
        self.label = tf.repeat(tf.reshape(label, [tf.shape(label)[0], -1]), n, axis=0)
        self.few = tf.reduce_sum(tf.cast(tf.not_equal(self.label, IGNORE), tf.int32), 1) <= count

    def logits(self, masks, pixels):
        """[batch, h, w, queries] at pixels [batch, points] -> [batch, points, queries]."""
        h, w = tf.unstack(tf.shape(masks)[1:3])
        masks, places = tf.reshape(masks, [tf.shape(masks)[0], h * w, -1]), _points.corners(pixels, self.size, (h, w))
        return tf.add_n([weight[..., None] * tf.gather(masks, place, batch_dims=1) for place, weight in places])

    def of_segments(self, masks):
        """Points of each segment from its mask's logits: [batch, h, w, segments] -> pixels [batch, segments, points], bool."""
        z = tf.transpose(self.logits(masks, self.candidates), [0, 2, 1])
        chosen = tf.math.top_k(-tf.abs(z), self.hard).indices
        candidates, others = (tf.repeat(x[:, None], tf.shape(z)[1], axis=1) for x in (self.candidates, self.others))
        pixels = tf.concat([tf.gather(candidates, chosen, batch_dims=2), others], 2)
        every, counts = (tf.broadcast_to(x[:, None], tf.shape(pixels)) for x in self.uniform)
        few = self.few[:, None, None]
        return tf.where(few, every, pixels), tf.where(few, counts, True)


def _matched(classes, masks, present, drawn, factors):
    """The query of each class, int32 [batch, C], -1 for a class that is not in the image."""
    classes, masks = tf.stop_gradient(classes), tf.stop_gradient(masks)
    pixels, counts = drawn.uniform
    z = tf.where(counts[..., None], drawn.logits(masks, pixels), 0.0)
    weight = tf.cast(counts, tf.float32)[..., None]
    target = weight * tf.one_hot(tf.gather(drawn.label, pixels, batch_dims=1), present.shape[-1])
    probability = weight * tf.sigmoid(z)

    def products(x):
        """[batch, C, queries]: the sum over the points of target times x."""
        return tf.matmul(target, x, transpose_a=True)

    def total(x, axis):
        return tf.expand_dims(tf.reduce_sum(x, 1), axis)

    # -t log s - (1 - t) log(1 - s) = softplus(z) - t z.
    entropy = tf.math.divide_no_nan(total(weight * tf.nn.softplus(z), 1) - products(z), total(weight, 1))
    dice = 1.0 - (2.0 * products(probability) + 1.0) / (total(probability, 1) + total(target, 2) + 1.0)
    likely = tf.transpose(tf.nn.softmax(classes)[..., :-1], [0, 2, 1])
    return _assignment.assign(factors[1] * entropy + factors[2] * dice - factors[0] * likely, present)


def _of_classes(classes, query, no_object):
    """The weighted mean of the queries' cross entropies, [batch]."""
    owners = tf.equal(query[..., None], tf.range(tf.shape(classes)[1]))  # [batch, C, queries]
    taken = tf.reduce_any(owners, 1)
    target = tf.where(taken, tf.argmax(owners, 1, tf.int32), classes.shape[-1] - 1)
    weight = tf.where(taken, 1.0, no_object)
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(target, classes)
    return tf.math.divide_no_nan(tf.reduce_sum(weight * loss, 1), tf.reduce_sum(weight, 1))


def _of_masks(masks, query, present, drawn):
    """The means over the segments of binary cross entropy and dice loss, each [batch]."""
    masks = tf.gather(masks, tf.maximum(query, 0), axis=3, batch_dims=1)
    pixels, counts = drawn.of_segments(tf.stop_gradient(masks))
    h, w = tf.unstack(tf.shape(masks)[1:3])
    flat = tf.reshape(tf.transpose(masks, [0, 3, 1, 2]), [tf.shape(masks)[0], tf.shape(query)[1], h * w])
    places = _points.corners(pixels, drawn.size, (h, w))
    z = tf.add_n([weight * tf.gather(flat, place, batch_dims=2) for place, weight in places])
    counts &= present[..., None]
    z, weight = tf.where(counts, z, 0.0), tf.cast(counts, tf.float32)
    ids = tf.gather(tf.repeat(drawn.label[:, None], tf.shape(query)[1], axis=1), pixels, batch_dims=2)
    target = weight * tf.cast(tf.equal(ids, tf.range(present.shape[-1])[:, None]), tf.float32)
    entropy = weight * tf.nn.sigmoid_cross_entropy_with_logits(target, z)
    entropy = tf.math.divide_no_nan(tf.reduce_sum(entropy, 2), tf.reduce_sum(weight, 2))
    probability = weight * tf.sigmoid(z)
    both, either = tf.reduce_sum(probability * target, 2), tf.reduce_sum(probability + target, 2)
    dice = tf.where(present, 1.0 - (2.0 * both + 1.0) / (either + 1.0), 0.0)
    segments = tf.reduce_sum(tf.cast(present, tf.float32), 1)
    return [tf.math.divide_no_nan(tf.reduce_sum(x, 1), segments) for x in (entropy, dice)]


def _check(classes, masks, label, least, points):
    ranks = (len(classes.shape), len(masks.shape), len(label.shape))
    if (
        ranks != (4, 5, 3)
        or classes.shape[1] != masks.shape[1]
        or not classes.shape[2:3].is_compatible_with(masks.shape[4:])
    ):
        raise ValueError(
            "Expected classes [batch, n, queries, C + 1], masks [batch, n, h, w, queries] and label [batch, height, width]. "
            f"Received: {classes.shape}, {masks.shape}, {label.shape}."
        )
    if least < 0 or points < 1:
        raise ValueError(f"Expected factors of 0 or more and points of 1 or more. Received: {least=}, {points=}.")
