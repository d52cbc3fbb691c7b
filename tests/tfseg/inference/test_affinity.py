import keras
import numpy as np
import pytest
import tensorflow as tf

from tfseg import inference
from tfseg.inference.affinity import propagated, weights


def reference(values, features, radius, tau, steps):
    """Cell by cell."""
    height, width, _ = values.shape
    f = features / np.linalg.norm(features, axis=-1, keepdims=True)
    for _ in range(steps):
        new = np.zeros_like(values)
        for y in range(height):
            for x in range(width):
                window = np.s_[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1]
                weight = np.exp(-((f[window] - f[y, x]) ** 2).sum(-1) / tau)
                new[y, x] = (weight[..., None] * values[window]).sum((0, 1)) / weight.sum()
        values = new
    return values


@pytest.mark.parametrize(("radius", "tau", "steps"), [(1, 0.5, 1), (2, 0.1, 3)])
def test_it_is_the_mean_weighted_by_likeness(radius, tau, steps):
    rng = np.random.default_rng(0)
    values, features = rng.random((5, 6, 2)), rng.normal(size=(5, 6, 3))
    found = weights(tf.constant(features[None]), radius, tau)
    np.testing.assert_allclose(tf.reduce_sum(found, -1), 1, rtol=1e-12)
    found = propagated(tf.constant(values[None]), found, radius, steps)
    np.testing.assert_allclose(found[0], reference(values, features, radius, tau, steps), rtol=1e-9)


def network(size, cells):
    """Scores that are right in one cell of each half, and features that tell the halves apart."""
    logits = np.zeros((1, *size, 2), np.float32)
    logits[0, :, :2, 0], logits[0, :, -2:, 1] = 4, 4
    features = np.zeros((1, *cells, 2), np.float32)
    features[:, :, : cells[1] // 2, 0] = features[:, :, cells[1] // 2 :, 1] = 3

    def call(images, training=False):
        return {"logits": tf.constant(logits), "features": tf.constant(features)}

    inputs = keras.Input((None, None, 3))
    call.output = {"logits": keras.layers.Conv2D(2, 1)(inputs), "features": inputs}
    return call


def test_scores_spread_as_far_as_features_are_alike():
    scores = inference.build("whole | affinity(radius=1, steps=6)", network((8, 16), (4, 8)))(np.zeros((1, 8, 16, 3)))
    assert scores.shape == (1, 8, 16, 2)
    np.testing.assert_array_equal(np.argmax(scores, -1)[0], np.tile(np.arange(16) >= 8, (8, 1)))
    np.testing.assert_allclose(tf.reduce_sum(tf.exp(scores), -1), 1, rtol=1e-5)


def test_a_network_without_features_is_refused():
    model = network((8, 16), (4, 8))
    del model.output["features"]
    with pytest.raises(ValueError, match="Expected a network with an output `features` for affinity"):
        inference.build("whole | affinity", model)


@pytest.mark.parametrize("wrong", ["radius=0", "tau=0", "steps=-1"])
def test_wrong_options(wrong):
    with pytest.raises(ValueError, match="Expected radius of 1 or more cells"):
        inference.build(f"whole | affinity({wrong})", network((8, 16), (4, 8)))
