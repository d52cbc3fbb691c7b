"""Pairs for mask propagation: what is in the six channels, and that they fit together."""

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline import IGNORE, boxes, pairs

SIZE = (48, 64)


def example():
    """Two squares, 20 and 60 gray, of the ids 1 and 2; a pixel of the second is ignored."""
    ids, image = np.zeros(SIZE, np.int32), np.full((*SIZE, 3), 100, np.float32)
    for number, place in ((1, (slice(4, 24), slice(4, 24))), (2, (slice(24, 44), slice(36, 56)))):
        ids[place], image[place] = number, 20 * (2 * number - 1)
    label = (3 + ids).astype(np.uint8)
    label[30:32, 40:42] = IGNORE
    return {
        "image": tf.constant(image),
        "label": tf.constant(label),
        "instances": tf.constant(ids),
        "boxes": tf.constant([[4, 4, 24, 24], [36, 24, 56, 44]], tf.float32),
        "box_classes": tf.constant([4, 5]),
    }


def make(seed, **options):
    spec = f"deformed({', '.join(f'{k}={v}' for k, v in options.items())})"
    return {k: np.asarray(v) for k, v in pairs.build(spec)(example(), tf.constant([seed, 1])).items()}


def test_one_object_fills_its_box():
    chosen = set()
    for seed in range(8):
        made = make(seed, blank=0, still=0)
        assert made["image"].shape == (*SIZE, 6)
        label, mask = made["label"], made["image"][..., 5] / 255
        assert set(np.unique(label)) <= {0, 1, IGNORE}
        gray = np.median(made["image"][label == 1][:, 0])
        assert gray in (20, 60)
        chosen.add(gray)
        # With 5 to 25 % on each side, less at the picture's edge, and errors of the mask.
        assert 0.25 < (label == 1).mean() < 0.95
        both = ((mask > 0.5) & (label == 1)).sum() / ((mask > 0.5) | (label == 1)).sum()
        assert 0.5 < both < 1, "the mask has errors, and is of this object"
        np.testing.assert_array_equal(made["instances"], label == 1)
        rows, columns = np.nonzero(label == 1)
        around = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_array_equal(made["boxes"], [around])
        assert made["box_classes"].tolist() == [1]
    assert chosen == {20, 60}


def test_the_flow_is_in_pixels_of_the_crop():
    largest = 0
    for seed in range(4):
        flow = (make(seed, blank=0, still=0, shift=4)["image"][..., 3:5] - pairs.FLOW_ZERO) / pairs.FLOW_UNIT
        largest = max(largest, np.abs(flow).max())
    # 4 pixels and some unrest in the picture; the box of a square of 20 is enlarged from 22 or more: 48 / 22 and 64 / 22 times.
    assert 4 < largest < (4 + 0.5 * 4) * 64 / 22
    assert (make(0, blank=0, still=1)["image"][..., 3:5] == pairs.FLOW_ZERO).all()


def test_an_empty_mask_asks_for_all_objects():
    made = make(0, blank=1)
    assert not made["image"][..., 5].any()
    assert (made["image"][..., 3:5] == pairs.FLOW_ZERO).all()
    np.testing.assert_allclose(made["image"][..., :3], example()["image"], atol=1e-4)
    expected = np.where(example()["label"] == IGNORE, IGNORE, example()["instances"] > 0)
    np.testing.assert_array_equal(made["label"], expected)


def test_an_image_without_objects_is_ground():
    nothing = example() | {"instances": tf.zeros(SIZE, tf.int32), "boxes": tf.zeros([0, 4])}
    nothing |= {"box_classes": tf.zeros([0], tf.int32)}
    made = pairs.build("deformed(blank=0)")(nothing, tf.constant([0, 1]))
    assert set(np.unique(made["label"])) == {0, IGNORE}
    assert made["boxes"].shape == (0, 4)
    assert boxes.pad(made, 2)["box_classes"].numpy().tolist() == [boxes.NONE] * 2


def test_evaluation_sees_the_same_pair_every_time():
    build = pairs.build("deformed()")
    first, again, other = (pairs.of_evaluation(build, example(), tf.constant(i, tf.int64)) for i in (3, 3, 4))
    assert first["image"].dtype == tf.uint8
    np.testing.assert_array_equal(first["image"], again["image"])
    assert np.any(first["image"] != other["image"])
    assert pairs.of_evaluation(None, example(), 0).keys() == example().keys()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("deform()", "Did you mean 'deformed'"),
        ("deformed(shift=16)", r"shift=0\.\.15"),
        ("deformed(shfit=2)", "Did you mean 'shift'"),
        ("deformed(blank=1.5)", r"blank=0\.\.1"),
    ],
)
def test_wrong_options_are_named(spec, message):
    with pytest.raises(ValueError, match=message):
        pairs.build(spec)
