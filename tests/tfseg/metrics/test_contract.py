"""The contract of every metric, which evaluation relies on: each one in `tfseg/metrics/` is tested.

Its own test file, tests/tfseg/metrics/test_<name>.py, brings CASES: [(confusion, value), ..], derived by hand; `value` is a
number, or one a class, and NaN where it is not defined. The values of other metrics are tested there alone; here is what holds
for everything that is counted.
"""

import importlib
import importlib.util
import json

import numpy as np
import pytest
import tensorflow as tf

from tests.tfseg.metrics import samples
from tfseg import counts, metrics

NAMES = ("road", "car", "sky")


def find(name):
    return getattr(importlib.import_module(f"tfseg.metrics.{name}"), name)


def own(name):
    """The metric's own test file, None if there is none."""
    module = f"tests.tfseg.metrics.test_{name}"
    return importlib.import_module(module) if importlib.util.find_spec(module) else None


OF_CONFUSION = metrics.names("confusion")
# One that reads more than scores and labels is tested in its own file alone.
COUNTED = [name for name in metrics.names("classes") if not metrics.build(name, NAMES)[name].reads]


@pytest.mark.parametrize("name", metrics.names())
def test_says_what_it_is(name):
    assert (find(name).__doc__ or "").strip(), f"tfseg/metrics/{name}.py: expected a docstring with the definition"
    assert own(name), f"Expected the metric's own test in tests/tfseg/metrics/test_{name}.py. Received: no such file."


@pytest.mark.parametrize("name", OF_CONFUSION)
def test_values_by_hand(name):
    cases = getattr(own(name), "CASES", None)
    assert cases, (
        f"Expected CASES = [(confusion, value), ..] in tests/tfseg/metrics/test_{name}.py: values of the metric {name!r} "
        "derived by hand. Received: none."
    )
    for confusion, expected in cases:
        before = np.array(confusion, np.int64)
        received = find(name)(confusion := before.copy())
        np.testing.assert_allclose(received, expected, rtol=1e-6, err_msg=str(before))
        np.testing.assert_array_equal(confusion, before)  # others read it too
        if confusion.shape == (3, 3):
            value = metrics.compute(confusion, NAMES)[name]
            value = list(value.values()) if isinstance(value, dict) else value
            np.testing.assert_allclose(
                np.array(value, float), expected, rtol=1e-6
            )  # None stands for NaN, which means not defined


@pytest.mark.parametrize("name", OF_CONFUSION)
def test_bounds(name):
    """For every metric: a perfect result is 1, without pixels it is None, and ignored extra columns only lower it."""
    perfect, empty = (metrics.compute(m, NAMES)[name] for m in (np.diag([5, 1, 2]), np.zeros((3, 3), "int64")))
    assert perfect in (1.0, dict.fromkeys(NAMES, 1.0))
    assert empty in (None, dict.fromkeys(NAMES))
    extra = np.array([[5, 0, 0, 0], [0, 1, 0, 1], [0, 0, 2, 0], [0, 0, 0, 0]])
    lowered = metrics.compute(extra, NAMES)[name]
    if name == "precision":  # of what is predicted as a car all is right; the miss lowers the others
        assert lowered == dict.fromkeys(NAMES, 1.0)
    else:
        assert lowered["car"] < 1 if isinstance(lowered, dict) else lowered < 1


@pytest.mark.parametrize("name", COUNTED)
def test_totals_do_not_depend_on_how_the_images_are_divided(name):
    """One batch of four, two replicas with batches of one, and a batch that is filled up give the same total.

    Counts are equal. TensorFlow's softmax differs in its last bit with the place of a pixel in the batch.
    """
    (count,) = metrics.build(name, NAMES).values()
    label, scores = samples.images()
    whole = samples.total(count, label, scores)
    tf.nest.assert_same_structure(count.zero, whole)
    ones = [samples.total(count, label[i : i + 1], scores[i : i + 1]) for i in (3, 0, 2, 1)]
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice())

    @tf.function
    def replicas(first, second):
        places = tf.stack([first, second])
        picked = strategy.experimental_distribute_values_from_function(lambda c: places[c.replica_id_in_sync_group])
        counted = strategy.run(lambda i: count.update(samples.seen(label, scores, i)), (picked,))
        return tf.nest.map_structure(lambda value: strategy.reduce("SUM", value, axis=None), counted)

    merged = counts.add(counts.add(count.zero, replicas(3, 1)), replicas(0, 2))
    filled = (np.concatenate([label, np.full_like(label[:1], 255)]), np.concatenate([scores, scores[:1]]))
    zero = count.zero
    for one in ones:
        zero = counts.add(zero, one)
    for other in (zero, merged, samples.total(count, *filled)):
        tf.nest.map_structure(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), other, whole)


@pytest.mark.parametrize("name", COUNTED)
def test_what_is_predicted_where_there_is_no_label_does_not_count(name):
    """More than the width of a boundary inside an ignored block: see boundary_iou for what lies at its border."""
    width = "(width=1)" if name.startswith("boundary") else ""
    (count,) = metrics.build(name + width, NAMES).values()
    label, scores = samples.images()
    label[:, 2:9, 2:9] = 255
    expected = samples.total(count, label, scores)
    scores[:, 4:7, 4:7] = [9, -9, 0]
    tf.nest.map_structure(np.testing.assert_array_equal, samples.total(count, label, scores), expected)


@pytest.mark.parametrize("name", COUNTED)
def test_values_are_json_and_none_without_labels(name):
    (count,) = metrics.build(name, NAMES).values()
    label, scores = samples.images()
    for total in (count.zero, samples.total(count, label, scores)):
        result = count.values(total)
        assert json.loads(json.dumps(result, allow_nan=False)) == result
        defined = [value for value in metrics.numbers(result).values() if value is not None]
        assert all(0 <= value <= 1 for value in defined)
        assert bool(defined) == (total is not count.zero)
        assert "NaN" not in count.section(result)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("iou", "Expected in --metrics only what is not always computed"),
        ("calibratio", "Did you mean 'calibration'"),
        ("calibration | calibration(bins=3)", "calibration twice"),
        ("calibration(bins=0)", "1 or more"),
        ("boundary_iou(width=0)", "Expected width: pixels"),
        ("boundary_f1(widht=2)", "Did you mean 'width'"),
    ],
)
def test_a_wrong_spec_is_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        metrics.build(spec, NAMES)
