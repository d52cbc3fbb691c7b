"""Masks of boxes: FCIS's numbers, both heads by hand, and what becomes of them in objects, the metric and an export."""

import numpy as np
import pytest
import tensorflow as tf

from tests.tfseg.inference import reference
from tfseg import box_masks, counts, metrics, objects, serving
from tfseg.config import Config

FILES = reference.files("fcis_scores")
NAMES = ("ground", "car", "person")


@pytest.mark.parametrize("case", [c for f in FILES for c in f["cases"]], ids=lambda c: f"seed {c['seed']}")
def test_scores_and_masks_are_those_of_the_reference(case):
    (height, width), classes, scale = case["feature_size"], case["classes"], 1 / case["stride"]
    maps = np.random.default_rng(case["seed"]).standard_normal((2 * classes * case["k"] ** 2, height, width))
    boxes = np.array([[row["roi"] for row in case["rois"]]], np.float64) + [
        0,
        0,
        1,
        1,
    ]  # the last pixel belongs to them
    maps = tf.constant(maps.transpose(1, 2, 0)[None])
    scores, masks = box_masks.inside_scores(maps, tf.constant(boxes), classes - 1, (scale, scale), case["pooled"])
    for row, scores_of_one, masks_of_one in zip(case["rois"], scores[0], masks[0], strict=True):
        np.testing.assert_allclose(scores_of_one, row["class_scores"], rtol=1e-6)
        np.testing.assert_allclose(tf.nn.softmax(scores_of_one), row["class_probabilities"], rtol=1e-6)
        best = int(tf.argmax(scores_of_one[1:])) + 1
        assert best == row["best_foreground"]
        np.testing.assert_allclose(masks_of_one[..., best], row["mask_of_best"], rtol=1e-6)


def outputs(head):
    """Outputs for two equal images of 16 x 32 pixels in two cells of 16.

    The first cell has a box of 8 x 4 pixels in its middle, a person of .9 * .8; the second one a car of 1 * .5 whose right half
    is outside the image. Mask R-CNN's head, of one channel, gives persons a logit of 2 everywhere, and cars one of -2. FCIS's
    has scores of 0 for the background, 1 for cars and 3 for persons inside, and 0 for all outside.
    """
    cells = np.zeros((2, 1, 2, 7), np.float32)
    cells[:, 0, 0] = [0.5, 0.5, 8 / 32, 4 / 16, 0.9, 0.8, 0.1]
    cells[:, 0, 1] = [1.0, 0.5, 8 / 32, 1.0, 1.0, 0.2, 0.5]
    found = {"logits": np.zeros((2, 16, 32, 3), np.float32), "detection": cells}
    if head == "mask_head":
        weights = [
            *[0] * 40,
            *[0] * 4,
            1,
            2,
            -2,
        ]  # four 3x3 with biases; a 2x2, its bias; the kernels of persons and cars
        found |= {"mask_features": np.ones((2, 4, 8, 1), np.float32), "mask_head": np.float32([weights] * 2)}
    else:
        sides = np.repeat([0, 0, 0, 3, 0, 1], 4)  # outside and inside of the background, persons, cars; 2 x 2 groups
        found["inside_outside"] = np.broadcast_to(sides.astype(np.float32), (2, 2, 4, 24))
    return {name: tf.constant(value) for name, value in found.items()}


def finder(found):
    return objects.build(Config(loss="cross_entropy + yolo_v1(classes=(2, 1))", suppress="nms(most=5)"), found, NAMES)


def test_of_mask_r_cnn_s_head():
    """The person's box is 4..12 x 6..10 pixels. Cars have an empty mask."""
    given = outputs("mask_head")
    finds = finder(given)
    assert finds.reads == ("detection", "mask_features", "mask_head")
    located = finds.located(given, (16, 32))
    assert located["box_masks"].shape == (2, 5, 28, 28)
    np.testing.assert_allclose(located["box_masks"][:, 0], tf.fill([2, 28, 28], 1 / (1 + np.exp(-2))), rtol=1e-6)
    np.testing.assert_allclose(located["box_masks"][:, 1], tf.fill([2, 28, 28], 1 / (1 + np.exp(2))), rtol=1e-6)
    assert not located["box_masks"][:, 2:].numpy().any()
    found = finds.of_outputs(given, np.zeros((16, 32), np.uint16))
    (person,) = found.listed
    assert (person.kind, person.box, person.instance, person.pixels) == (2, (4, 6, 12, 10), 1, 32)
    assert person.score == pytest.approx(0.72)
    np.testing.assert_array_equal(found.ids[6:10, 4:12], 1)
    assert np.count_nonzero(found.ids) == 32


def test_of_fcis_head():
    """The head says that both boxes are persons, of a score of e^3 / (1 + e + e^3), and full: 1 / (1 + e^-3) is above 0.4."""
    given = outputs("inside_outside")
    finds = finder(given)
    assert finds.reads == ("detection", "inside_outside")
    located = finds.located(given, (16, 32))
    assert located["box_classes"].numpy().tolist() == [[2, 2, -1, -1, -1]] * 2
    np.testing.assert_allclose(
        located["box_scores"][:, :2], np.full((2, 2), np.exp(3) / (1 + np.e + np.exp(3))), rtol=1e-6
    )
    np.testing.assert_allclose(located["box_masks"][:, :2], tf.fill([2, 2, 21, 21], 1 / (1 + np.exp(-3))), rtol=1e-6)
    found = finds.of_outputs(given, np.zeros((16, 32), np.uint16))
    assert sorted(one.box for one in found.listed) == [(4, 6, 12, 10), (28, 0, 32, 16)]
    assert len(np.unique(found.ids)) == 3


