"""From images to scores: whole | sliding window | multi-scale and flip.

    scores = build("sliding_window(size=(512, 1024)) | multi_scale(scales=(0.75, 1.0, 1.25))", model)
    prediction = tf.argmax(scores(images), -1)

Whatever the way, scores are logits: float32 [batch, height, width, classes] at the images' size, their argmax is the
prediction and their softmax the probabilities. `whole` returns the network's own. The others average probabilities and
return the logarithm of the average, whose softmax is the average again.

A chain goes from the inside out: `sliding_window(..) | multi_scale(..)` slides over each of the scaled images.
"""

import tensorflow as tf

from tfseg import spec as specs

SMALLEST = 1e-30  # probability, so that its logarithm is finite: a score of -69


def build(spec: str, model):
    """The function from images to scores that a spec names.

    Args:
        spec: chain of `whole`, `sliding_window(size, overlap)` and `multi_scale(scales, flip)`.
        model: a `keras.Model` with an output "logits" [batch, height, width, classes] at its input's size; run in
            inference mode.

    Returns:
        A function of images, RGB 0..255, uint8 or float [batch, height, width, 3], whose sizes may be known only at run
        time, to scores, float32 [batch, height, width, classes]. It runs eagerly and inside tf.function.

    Raises:
        ValueError: for an unknown name, or an option that is wrong.
    """
    num_classes = model.output["logits"].shape[-1]

    def predict(images):
        return model(images, training=False)["logits"]

    known = {function.__name__: function for function in (whole, sliding_window, multi_scale)}
    calls = specs.parse_chain(spec)
    for call in calls:
        way = specs.choose(known, call.name, "one of these, or a chain of them", spec)
        predict = specs.apply(way, call, predict, num_classes)
    return predict


def whole(predict, num_classes):
    """The image as it is."""
    return predict


def sliding_window(predict, num_classes, size, overlap=0.5):
    """Windows of one size over the whole image, blended.

    Windows begin a stride of (1 - overlap) * size pixels apart; the last one is moved inwards to end with the image. An
    axis no longer than the window is taken whole. A pixel's probabilities are the mean of softmax over its windows,
    each weighted by the product over both axes of the distance to the window's nearer edge: what a window says near its
    edge is said without context, and weights that fall to almost 0 there leave no seam.

    Args:
        predict: images to scores.
        num_classes: of the scores.
        size: height and width of the window, or one number for both; pixels of the images given.
        overlap: of neighbouring windows, part of the window, 0 or more and less than 1.
    """
    size = (size, size) if isinstance(size, int) else tuple(size)
    if len(size) != 2 or not all(isinstance(n, int) and n > 0 for n in size):
        raise ValueError(f"Expected size=(height, width), pixels. Received: size={size}.")
    if not 0 <= overlap < 1:
        raise ValueError(f"Expected overlap in 0..1, less than 1. Received: overlap={overlap}.")
    strides = [max(1, round(n * (1 - overlap))) for n in size]

    def scores(images):
        images = tf.convert_to_tensor(images)
        batch, *extent = tf.unstack(tf.shape(images)[:3])
        window = [tf.minimum(n, e) for n, e in zip(size, extent, strict=True)]
        last = [e - w for e, w in zip(extent, window, strict=True)]
        counts = [-(-end // stride) + 1 for end, stride in zip(last, strides, strict=True)]
        weight = _taper(window[0])[:, None, None] * _taper(window[1])[:, None]

        def add(i, total, weights):
            places = (i // counts[1], i % counts[1])
            top, left = (tf.minimum(p * s, end) for p, s, end in zip(places, strides, last, strict=True))
            here = tf.slice(images, [0, top, left, 0], [-1, *window, -1])
            around = [[top, last[0] - top], [left, last[1] - left], [0, 0]]
            part = tf.pad(weight * tf.nn.softmax(predict(here)), [[0, 0], *around])
            weights = tf.ensure_shape(weights + tf.pad(weight, around), weights.shape)
            return i + 1, tf.ensure_shape(total + part, total.shape), weights

        zeros = (tf.zeros([batch, *extent, num_classes]), tf.zeros([*extent, 1]))
        # One window at a time: a network's activations are what fills the memory.
        _, total, weights = tf.while_loop(
            lambda i, *_: i < counts[0] * counts[1], add, (0, *zeros), parallel_iterations=1
        )
        return _logarithm(total / weights)

    return scores


def multi_scale(predict, num_classes, scales=(0.75, 1.0, 1.25), flip=True):
    """The image at several scales, each also mirrored; costs the sum of the squared scales, twice with `flip`.

    Images are resized bilinearly on half-pixel centres without antialiasing. Scores are mirrored back, resized to the
    images' own size, and their softmax is averaged.

    Args:
        predict: images to scores.
        num_classes: of the scores.
        scales: factors of height and width; sizes are rounded to whole pixels.
        flip: also the image mirrored left to right.
    """
    scales = tuple(scales) if isinstance(scales, (tuple, list)) else (scales,)
    if not scales or not all(isinstance(s, (int, float)) and s > 0 for s in scales):
        raise ValueError(f"Expected positive scales. Received: scales={scales}.")

    def scores(images):
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
        return _logarithm(total / (len(scales) * (1 + flip)))

    return scores


def _taper(length):
    """Distance of each of `length` pixels to the nearer end, as a part of the largest: float32 [length], 0 < x <= 1."""
    place = tf.cast(tf.range(length), tf.float32) + 0.5
    distance = tf.minimum(place, tf.reverse(place, [0]))
    return distance / tf.reduce_max(distance)


def _logarithm(probabilities):
    return tf.math.log(tf.maximum(probabilities, SMALLEST))
