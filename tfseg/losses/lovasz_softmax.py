"""Lovasz-Softmax: a surrogate of the intersection over union, convex in the errors."""

import tensorflow as tf

from tfseg.losses import _masked


def lovasz_softmax(logits, label, *, per_image=True):
    """Lovasz-Softmax of Berman et al., CVPR 2018, https://arxiv.org/abs/1705.08790; the mean over the classes present.

    For class c the error of a valid pixel is m = 1 - p_c if its label is c, and p_c otherwise, with p = softmax(logits). The
    loss is the Lovasz extension of the Jaccard loss at these errors: sum m_i g_i over the pixels, largest error first, where
    g_i is the growth of the loss 1 - IoU when pixel i becomes wrong after those before it (Algorithm 1, `_gradient`).
    The mean is over the classes that the label has, as in the authors' code (classes="present").

    With `per_image=True`, `sum / count` is the mean over the images with valid pixels of all replicas, whatever their
    number. The authors' code takes the batch as one image by default, which is nearer to the mean IoU of a data set but is no
    mean over images. `per_image=False` does so with the batch of each replica: the result is then the mean over the replicas
    and depends on their number. There are no class weights, since every class counts the same already.

    Args:
        logits: float [batch, height, width, classes] of any precision, -inf..inf; computed in float32. What is
            under ignored pixels, even NaN, changes neither the value nor the gradient.
        label: integer [batch, height, width], 0..classes-1 or IGNORE. Another id gives NaN.
        per_image: whether each image is taken by itself; otherwise the batch of a replica is taken as one image.

    Returns:
        (sum, count), float32 scalars: of the losses, 0..1 each, and of the images (batches) with valid pixels; (0, 0)
        with a gradient of 0 where there is none.

    Raises:
        ValueError: if shapes disagree.
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
    """Algorithm 1: the growth of 1 - IoU at each pixel, for pixels sorted by error, the largest first.

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
