"""The contract of every loss, which the loop relies on: each one in `tfseg/losses/` is tested.

Its own test file, tests/tfseg/losses/test_<name>.py, brings what only it can say:

    CASES       [(arguments, options, (sum, count)), ..]: small values derived by hand; `arguments` such as (logits, label).
    OPTIONS     optional, [{..}, ..]: the options under which the properties below are tested on `samples.batch()`, of
                three classes; default: none.
    reference   optional, (logits, label, **options) -> (sum, count): a second implementation in float64.
    OF_THE_BATCH  optional, the OPTIONS under which the batch counts as one image, so that it is not the sum of its parts.

A loss that does not read `logits, label` has no properties here: its own file tests them.
"""

import importlib
import importlib.util
import inspect
import math

import numpy as np
import pytest
import tensorflow as tf

from tests.tfseg.losses import samples
from tfseg import losses


def find(name):
    return getattr(importlib.import_module(f"tfseg.losses.{name}"), name)


def own(name):
    """The loss's own test file, None if there is none."""
    module = f"tests.tfseg.losses.test_{name}"
    return importlib.import_module(module) if importlib.util.find_spec(module) else None


def of_pixels(name):
    """Whether it reads logits and label."""
    return list(inspect.signature(find(name)).parameters)[:2] == ["logits", "label"]


PAIRS = [(name, o) for name in losses.names() if of_pixels(name) for o in getattr(own(name), "OPTIONS", [{}])]
each = pytest.mark.parametrize(("name", "options"), PAIRS, ids=[f"{n}{o or ''}" for n, o in PAIRS])


@pytest.mark.parametrize("name", losses.names())
def test_values_by_hand(name):
    cases = getattr(own(name), "CASES", None)
    assert cases, (
        f"Expected CASES = [((logits, label), options, (sum, count)), ..] in tests/tfseg/losses/test_{name}.py: values of "
        f"the loss {name!r} derived by hand. Received: none."
    )
    for arguments, options, expected in cases:
        received = samples.values(find(name), *arguments, **options)
        assert received == pytest.approx(expected, rel=1e-6, abs=1e-6), options


@pytest.mark.parametrize("name", losses.names())
def test_says_what_it_is(name):
    function = find(name)
    assert (function.__doc__ or "").strip(), (
        f"tfseg/losses/{name}.py: expected a docstring with the formula and its source"
    )
    options = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    without = [p.name for p in options if p.default is p.empty]
    assert not without, f"tfseg/losses/{name}.py: expected a default for {without}, so that --loss={name} runs"


@each
def test_a_term_of_a_spec(name, options):
    logits, label = samples.batch()
    (term,) = losses.build(name)
    total, count = tf.function(term.function)(logits, label)
    assert total.shape == count.shape == ()
    assert total.dtype == count.dtype == tf.float32
    assert np.isfinite(total)
    assert count > 0
    spoilt = np.where((label == 255)[..., None], np.nan, logits).astype("float32")
    np.testing.assert_array_equal(term.function(spoilt, label), term.function(logits, label))
    assert [float(x) for x in term.function(logits, np.full_like(label, 255))] == [0, 0]


@each
def test_value_and_gradient_are_those_of_the_second_implementation(name, options):
    reference = getattr(own(name), "reference", None)
    if reference is None:
        pytest.skip(f"tests/tfseg/losses/test_{name}.py has no function reference(logits, label, **options)")
    logits, label = samples.batch()
    total, count, gradient = samples.run(find(name), logits, label, **options)
    assert [total, count] == pytest.approx(reference(logits, label, **options), rel=1e-5)
    # The gradient in five directions by central differences, in float64.
    for direction in np.random.default_rng(2).normal(size=(5, *logits.shape)):
        ahead, behind = (reference(logits + step * direction, label, **options)[0] for step in (1e-6, -1e-6))
        assert np.sum(gradient * direction) == pytest.approx((ahead - behind) / 2e-6, rel=1e-4, abs=1e-5)


