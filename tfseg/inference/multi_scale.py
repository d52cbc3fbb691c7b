"""Scores from an image at several scales and mirrored."""

import tensorflow as tf

from tfseg.inference.scores import logarithm, same


def multi_scale(predict, num_classes, scales=(0.75, 1.0, 1.25), flip=True):
    """Averages the probabilities of several scales, each also mirrored.

    The cost is the sum of the squared scales, twice that with `flip`. Images are resized bilinearly on half-pixel centres
    without antialiasing. Scores are mirrored back, resized to the images' own size, and their softmax is averaged.

    Args:
        predict: images to scores.
        num_classes: number of classes in the scores.
        scales: factors of height and width; sizes are rounded to whole pixels.
        flip: whether to use the image mirrored left to right too.
    """
    scales = tuple(scales) if isinstance(scales, (tuple, list)) else (scales,)
    if not scales or not all(isinstance(s, (int, float)) and s > 0 for s in scales):
        raise ValueError(f"Expected positive scales. Received: scales={scales}.")

    def scores(images, finish=same):
        images = tf.convert_to_tensor(images)
        size = tf.shape(images)[1:3]
        total = 0.0
        for scale in scales:
            scaled = images
            if scale != 1:
                new = tf.maximum(1, tf.cast(tf.floor(tf.cast(size, tf.float32) * scale + 0.5), tf.int32))
                scaled = tf.image.resize(images, new)
            views = [predict(scaled)]
            if flip:
                views.append(tf.reverse(predict(tf.reverse(scaled, [2])), [2]))
            total += sum(tf.nn.softmax(view if scale == 1 else tf.image.resize(view, size)) for view in views)
        return finish(logarithm(total / (len(scales) * (1 + flip))))

    return scores
