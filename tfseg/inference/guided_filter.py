"""The guided filter: probabilities that follow the edges of the image.

He, Sun, Tang, Guided Image Filtering, ECCV 2010, section 3. https://doi.org/10.1007/978-3-642-15549-9_1
"""

import tensorflow as tf

from tfseg.inference.scores import logarithm, same

GRAY = (0.299, 0.587, 0.114)  # shares of red, green and blue, as in JPEG


def guided_filter(predict, num_classes, radius=4, eps=0.01):
    """Refines the scores of whole images: in every window the probabilities become a linear function of the gray values.

    Args:
        predict: images to scores.
        num_classes: number of classes in the scores.
        radius: windows have 2 radius + 1 pixels on a side, 1 or more.
        eps: above 0, in squares of gray values 0..1: a window whose variance is far below it becomes smooth, one far above it
            keeps its edges.
    """
    if not (isinstance(radius, int) and radius >= 1 and eps > 0):
        raise ValueError(f"Expected radius of 1 or more pixels and eps above 0. Received: {radius=}, {eps=}.")

    def scores(images, finish=same):
        images = tf.convert_to_tensor(images)
        logits = predict(images)
        gray = tf.tensordot(tf.cast(images, logits.dtype) / 255.0, tf.constant(GRAY, logits.dtype), 1)
        found = filtered(tf.nn.softmax(logits), gray[..., tf.newaxis], radius, eps)
        found = tf.clip_by_value(found, 0.0, 1.0)
        return finish(logarithm(found / tf.reduce_sum(found, -1, keepdims=True)))

    return scores


def filtered(values, guide, radius, eps):
    """Equations 5, 6 and 8.

    Args:
        values: float [batch, height, width, channels].
        guide: [batch, height, width, 1].
        radius, eps: as in `guided_filter`.

    Returns:
        [batch, height, width, channels]. A constant stays as it is, and so does a sum over the channels that is constant.
    """

    def mean(x):
        """Over the pixels of the window that are in the image, first those of a column."""
        x = tf.nn.avg_pool2d(x, (2 * radius + 1, 1), 1, "SAME")
        return tf.nn.avg_pool2d(x, (1, 2 * radius + 1), 1, "SAME")

    of_guide, of_values = mean(guide), mean(values)
    variance = mean(guide * guide) - of_guide * of_guide
    slope = (mean(guide * values) - of_guide * of_values) / (tf.maximum(variance, 0.0) + eps)
    return mean(slope) * guide + mean(of_values - slope * of_guide)