@each
@pytest.mark.parametrize("junk", [1e30, math.inf, -math.inf, math.nan])
def test_ignored_pixels_change_nothing(name, options, junk):
    logits, label = samples.batch()
    expected = samples.run(find(name), logits, label, **options)
    spoilt = np.where((label == 255)[..., None], np.float32(junk), logits)
    received = samples.run(find(name), spoilt, label, **options)
    for e, r in zip(expected, received, strict=True):
        np.testing.assert_array_equal(e, r)
    assert not received[2][label == 255].any()
    assert received[2][label != 255].any()


@each
def test_xla_agrees(name, options):
    logits, label = samples.batch()
    expected = samples.run(find(name), logits, label, **options)
    compiled = tf.function(samples.step(find(name), **options), jit_compile=True)
    received = [x.numpy() for x in compiled(tf.constant(logits), label)]
    assert received[:2] == pytest.approx(expected[:2], rel=1e-5)
    np.testing.assert_allclose(received[2], expected[2], rtol=1e-4, atol=1e-6)
    for junk in (1e30, -math.inf, math.nan):
        spoilt = np.where((label == 255)[..., None], np.float32(junk), logits)
        for e, r in zip(received, compiled(tf.constant(spoilt), label), strict=True):
            np.testing.assert_array_equal(e, r)


@each
def test_no_valid_pixel(name, options):
    logits, label = samples.batch()
    total, count, gradient = samples.run(find(name), np.full_like(logits, np.nan), np.full_like(label, 255), **options)
    assert [total, count] == [0, 0]
    np.testing.assert_array_equal(gradient, np.zeros_like(logits))


@pytest.mark.parametrize(("name", "options"), [p for p in PAIRS if p[1] not in getattr(own(p[0]), "OF_THE_BATCH", ())])
def test_halves_sum_to_the_whole(name, options):
    """This makes the gradients of two replicas equal to those of one."""
    logits, label = samples.batch()
    label[1] = 255  # so that the first half has two valid pixels in one image: a mean of means gets it wrong
    halves = [samples.run(find(name), logits[part], label[part], **options) for part in (slice(2), slice(2, 4))]
    total, count, gradient = samples.run(find(name), logits, label, **options)
    assert np.sum([h[:2] for h in halves], 0) == pytest.approx([total, count], rel=1e-6)
    np.testing.assert_allclose(np.concatenate([h[2] for h in halves]), gradient, rtol=1e-5, atol=1e-7)


@each
@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_mixed_precision_computes_in_float32(name, options, dtype):
    logits, label = samples.batch()
    half = tf.cast(logits, dtype)
    total, count, gradient = samples.run(find(name), half, label, **options)
    assert total.dtype == count.dtype == np.float32
    assert gradient.dtype == dtype.as_numpy_dtype
    # the same rounded logits in float32: no other rounding
    expected = samples.run(find(name), tf.cast(half, tf.float32), label, **options)
    assert [total, count] == expected[:2]
    np.testing.assert_array_equal(gradient, tf.cast(expected[2], dtype).numpy())


@each
def test_size_known_only_at_run_time(name, options):
    """As in a step whose crop size is not fixed; the loop compiles each loss by itself."""
    logits, label = samples.batch()
    specs = [
        tf.TensorSpec([None, None, None, samples.CLASSES], tf.float32),
        tf.TensorSpec([None, None, None], tf.uint8),
    ]
    compiled = tf.function(find(name), jit_compile=True)
    step = tf.function(lambda z, y: compiled(z, y, **options), input_signature=specs)
    received = [float(x) for x in step(logits, label)]
    assert received == pytest.approx(samples.run(find(name), logits, label, **options)[:2], rel=1e-5)


@each
def test_large_logits_stay_finite(name, options):
    logits, label = samples.batch()
    for x in samples.run(find(name), np.float32(1e4) * logits, label, **options):
        assert np.isfinite(x).all()


@each
def test_a_wrong_size_or_number_of_weights_is_refused(name, options):
    logits, label = samples.batch()
    with pytest.raises(ValueError, match="size"):
        find(name)(logits, label[:, :, :2], **options)
    if "class_weights" in inspect.signature(find(name)).parameters:
        with pytest.raises(ValueError, match=f"{samples.CLASSES} class weights"):
            find(name)(logits, label, **{**options, "class_weights": (1, 2)})
