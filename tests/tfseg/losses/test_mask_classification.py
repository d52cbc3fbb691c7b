import itertools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import models
from models.backbones import dinov2
from models.layers.vision_transformer import Plain
from tfseg import losses
from tfseg.losses import _assignment, _points
from tfseg.losses import mask_classification as module
from tfseg.losses.mask_classification import mask_classification

# One prediction of three queries for three pixels of classes 0, 1 and ignored. Of query 0 the mask has the probabilities 1/4
# and 3/4, of query 1 the reverse, of query 2 a half. Under the ignored pixel it is anything.
LOG3 = math.log(3)
MASKS = np.array([[-LOG3, LOG3, 0], [LOG3, -LOG3, 0], [7, -7, np.nan]], "float32").reshape(1, 1, 1, 3, 3)
LABEL = np.array([[[0, 1, 255]]], "uint8")
EQUAL = np.zeros((1, 1, 3, 3), "float32")
# Probabilities of class 0, class 1 and no object: of the queries (1/3, 1/3, 1/3), (1/2, 1/4, 1/4), (1/4, 1/4, 1/2).
CLASSES = np.log([[1 / 3, 1 / 3, 1 / 3], [1 / 2, 1 / 4, 1 / 4], [1 / 4, 1 / 4, 1 / 2]]).astype("float32")[None, None]
# Class 0 takes query 1, and class 1 query 0: cross entropy -log 3/4 at both pixels; dice 1 - (2 * 3/4 + 1) / (1 + 1 + 1) = 1/6.
OF_MASKS = math.log(4 / 3) + 1 / 6
CASES = [
    ((EQUAL, MASKS, LABEL), {}, (2 * LOG3 + 5 * OF_MASKS, 1)),
    # Two predictions are added up.
    ((np.tile(EQUAL, (1, 2, 1, 1)), np.tile(MASKS, (1, 2, 1, 1, 1)), LABEL), {}, (4 * LOG3 + 10 * OF_MASKS, 1)),
    # The classes alone: 1/2 + 1/3 is the most that class 0 of query 1 and class 1 of query 0 have together, and query 2 has
    # no object, of probability 1/2, with a tenth of the weight.
    (
        (CLASSES, MASKS, LABEL),
        {"class_factor": 1, "mask_factor": 0, "dice_factor": 0},
        ((math.log(2) + LOG3 + 0.1 * math.log(2)) / 2.1, 1),
    ),
    # Only class 0: of probability 3/4 and 1/4 at its pixels is either query 0 or 1, of a half query 2. Entropy: (log 4 +
    # log 4/3) / 2 or log 2; dice: 1 - 3/4 = 1 - (2 + 1) / (1 + 2 + 1) for all. The half is less: log 2 < log 16/3 / 2.
    (
        (EQUAL, MASKS, np.array([[[0, 0, 255]]], "uint8")),
        {"class_factor": 0},
        (5 * math.log(2) + 5 * (1 - 3 / 4), 1),
    ),
    # An image without a valid pixel does not count; an id that is no class is NaN, which the next test tests.
    (
        (*(np.repeat(x, 2, 0) for x in (EQUAL, MASKS)), np.concatenate([LABEL, LABEL * 0 + 255])),
        {},
        (2 * LOG3 + 5 * OF_MASKS, 1),
    ),
]


def test_an_unknown_id_gives_nan():
    assert math.isnan(mask_classification(EQUAL, MASKS, np.array([[[0, 7, 255]]]))[0])


