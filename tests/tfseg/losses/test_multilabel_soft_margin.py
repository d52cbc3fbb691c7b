import math

import numpy as np
import pytest
import tensorflow as tf

from tfseg import losses
from tfseg.losses.multilabel_soft_margin import multilabel_soft_margin

# Probabilities (1/2, 3/4), (1/2, 1/2), and an image that is ignored as a whole.
SCORES = np.array([[0, math.log(3)], [0, 0], [math.nan, 5]], np.float32)
LABEL = np.array([[[1, 1, 255]], [[0, 1, 255]], [[255, 255, 255]]], np.uint8)
CASES = [
    # The first image has class 1 only: the mean of -log(1 - 1/2) and -log(3/4). The second has both: log 2.
    ((SCORES, LABEL), {}, ((math.log(2) + math.log(4 / 3)) / 2 + math.log(2), 2)),
    ((SCORES, LABEL), {"without": (0,)}, (math.log(4 / 3) + math.log(2), 2)),
    ((SCORES, np.full_like(LABEL, 255)), {}, (0, 0)),
]


def gradient(scores, label, **options):
    scores = tf.convert_to_tensor(scores)
    with tf.GradientTape() as tape:
        tape.watch(scores)
        total, _ = multilabel_soft_margin(scores, label, **options)
    return tape.gradient(total, scores).numpy()


def test_gradient_by_hand():
    """(probability - presence) / classes."""
    np.testing.assert_allclose(gradient(SCORES, LABEL), [[0.25, -0.125], [-0.25, -0.25], [0, 0]], atol=1e-7)
    np.testing.assert_allclose(gradient(SCORES, LABEL, without=(1,)), [[0.5, 0], [-0.5, 0], [0, 0]], atol=1e-7)


def test_how_often_a_class_is_there_and_where_ignored_pixels_are_changes_nothing():
    label = np.array([[[255, 255, 1]], [[1, 0, 0]], [[255, 255, 255]]], np.uint8)
    assert multilabel_soft_margin(SCORES, label) == multilabel_soft_margin(SCORES, LABEL)


def test_xla_and_halves_agree():
    """The loop compiles each loss; the sums of two replicas are those of one."""
    rng = np.random.default_rng(0)
    scores, label = rng.normal(scale=3, size=(4, 5)).astype(np.float32), rng.integers(0, 5, (4, 3, 3)).astype(np.uint8)
    label[0] = 255
    expected = [float(x) for x in multilabel_soft_margin(scores, label)]
    compiled = tf.function(multilabel_soft_margin, jit_compile=True)
    assert [float(x) for x in compiled(scores, label)] == pytest.approx(expected, rel=1e-6)
    halves = [multilabel_soft_margin(scores[part], label[part]) for part in (slice(2), slice(2, 4))]
    assert np.sum(halves, 0) == pytest.approx(expected, rel=1e-6)
    total, count = multilabel_soft_margin(tf.cast(scores, tf.float16), label)
    assert (total.dtype, count.dtype) == (tf.float32, tf.float32)
    assert float(total) == pytest.approx(expected[0], rel=2e-3)  # the scores have 11 bits


def test_it_needs_no_loss_of_pixels_beside_it():
    terms = losses.build("multilabel_soft_margin(without=(0,))")
    losses.check_reads(terms, ("logits", "class_maps", "class_scores"), ("image", "label"))
    with pytest.raises(ValueError, match=r"the loss multilabel_soft_margin reads.*Received: class_scores"):
        losses.check_reads(terms, ("logits",), ("image", "label"))


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"Expected class_scores \[batch, classes\]"):
        multilabel_soft_margin(np.zeros((2, 3, 3, 4), np.float32), np.zeros((2, 3, 3), np.uint8))
    for wrong in ((2,), (0, 1)):
        with pytest.raises(ValueError, match="train ids of some of 2 classes"):
            multilabel_soft_margin(SCORES, LABEL, without=wrong)
