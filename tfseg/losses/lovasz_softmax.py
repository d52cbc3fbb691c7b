"""Lovasz-Softmax: a surrogate of the intersection over union, convex in the errors."""

import tensorflow as tf

from tfseg.losses import _masked


def lovasz_softmax(logits, label, *, per_image=True):
    """Lovasz-Softmax of Berman et al., CVPR 2018, https://arxiv.org/abs/1705.08790; the mean over the classes present.

    For class c a valid pixel's error is m = 1 - p_c where c is its label, p_c elsewhere, with p = softmax(logits). The
    loss is the Lovasz extension of the Jaccard loss at these errors: sum m_i g_i over pixels of falling error, where
    g_i is what the loss 1 - IoU grows by when pixel i becomes wrong after those before it (Algorithm 1, `_gradient`).
    A class is averaged over where the label has it, as in the authors' code (classes="present").

    Per image, `sum / count` is the mean over the images with valid pixels of all replicas, whatever their number. The
    authors' code takes the batch as one image by default, which comes nearer to a data set's mean IoU but is no mean
    over images. `per_image=False` does so with each replica's batch: with several replicas the result is the mean of
    theirs and depends on their number. There are no class weights, for every class has the same say already.

    Args:
        logits: float [batch, height, width, classes] of any precision, -inf..inf; computed in float32. Under ignored
            pixels anything, NaN included, changes neither the value nor the gradient.
        label: integer [batch, height, width], 0..classes-1 or IGNORE. Another id gives NaN.
        per_image: whether an image is a region of its own, else the replica's batch is one.

    Returns:
        (sum, count), float32 scalars: of the losses, 0..1 each, and of the images (batches) with valid pixels; (0, 0)
        with a gradient of 0 where there is none.

    Raises:
        ValueError: where shapes disagree.
    """
    probability, target = _masked.probabilities(logits, label)
    if not per_image:
        probability, target = (tf.reshape(x, [1, -1, x.shape[-1]]) for x in (probability, target))

    # Ignored pixels have an error of 0, so they come last and add nothing.
    error, foreground = (tf.transpose(x, [0, 2, 1]) for x in (tf.abs(target - probability), target))
    error, order = tf.math.top_k(error, tf.shape(error)[-1])
    foreground = tf.gather(foreground, order, batch_dims=2)
    gradient = _gradient(foreground, tf.reduce_sum(target, 1)[..., None])
    return _masked.mean_over_present(tf.reduce_sum(error * gradient, -1), target)


def _gradient(foreground, size):
    """Algorithm 1: what 1 - IoU grows by at each pixel, for pixels in the order of falling error.

    With the first i pixels wrong, the intersection is size - (foreground among them), the union size + (background
    among them). So a foreground pixel adds 1 / union, a background pixel intersection / (union (union - 1)). This is
    the paper's difference of neighbouring IoUs; in float32 the difference itself would be of the size 1e-6 at 1e6
    pixels, between numbers rounded to 6e-8.
    """
    intersection = size - tf.cumsum(foreground, -1)
    union = size + tf.cumsum(1 - foreground, -1)
    return tf.where(
        foreground > 0,
        tf.math.divide_no_nan(1.0, union),
        tf.math.divide_no_nan(intersection, union * (union - 1)),
    )
