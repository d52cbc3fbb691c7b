"""rand_augment: which operations are drawn, how often and how strong they are."""

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline import ops
from input_pipeline.ops import rand_augment as module
from tests.input_pipeline.ops.samples import FILL, SIZE, example, seeds

CHAINS = ("rand_augment(n=3, magnitude=10)", "affine | rand_augment(n=1, magnitude=1)")


def test_each_way_is_as_likely_and_is_given_the_magnitude(monkeypatch):
    # Way k adds 10^k, so that the digits of a pixel count how often each of three ways was taken.
    ways = [lambda x, seed, m, k=k: {**x, "image": x["image"] + m * 10.0**k} for k in range(3)]
    monkeypatch.setattr(module, "WAYS", ways)
    given = {"image": tf.zeros([1, 1, 3]), "label": tf.zeros([1, 1], tf.uint8)}
    augment = tf.function(lambda seed: module.rand_augment(given, seed, n=2, magnitude=5)["image"][0, 0, 0])
    values = [round(2 * float(augment(seed))) for seed in seeds(180)]  # magnitude 5 is m = 1/2
    assert {sum(map(int, str(value))) for value in values} == {2}
    # Two of three with repetition: 200, 20, 2 are drawn in 1 of 9 each, 110, 101, 11 in 2 of 9: 20 and 40 of 180.
    counts = {value: values.count(value) for value in (2, 20, 200, 11, 101, 110)}
    assert sum(counts.values()) == 180
    for value, count in counts.items():
        expected = 20 if value in (2, 20, 200) else 40
        assert abs(count - expected) < 3.5 * np.sqrt(expected)


def test_magnitude_is_the_strength():
    given = {"image": tf.cast(example()["image"], tf.float32), "label": example()["label"]}

    def change(magnitude):
        augment = tf.function(lambda seed: module.rand_augment(given, seed, n=2, magnitude=magnitude)["image"])
        return np.mean([np.abs(augment(seed) - given["image"]).mean() for seed in seeds(30)])

    assert 0 < change(1) < 0.6 * change(10)


@pytest.mark.parametrize(
    ("options", "message"),
    [("n=0", "Expected n from 1 to 10"), ("magnitude=11", "Expected magnitude from 0 to 10. Received: magnitude=11")],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ops.build(f"rand_augment({options})", SIZE, FILL)(example(), seeds(1)[0])