def test_more_classes_than_queries():
    """Of the three classes with one query the first is its segment: pixel 0, of probability 1/4 for query 0."""
    label = np.array([[[0, 1, 2]]])
    masks = np.zeros((1, 1, 1, 3, 1), "float32")
    total, _ = mask_classification(np.zeros((1, 1, 1, 4)), masks, label, class_factor=0, dice_factor=0, mask_factor=1)
    assert float(total) == pytest.approx(math.log(2), rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((EQUAL, MASKS[:, 0], LABEL), {}, r"Expected classes \[batch, n, queries, C \+ 1\]"),
        ((EQUAL, MASKS, LABEL), {"points": 0}, "points of 1 or more"),
        ((EQUAL, MASKS, LABEL), {"no_object": -1.0}, "factors of 0 or more"),
    ],
)
def test_refuses(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        mask_classification(*arguments, **options)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_assignment_costs_the_least_of_all(jit_compile):
    rng = np.random.default_rng(0)
    cost = np.round(rng.normal(size=(6, 4, 5)), 1).astype("float32")  # rounded, so that some are equal
    cost[0], cost[1, 2] = -(cost[0] ** 2), np.nan
    wanted = rng.random((6, 4)) < 0.8
    wanted[:2], wanted[2] = True, False
    found = tf.function(_assignment.assign, jit_compile=jit_compile)(cost, wanted).numpy()
    for costs, rows, columns in zip(np.nan_to_num(cost, nan=1e6), wanted, found, strict=True):
        assert (columns[~rows] == -1).all()
        taken = columns[rows]
        assert len(set(taken)) == rows.sum()
        possible = itertools.permutations(range(5), int(rows.sum()))
        least = min(costs[rows][range(len(p)), list(p)].sum() for p in possible)
        assert costs[rows][range(len(taken)), taken].sum() == pytest.approx(least, rel=1e-6)


def test_points_are_valid_and_drawn_from_the_label_alone():
    label = np.random.default_rng(0).integers(0, 3, (3, 20, 30)).astype("int32")
    label[0, :, 10:] = 255
    label[1].flat[7:] = 255
    label[2] = 255
    pixels, counts = (x.numpy() for x in _points.draw(tf.constant(label), 150, 150))
    assert counts.sum(1).tolist() == [150, 7, 0]
    assert (label.reshape(3, -1)[0, pixels[0]] != 255).all()
    assert sorted(pixels[1, counts[1]]) == list(range(7))
    # 150 of 200 with replacement: 200 * (1 - (1 - 1/200)^150) = 105.7 are expected to be different ones.
    assert 90 < len(set(pixels[0])) < 120
    again = _points.draw(tf.constant(label[:1]), 150, 150)[0]
    np.testing.assert_array_equal(again[0], pixels[0])
    label[0, 0, 0] = 1 - label[0, 0, 0]
    other = _points.draw(tf.constant(label), 150, 150)[0].numpy()
    assert (other[0] != pixels[0]).mean() > 0.9


@pytest.mark.parametrize("size", [(8, 12), (16, 24), (4, 30)])
def test_corners_interpolate_like_a_resize(size):
    x = np.random.default_rng(0).normal(size=(1, *size, 1)).astype("float32")
    places = _points.corners(tf.range(16 * 24), (16, 24), size)
    found = sum(weight * tf.gather(x.ravel(), place) for place, weight in places)
    np.testing.assert_allclose(found, tf.reshape(tf.image.resize(x, (16, 24)), [-1]), atol=1e-5)


def test_three_quarters_of_a_segments_points_are_the_most_uncertain_candidates():
    label = np.random.default_rng(0).integers(0, 2, (1, 16, 16)).astype("int32")
    masks = np.random.default_rng(1).normal(size=(1, 16, 16, 2)).astype("float32")
    drawn = module._Points(tf.constant(label), 20, 1)
    pixels, counts = drawn.of_segments(masks)
    assert pixels.shape == (1, 2, 20)
    assert counts.numpy().all()
    for segment in range(2):
        logits = masks[0, ..., segment].ravel()
        least = np.sort(np.abs(logits[drawn.candidates[0]]))[:15]
        np.testing.assert_allclose(np.abs(logits[pixels[0, segment, :15]]), least)
        np.testing.assert_array_equal(pixels[0, segment, 15:], drawn.others[0])


def test_a_tiny_eomt_learns_an_image(monkeypatch):
    """Eager, because tracing the steps takes ten times as long as taking them."""
    monkeypatch.setitem(dinov2.VARIANTS, "vit_tiny", Plain(16, 2, 2, class_position=False, registers=1))
    keras.utils.set_random_seed(0)
    model = models.build('eomt(backbone="vit_tiny", image_size=32, queries=4, blocks=1, auxiliary=True)', 2)
    assert model.output["classes"].shape == (None, 2, 4, 3)
    assert model.output["masks"].shape == (None, 2, None, None, 4)
    label = np.zeros((1, 32, 32), "uint8")
    label[:, :, 12:], label[:, :3] = 1, 255
    image = np.where(label[..., None] == 1, [250, 0, 0], [0, 250, 0]).astype("float32")
    (term,) = losses.build("mask_classification")
    losses.check_reads([term], model.output, ["label"])
    optimizer, found = keras.optimizers.Adam(0.02), []
    for _ in range(4):
        with tf.GradientTape() as tape:
            outputs = model(image, training=True)
            loss, _ = term.function(*losses.read(term, outputs, {"label": label}))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        found.append((float(loss), np.mean((np.argmax(outputs["logits"], -1) == label)[label != 255])))
    assert found[-1][0] < found[0][0] / 2
    assert found[-1][1] > 0.95
