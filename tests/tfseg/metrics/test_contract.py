"""The contract of every metric, which evaluation relies on: each one in `tfseg/metrics/` is tested.

Its own test file, tests/tfseg/metrics/test_<name>.py, brings CASES: [(confusion, value), ..], derived by hand; `value` is a
number, or one a class, and NaN where it is not defined. A metric that reads no confusion matrix is tested there alone.
"""

import importlib
import importlib.util
import inspect

import numpy as np
import pytest

from tfseg import metrics

NAMES = ("road", "car", "sky")


def find(name):
    return getattr(importlib.import_module(f"tfseg.metrics.{name}"), name)


def own(name):
    """The metric's own test file, None if there is none."""
    module = f"tests.tfseg.metrics.test_{name}"
    return importlib.import_module(module) if importlib.util.find_spec(module) else None


OF_CONFUSION = [name for name in metrics.names() if next(iter(inspect.signature(find(name)).parameters)) == "confusion"]


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
