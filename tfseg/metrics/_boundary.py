"""What the metrics of boundaries share. They are counted on the host, image by image, by OpenCV."""

import numpy as np
import tensorflow as tf

from input_pipeline import IGNORE
from tfseg.metrics import _per_class


def check_width(width: float) -> None:
    """Raises ValueError unless the width is a share of the diagonal, below 1, or pixels."""
    if isinstance(width, bool) or not isinstance(width, (int, float)) or not width > 0:
        raise ValueError(f"Expected width: pixels, 1 or more, or a share of the diagonal below 1. Received: {width!r}.")


def pixels(width: float, shape: tuple[int, int]) -> float:
    """The width in pixels in an image of the shape (height, width): a width below 1 is a share of its diagonal."""
    return width * float(np.hypot(*shape)) if width < 1 else width


def count(seen, function, shape: tuple[int, ...]):
    """Sums `function(label, prediction, valid) -> int64 NumPy array of the shape` over the images of a batch.

    label and prediction are int32 NumPy arrays [height, width], `valid` is true where there is a label. An image without any
    label, which may only fill up the batch, is left out.
    """

    def batch(labels, predictions):
        total = np.zeros(shape, np.int64)
        for label, prediction in zip(labels, predictions, strict=True):
            valid = label != IGNORE
            if valid.any():
                total += function(label.astype(np.int32), prediction, valid)
        return total

    total = tf.numpy_function(batch, [seen.label, seen.prediction], tf.int64, stateful=False)
    return tf.ensure_shape(total, shape)


def of_classes(name: str, classes, values) -> dict:
    """{"mean_<name>": mean of the defined values, "<name>": {class: value}}; None for what is NaN."""
    mean, of_class = _per_class.with_mean(classes, values)
    return {f"mean_{name}": mean, name: of_class}
