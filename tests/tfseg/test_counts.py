"""The table of counts: what an update sees, and that totals are the same over replicas, batches and orders of classes."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import input_pipeline
from tests.tfseg.conftest import STREETS
from tfseg import counts, distribute, evaluate

# Sums that reach every field of what is seen; whole numbers, so that their order does not matter.
SEEN = counts.Count(
    {"red": np.zeros([], np.int64), "rows": [np.zeros([10], np.int64), np.zeros([], np.int64)]},
    lambda seen: {
        "red": tf.reduce_sum(tf.where(seen.label != 255, tf.cast(seen.image[..., 0], tf.int64), 0)),
        "rows": [
            tf.math.bincount(seen.prediction[seen.label != 255], minlength=10, maxlength=10, dtype=tf.int64),
            tf.math.count_nonzero(
                (tf.argmax(seen.scores, -1, tf.int32) != seen.prediction) & (seen.label != 255), dtype=tf.int64
            ),
        ],
    },
    lambda total: {"red": int(total["red"])},
)


def network(classes, order):
    """One convolution of fixed weights, whose outputs are the classes in another order."""
    inputs = keras.Input((None, None, 3), dtype="float32")
    logits = keras.layers.Conv2D(classes, 1, name="logits")(inputs / 255.0)
    model = keras.Model(inputs, {"logits": logits})
    kernel = np.random.default_rng(0).normal(size=(1, 1, 3, classes))
    bias = np.random.default_rng(1).normal(size=classes) / 4
    model.set_weights([kernel[..., order], bias[order]])
    return model


def totals(config, strategy, batch_size, order=None):
    prepared = input_pipeline.prepare(STREETS, cache_dir=config.cache_dir)
    order = list(range(prepared.num_classes)) if order is None else order(prepared.num_classes)
    config = dataclasses.replace(config, strategy=strategy, eval_batch_size=batch_size)
    distributed = distribute.build(strategy)
    with distributed.scope():
        model = network(prepared.num_classes, order)
    table = {"seen": SEEN}
    found = evaluate.evaluator(model, prepared, distributed, config, "val", table, order=np.argsort(order).tolist())()
    return found, prepared


def test_what_is_counted_depends_on_the_images_only(config):
    """Of three images: in one batch, in filled-up batches over two replicas, and with the network's classes reversed."""
    one, prepared = totals(config, "one_device", 3)
    examples = list(prepared.encoded("val").map(input_pipeline.decode).as_numpy_iterator())
    red = sum(int(x["image"][..., 0][x["label"] != 255].sum()) for x in examples)
    assert one["seen"]["red"] == red > 0
    assert one["seen"]["rows"][0].sum() == one["confusion"].sum() == sum((x["label"] != 255).sum() for x in examples)
    assert one["seen"]["rows"][1] == 0
    np.testing.assert_array_equal(one["seen"]["rows"][0], one["confusion"].sum(0))
    reversed_classes = lambda classes: list(range(classes))[::-1]  # noqa: E731
    for other, _ in (totals(config, "mirrored", 2), totals(config, "one_device", 2, reversed_classes)):
        tf.nest.map_structure(np.testing.assert_array_equal, other, one)
    result = evaluate.report(one, prepared, "val", 7, {"seen": SEEN})
    assert (result["red"], result["images"], result["step"]) == (red, 3, 7)


def test_an_evaluation_that_is_stopped_says_nothing(config):
    prepared = input_pipeline.prepare(STREETS, cache_dir=config.cache_dir)
    model = network(prepared.num_classes, list(range(prepared.num_classes)))
    assert evaluate.evaluator(model, prepared, distribute.build("one_device"), config, "val")(lambda: True) is None


@pytest.mark.parametrize(("pair", "loss"), [((6.0, 4.0), 3.0), ((0.0, 0.0), 0.0)])
def test_a_loss_is_its_weighted_sum_by_its_count(pair, loss):
    from tfseg import losses

    count = counts.losses([losses.Term("dice", 2.0, None)])
    assert count.values(counts.add(count.zero, [np.array(pair)])) == {"loss": loss, "logits/dice": loss}
