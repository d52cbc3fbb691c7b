import keras
import numpy as np
import pytest
import tensorflow as tf

from tfseg import inference
from tfseg.inference.guided_filter import filtered


def reference(values, guide, radius, eps):
    """Window by window, as the paper says it: a linear function in each window, and their mean at each pixel."""
    height, width, channels = values.shape
    lines = {}
    for y in range(height):
        for x in range(width):
            window = np.s_[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1]
            gray, value = guide[window].reshape(-1), values[window].reshape(-1, channels)
            slope = (gray[:, None] * value).mean(0) - gray.mean() * value.mean(0)
            slope /= gray.var() + eps
            lines[y, x] = slope, value.mean(0) - slope * gray.mean()
    found = np.zeros(values.shape)
    for y in range(height):
        for x in range(width):
            near = [lines[p] for p in lines if abs(p[0] - y) <= radius and abs(p[1] - x) <= radius]
            found[y, x] = np.mean([slope * guide[y, x] + shift for slope, shift in near], 0)
    return found


@pytest.mark.parametrize(("radius", "eps"), [(1, 0.01), (3, 0.1)])
def test_it_is_the_papers_also_at_the_border(radius, eps):
    rng = np.random.default_rng(0)
    values, guide = rng.random((6, 5, 2)), rng.random((6, 5))
    found = filtered(tf.constant(values[None]), tf.constant(guide[None, ..., None]), radius, eps)
    np.testing.assert_allclose(found[0], reference(values, guide, radius, eps), rtol=1e-9)


def test_probabilities_get_the_edge_of_the_image():
    """An edge of the image at column 6, and scores that end a pixel further: their edge moves to that of the image."""
    image = np.zeros((1, 12, 12, 3), np.uint8)
    image[:, :, 6:] = 255
    right = np.zeros((1, 12, 12, 1), np.float32)
    right[:, :, 7:] = 6
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, {"logits": keras.layers.Conv2D(2, 1)(inputs)})

    def network(images, training=False):
        return {"logits": tf.concat([tf.zeros_like(right), tf.constant(right) - 3.0], -1)}

    network.output = model.output
    scores = inference.build("whole | guided_filter(radius=3, eps=0.001)", network)(image)
    np.testing.assert_array_equal(np.argmax(scores, -1)[0, 5] > 0, np.arange(12) >= 6)
    np.testing.assert_allclose(tf.reduce_sum(tf.exp(scores), -1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("wrong", ["radius=0", "eps=0", "radius=1.5"])
def test_wrong_options(wrong):
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, {"logits": keras.layers.Conv2D(2, 1)(inputs)})
    with pytest.raises(ValueError, match="Expected radius of 1 or more"):
        inference.build(f"whole | guided_filter({wrong})", model)
