"""What the losses share: checking the inputs, taking out ignored pixels, and the mean over the classes of an image."""

import math

import tensorflow as tf

from input_pipeline import IGNORE


def pixels(logits, label):
    """Checks the shapes and replaces ignored pixels by harmless values.

    Args:
        logits: float [batch, height, width, classes]; under ignored pixels any value, even NaN.
        label: integer [batch, height, width], 0..classes-1 or IGNORE.

    Returns:
        Logits, float32 [batch, pixels, classes], and labels, int32 [batch, pixels], both 0 where a pixel is ignored; and bool
        [batch, pixels], whether a pixel is valid.
    """
    logits, label = tf.convert_to_tensor(logits), tf.convert_to_tensor(label)
    if not logits.shape[:-1].is_compatible_with(label.shape):
        raise ValueError(
            f"Expected logits [batch, height, width, classes] of the label's size. Received: {logits.shape} and label "
            f"{label.shape}. Resize one of them first."
        )
    label = tf.reshape(label, [tf.shape(label)[0], -1])
    logits = tf.reshape(logits, tf.concat([tf.shape(label), logits.shape[-1:]], 0))
    # This keeps NaN out of the softmax, since 0 * NaN is NaN in the gradient. The caller then drops the pixel.
    valid = tf.not_equal(label, IGNORE)
    logits = tf.where(valid[..., None], tf.cast(logits, tf.float32), 0.0)
    return logits, tf.where(valid, tf.cast(label, tf.int32), 0), valid


def cross_entropies(logits, label, class_weights=None):
    """The cross entropy of each pixel.

    Args:
        logits, label: as above.
        class_weights: one weight for each class, 0 or more; None: all 1.

    Returns:
        Three tensors [batch, pixels]: -log softmax(logits)[label] without weights, float32; the weight of the label, float32;
        whether the pixel is valid, bool. Where it is not, the first two are finite numbers that the caller drops.
    """
    logits, label, valid = pixels(logits, label)
    weights = vector(class_weights, logits.shape[-1])
    return tf.nn.sparse_softmax_cross_entropy_with_logits(label, logits), tf.gather(weights, label), valid


def vector(class_weights, classes):
    """Class weights as float32 [classes]; None: all 1."""
    if class_weights is not None and len(class_weights) != classes:
        raise ValueError(f"Expected {classes} class weights, one a class. Received: {len(class_weights)}.")
    return tf.ones(classes) if class_weights is None else tf.constant(class_weights, tf.float32)


def hardest_first(loss, valid):
    """The order [batch, pixels] of an image's pixels, largest loss first and ignored ones last, for tf.gather(batch_dims=1).

    NaN comes first, so that choosing the hardest pixels does not hide it from the loop's check.
    """
    key = tf.where(tf.math.is_nan(loss), math.inf, loss)
    return tf.argsort(tf.stop_gradient(tf.where(valid, key, -1.0)), direction="DESCENDING")


def probabilities(logits, label):
    """Softmax and one-hot label of each pixel.

    Args:
        logits, label: as above.

    Returns:
        Both float32 [batch, pixels, classes] and 0 at ignored pixels. A label with an id that is no class makes the
        probability NaN, since a target of zeros would go unnoticed.
    """
    logits, label, valid = pixels(logits, label)
    classes = logits.shape[-1]
    known = (label >= 0) & (label < classes)
    probability = tf.where(known[..., None], tf.nn.softmax(logits), math.nan)
    mask = valid[..., None]
    return tf.where(mask, probability, 0.0), tf.where(mask, tf.one_hot(label, classes), 0.0)


def mean_over_present(loss, target):
    """(sum over images of the mean over the classes in the image's label, number of images with a valid pixel).

    Args:
        loss: float32 [images, classes]; that of an absent class is dropped.
        target: float32 [images, pixels, classes], one-hot, 0 at ignored pixels.
    """
    present = tf.reduce_any(target > 0, 1)
    classes = tf.reduce_sum(tf.cast(present, tf.float32), 1)
    means = tf.math.divide_no_nan(tf.reduce_sum(tf.where(present, loss, 0.0), 1), classes)
    return tf.reduce_sum(means), tf.reduce_sum(tf.cast(classes > 0, tf.float32))
