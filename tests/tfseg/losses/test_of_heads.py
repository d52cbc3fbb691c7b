"""The contract of the losses that read other outputs than the logits alone: each one in `tfseg/losses/` is tested.

Such an output is a map with one channel, [batch, height, width, 1], one of `QUERIES`, here of two predictions by four queries,
or `class_scores` of images. test_contract.py tests the losses of logits and label; one that reads objects, `boxes` or
`instances`, is tested in its own file.
"""

import importlib
import inspect
import math

import numpy as np
import pytest
import tensorflow as tf

from tests.tfseg.losses import samples
from tfseg import losses

OBJECTS = {"boxes", "box_classes", "instances"}
TERMS = [t for name in losses.names() for t in losses.build(name) if t.reads != losses.PIXELS]
NAMES = [t.name for t in TERMS if not OBJECTS & set(t.reads)]
each = pytest.mark.parametrize("name", NAMES)
# XLA compiles the gradient of matched masks for 17 seconds; test_mask_classification.py compiles the matching alone.
SLOW_TO_COMPILE = ("mask_classification",)


def find(name):
    return getattr(importlib.import_module(f"tfseg.losses.{name}"), name)


def inputs(name, spoil=None):
    """{name of what the loss reads: array}; `spoil` replaces the outputs' values under ignored pixels."""
    logits, label = samples.batch()
    head = 3 * np.random.default_rng(5).standard_normal((*label.shape, 1)).astype("float32")
    rng, (batch, height, width) = np.random.default_rng(6), label.shape
    classes, masks = ((batch, 2, 4, samples.CLASSES + 1), (batch, 2, height, width, 4))
    queries = {p: rng.standard_normal(shape).astype("float32") for p, shape in (("classes", classes), ("masks", masks))}
    scores = rng.standard_normal((batch, samples.CLASSES)).astype("float32")
    known = {"logits": logits, "label": label, "class_scores": scores, **queries}
    found = {p: known.get(p, head) for p in losses.build(name)[0].reads}
    if spoil is not None:
        ignored = {p: (label == 255)[:, None, ..., None] if p == "masks" else (label == 255)[..., None] for p in found}
        maps = found.keys() - {"label", "classes", "class_scores"}
        found |= {p: np.where(ignored[p], np.float32(spoil), found[p]) for p in maps}
    return found


def step(name):
    """A function from the inputs to (sum, count, gradients of the sum for each output)."""

    def run(given):
        given = {p: tf.convert_to_tensor(x) for p, x in given.items()}
        outputs = [x for p, x in given.items() if p != "label"]
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            total, count = find(name)(**given)
        return total, count, tape.gradient(total, outputs, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    return run


def flat(result):
    total, count, gradients = result
    return np.concatenate([[float(total), float(count)], *(np.ravel(g) for g in gradients)])


@each
def test_a_term_of_a_spec_names_what_it_reads(name):
    (term,) = losses.build(f"2*{name}")
    assert term.reads == tuple(inspect.signature(find(name)).parameters)[: len(term.reads)]
    assert term.reads[-1] == "label"
    assert term.weight == 2
    total, count = term.function(*inputs(name).values())
    assert total.dtype == count.dtype == tf.float32
    assert total > 0
    assert count > 0


@each
@pytest.mark.parametrize("junk", [1e30, -math.inf, math.nan])
def test_ignored_pixels_change_nothing(name, junk):
    np.testing.assert_array_equal(flat(step(name)(inputs(name, junk))), flat(step(name)(inputs(name))))


@each
def test_no_valid_pixel(name):
    given = inputs(name)
    given["label"] = np.full_like(given["label"], 255)
    assert not flat(step(name)(given)).any()


@each
def test_halves_sum_to_the_whole(name):
    """This makes the gradients of two replicas equal to those of one."""
    given = inputs(name)
    halves = [step(name)({p: x[part] for p, x in given.items()}) for part in (slice(2), slice(2, 4))]
    total, count, gradients = step(name)(given)
    assert sum(float(h[0]) for h in halves) == pytest.approx(float(total), rel=1e-6)
    assert sum(float(h[1]) for h in halves) == pytest.approx(float(count), rel=1e-6)
    for i, gradient in enumerate(gradients):
        np.testing.assert_allclose(np.concatenate([h[2][i] for h in halves]), gradient, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW_TO_COMPILE else []) for n in NAMES]
)
def test_xla_agrees(name):
    given = inputs(name)
    compiled = tf.function(step(name), jit_compile=True)({p: tf.constant(x) for p, x in given.items()})
    np.testing.assert_allclose(flat(compiled), flat(step(name)(given)), rtol=1e-4, atol=1e-6)


@each
def test_mixed_precision_computes_in_float32(name):
    half = {p: x if p == "label" else tf.cast(x, tf.bfloat16) for p, x in inputs(name).items()}
    total, count = find(name)(**half)
    assert total.dtype == count.dtype == tf.float32


def test_sizes_that_are_known_only_at_run_time():
    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 2]), tf.TensorSpec([None, None, None], tf.uint8)])
    def at_label(x, label):
        return losses.at_one_size(x, label, "label")[0]

    assert at_label(tf.ones([1, 2, 3, 2]), tf.zeros([1, 4, 6], tf.uint8)).shape == (1, 4, 6, 2)
    same = np.random.default_rng(0).normal(size=(1, 4, 6, 2)).astype(np.float32)
    np.testing.assert_array_equal(at_label(same, tf.zeros([1, 4, 6], tf.uint8)), same)


def test_a_loss_that_reads_what_is_not_there_is_refused():
    terms = losses.build("cross_entropy + boundary_bce")
    losses.check_reads(terms, ["logits", "boundary"], ["label"])
    with pytest.raises(
        ValueError, match=r"the loss boundary_bce reads .*: logits, aux_0, label\. Received: boundary\."
    ):
        losses.check_reads(terms, ["logits", "aux_0"], ["label"])
    with pytest.raises(
        ValueError, match=r"Expected a loss of logits and label.* Received: boundary_bce\(boundary, label\)"
    ):
        losses.check_reads(losses.build("boundary_bce"), ["logits", "boundary"], ["label"])


def test_keras_is_given_only_losses_of_logits_and_label():
    with pytest.raises(ValueError, match="Expected losses of logits and label"):
        losses.keras_loss("cross_entropy + boundary_bce")
