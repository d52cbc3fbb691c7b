"""Pointwise colour: combined operations give the same result as one operation after the other."""

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline import ops, pointwise
from input_pipeline.ops import color

SEED = tf.constant([3, 4])


def example(dtype=tf.uint8):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    return {"image": tf.cast(pixels, dtype), "label": tf.zeros([6, 8], tf.uint8)}


def gamma(exponent):
    return lambda values: 255.0 * (values / 255.0) ** exponent


STEPS = {
    "brightness": lambda x: pointwise.linear(x, 1.0, 20.0),
    "scale a channel": lambda x: pointwise.linear(x, tf.constant([0.5, 1.0, 1.2]), tf.constant([1.0, 2.0, 3.0])),
    "contrast": lambda x: pointwise.linear(x, 1.3, pointwise.mean(x) * -0.3),
    "swap": lambda x: pointwise.mix(x, tf.constant([[0.0, 0, 1], [0, 1, 0], [1, 0, 0]]), 4.0),
    "gamma": lambda x: pointwise.curve(x, gamma(1.7)),
}


@pytest.mark.parametrize("dtype", [tf.uint8, tf.float32])
@pytest.mark.parametrize("first", STEPS)
@pytest.mark.parametrize("second", STEPS)
def test_two_pending_operations_equal_one_after_the_other(first, second, dtype):
    one_by_one = STEPS["brightness"](STEPS[second](STEPS[first](example(dtype))))["image"]
    together = pointwise.begin(example(dtype))
    for name in (first, second, "brightness"):
        together = STEPS[name](together)
    together = pointwise.flush(together)
    assert set(together) == {"image", "label"}
    assert together["image"].dtype == tf.float32
    np.testing.assert_allclose(together["image"], one_by_one, atol=2e-3)


def test_curves_on_uint8_images_are_read_from_a_table_of_256_values():
    seen = []

    def inverted(values):
        seen.append(values.shape)
        return 255.0 - values

    waiting = pointwise.curve(pointwise.linear(pointwise.begin(example()), 0.5, 10.0), inverted)
    got = pointwise.flush(pointwise.linear(waiting, 2.0))["image"]
    # (255 - (0.5 p + 10)) * 2 = 490 - p.
    np.testing.assert_allclose(got, 490.0 - tf.cast(example()["image"], tf.float32), atol=1e-3)
    assert seen == [(256, 3)]


def test_the_mean_is_that_of_the_image_as_it_will_be():
    waiting = pointwise.curve(pointwise.begin(example()), gamma(0.5))
    waiting = pointwise.mix(waiting, tf.constant([[0.2, 0.3, 0.5], [0, 1, 0], [1, 1, 0]]), 7.0)
    expected = tf.reduce_mean(pointwise.flush(waiting)["image"], [0, 1])
    np.testing.assert_allclose(pointwise.mean(waiting), expected, rtol=1e-5)


def test_a_chain_gives_what_its_operations_give_by_themselves():
    chain = "brightness(0.3) | contrast(0.4) | saturation(0.5) | contrast(0.2) | brightness(0.1)"
    got = ops.build(chain, (6, 8), (0.0, 0.0, 0.0))(example(), SEED)["image"]
    by_itself, fold = example(tf.float32), tf.random.experimental.stateless_fold_in
    # The chain's first operation is the crop, which is the whole image here.
    for i, (name, delta) in enumerate(
        [("brightness", 0.3), ("contrast", 0.4), ("saturation", 0.5), ("contrast", 0.2), ("brightness", 0.1)], 1
    ):
        by_itself = getattr(color, name)(by_itself, fold(SEED, i), delta)
    np.testing.assert_allclose(got, np.clip(by_itself["image"], 0, 255), atol=2e-3)


def test_names_in_pointwise_are_operations():
    assert set(color.POINTWISE) <= set(ops.names())


def test_what_does_not_wait_finds_pixels_with_all_that_was_before(monkeypatch):
    """An operation that is not in POINTWISE, here between two that are."""

    def doubled(example, seed):
        """Twice the value."""
        assert pointwise.KEY not in example
        assert example["image"].dtype == tf.float32
        return {**example, "image": example["image"] * 2.0}

    doubled.__module__ = color.__name__
    monkeypatch.setattr(color, "doubled", doubled, raising=False)
    fold = tf.random.experimental.stateless_fold_in
    got = ops.build("brightness(0.3) | doubled | brightness(0.1)", (6, 8), (0.0, 0.0, 0.0))(example(), SEED)["image"]
    first = color.brightness(example(tf.float32), fold(SEED, 1), 0.3)["image"]
    last = color.brightness({"image": first * 2.0}, fold(SEED, 3), 0.1)["image"]
    np.testing.assert_allclose(got, np.clip(last, 0, 255), atol=1e-3)


def test_operations_across_images_are_given_groups_of_four_and_the_first_seed(monkeypatch):
    given = []

    def rolled(batch, seed, by: int = 1):
        """Every image is replaced by its neighbour."""
        given.append((batch["image"].shape[0], seed.numpy().tolist()))
        return {k: tf.roll(v, by, 0) for k, v in batch.items()}

    rolled.__module__ = color.__name__
    monkeypatch.setattr(color, "rolled", rolled, raising=False)
    assert "rolled" in ops.names()
    batch = {"image": tf.reshape(tf.range(8.0), [8, 1, 1, 1])}
    seeds = tf.stack([tf.range(8), tf.range(8) + 10], 1)
    got = ops.mix("brightness | rolled(by=1)", 8)(batch, seeds)
    np.testing.assert_array_equal(got["image"][:, 0, 0, 0], [3, 0, 1, 2, 7, 4, 5, 6])
    fold = tf.random.experimental.stateless_fold_in
    # In the chain with its crop, rolled is operation 2.
    assert given == [(4, fold(seeds[0], 2).numpy().tolist()), (4, fold(seeds[4], 2).numpy().tolist())]
    assert ops.mix("brightness", 8) is None
    with pytest.raises(ValueError, match=r"Expected augmentations across images last\. Received: brightness"):
        ops.build("rolled | brightness", (6, 8), (0.0, 0.0, 0.0))
    given.clear()
    result = ops.build("rolled", (6, 8), (0.0, 0.0, 0.0))(example(), SEED)
    assert given[0][0] == 1
    np.testing.assert_array_equal(result["image"], example()["image"])