@pytest.mark.parametrize("head", list(box_masks.READS))
def test_no_box_has_no_mask(head):
    given = outputs(head)
    given["detection"] = tf.zeros_like(given["detection"])
    assert not finder(given).located(given, (16, 32))["box_masks"].numpy().any()
    empty = {name: value[:0] for name, value in given.items()}  # what is left of a batch of fillings alone
    assert finder(given).located(empty, (16, 32))["box_masks"].shape[0] == 0


def test_a_mask_in_pixels_by_hand():
    """Two cells of 4 pixels in a box that begins at 2: the row is 0, 0, 1/8, 3/8, 5/8, 7/8, 1, 1. The box leaves the image."""
    mask = np.array([[0.0, 1.0], [0.0, 1.0]])
    found = box_masks.paste(mask, (2, -1, 10, 3), (4, 9), 0.375)
    expected = np.zeros((4, 9), bool)
    expected[:3, 5:] = True
    np.testing.assert_array_equal(found, expected)
    # A pixel belongs to a box if its centre does: 2.6 .. 4.4 has one, 3.5.
    narrow = box_masks.paste(np.ones((3, 3)), (2.6, 0.6, 4.4, 1.4), (4, 9), 0.5)
    assert not narrow.any()
    assert np.argwhere(box_masks.paste(np.ones((3, 3)), (2.6, 0.4, 4.4, 1.4), (4, 9), 0.5)).tolist() == [[0, 3]]


def test_the_better_mask_lies_on_top():
    """Two masks of 4 x 4 pixels, of which two columns are the same, and a third one that the first two hide."""
    boxes = np.array([[2, 0, 6, 4], [0, 0, 4, 4], [3, 1, 4, 2]], np.float32)
    found = {"boxes": boxes, "box_scores": np.float32([0.9, 0.8, 0.7]), "box_classes": np.array([1, 1, 1])}
    found |= {"box_count": np.array(3), "box_masks": np.ones((3, 28, 28), np.float32)}
    one = objects.Finder(cells=(1,), masks="mask_head").objects(found, np.zeros((4, 8)))
    assert one.ids.tolist() == [[2, 2, 1, 1, 1, 1, 0, 0]] * 4
    assert [(o.instance, o.box, o.pixels) for o in one.listed] == [(1, (2, 0, 6, 4), 16), (2, (0, 0, 2, 4), 8)]


def test_ap_of_masks():
    """The person is exactly its box: 1. The car of the second cell has an empty mask or another class: 0."""
    label, ids = np.zeros((2, 16, 32), np.uint8), np.zeros((2, 16, 32), np.int32)
    label[:, 6:10, 4:12], ids[:, 6:10, 4:12] = 2, 1
    label[:, :, 28:], ids[:, :, 28:] = 1, 2
    for head, reads in box_masks.READS.items():
        given = outputs(head)
        spec = f"instance_ap(of='{head}', smallest_object=4)"
        (count,) = metrics.build(spec, NAMES, NAMES[1:], ("person", "car")).values()
        assert set(count.reads) == {*reads, "instances"}
        others = {**{name: given[name] for name in reads}, "instances": tf.constant(ids)}
        prediction = tf.zeros((2, 16, 32), tf.int32)
        seen = counts.Seen(tf.zeros((2, 16, 32, 3)), tf.constant(label), given["logits"], prediction, {}, others)
        result = count.values(counts.add(count.zero, count.update(seen)))
        assert result["ap50"]["car"] == 0
        # FCIS makes a person of the car too, with the same score: one threshold, precision 1/2 at recall 1, or 1 at recall 0.
        assert result["ap50"]["person"] == (1 if head == "mask_head" else 0.75)
        assert result["instances"]["images"] == 2


def test_an_export_has_the_masks():
    given = outputs("inside_outside")
    one = {name: value[:1] for name, value in given.items()}
    finds = finder(given)

    def network(images):
        return one["logits"] + 0 * tf.cast(images[..., :1], tf.float32), {name: one[name] for name in finds.reads}

    served = serving.Serving(network, finder=finds)
    answer = served.signatures()["predict_images"](np.zeros((1, 16, 32, 3), np.uint8))
    expected = finds.located(one, (16, 32))
    for name, value in expected.items():
        np.testing.assert_allclose(answer[name], value, rtol=1e-6)


def test_refuses():
    given = outputs("inside_outside")
    with pytest.raises(ValueError, match=r"2 \* 4 \* k \* k channels.*Received: 24 channels"):
        box_masks.groups(24, 3)
    with pytest.raises(ValueError, match=r"mask_head with 1 kernel or with 3.*Received: 2"):
        box_masks.check_kernels(2, 3)
    with pytest.raises(ValueError, match="Expected of='embedding' or one of mask_head, inside_outside"):
        metrics.build("instance_ap(of='masks')", NAMES)
    assert box_masks.head_of(given) == "inside_outside"
    assert box_masks.head_of({"logits": None}) == ""
