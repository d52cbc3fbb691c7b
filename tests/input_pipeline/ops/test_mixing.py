"""Ops across images: values derived by hand, for groups whose image i is painted 50 + 10 i and has the label i."""

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline import IGNORE, boxes, ops
from input_pipeline.ops import mixing
from tests.input_pipeline.ops.samples import FILL, SIZE, example, group_of, seeds

CHAINS = (
    "cutmix(1.0)",
    "classmix(1.0, classes=0.7)",
    "mosaic(share=1.0, centre=(0.0, 1.0))",
    "copy_paste(1.0, rare=(1, 3))",
    "copy_paste(1.0, below=0.3)",
)
HEIGHT, WIDTH = 20, 30


def plain(count=4):
    """Images of one colour; instance 1 is everywhere."""
    label = np.tile(np.arange(count, dtype=np.uint8)[:, None, None], (1, HEIGHT, WIDTH))
    image = np.repeat(50.0 + 10 * label[..., None], 3, -1).astype(np.float32)
    return {"image": tf.constant(image), "label": tf.constant(label), "instances": tf.ones(label.shape, tf.int32)}


def places():
    """Like `plain`, but the image shows the place of each pixel: the column, the row, and 10 times the number of the image."""
    batch = plain()
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    image = np.stack([np.stack([x, y, 0 * x + 10 * i], -1) for i in range(4)]).astype(np.float32)
    return {**batch, "image": tf.constant(image)}


def call(name, batch, seed, **options):
    return {k: v.numpy() for k, v in getattr(mixing, name)(batch, seed, **options).items()}


def check_copied(batch, result):
    """Every pixel is one of its group, at the label that it had."""
    for image, label in zip(result["image"], result["label"], strict=True):
        np.testing.assert_array_equal(image[..., 2], 10.0 * label)


def test_cutmix_puts_a_rectangle_of_the_next_image_in():
    areas = []
    for seed in seeds(30):
        result = call("cutmix", places(), seed, share=1.0, area=(0.25, 0.25))
        check_copied(places(), result)
        y, x = np.mgrid[:HEIGHT, :WIDTH]
        for i, (image, label) in enumerate(zip(result["image"], result["label"], strict=True)):
            np.testing.assert_array_equal(image[..., :2], np.stack([x, y], -1))  # at the same place
            rows, columns = np.nonzero(label == (i + 1) % 4)
            assert set(np.unique(label)) <= {i, (i + 1) % 4}
            # A quarter of the area in the image's shape: 10 x 15 pixels, cut off at the edges.
            sides = (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1)
            assert sides[0] * sides[1] == len(rows)
            assert sides[0] <= 10
            assert sides[1] <= 15
            areas.append(len(rows))
            # Instance 1 of the other image is number 2 here.
            np.testing.assert_array_equal(result["instances"][i], np.where(label == i, 1, 2))
    # A side of 1/2 whose middle is anywhere in 0..1 keeps 1/2 - (1/4)^2 = 7/16 on average: 600 * (7/16)^2 = 115 pixels.
    assert np.mean(areas) == pytest.approx(115, abs=8)
    assert max(areas) == 150


def test_nothing_is_mixed_at_a_share_of_0_and_half_at_the_default():
    for name in ("cutmix", "classmix", "mosaic", "copy_paste"):
        result = call(name, plain(), seeds(1)[0], share=0.0)
        for key, value in plain().items():
            np.testing.assert_array_equal(result[key], value, err_msg=name)
    changed = [np.any(call("mosaic", plain(), seed)["label"] != plain()["label"], axis=(1, 2)) for seed in seeds(40)]
    assert 80 - 3 * 6.4 < np.sum(changed) < 80 + 3 * 6.4  # 160 images: a deviation of sqrt(160 / 4) = 6.3


def columns():
    """Image i has the classes 5 i..5 i + 3 in stripes of 7 columns, and two ignored columns behind them."""
    label = np.full((4, HEIGHT, WIDTH), IGNORE, np.uint8)
    for i in range(4):
        label[i, :, :28] = 5 * i + np.arange(28) // 7
    return {"image": tf.constant(np.repeat(label[..., None], 3, -1).astype(np.float32)), "label": tf.constant(label)}


def test_classmix_puts_half_of_the_other_images_classes_in():
    taken = []
    for seed in seeds(30):
        result = call("classmix", columns(), seed, share=1.0)
        np.testing.assert_array_equal(result["image"][..., 0], result["label"])
        for i, label in enumerate(result["label"]):
            own, other = columns()["label"][i].numpy(), columns()["label"][(i + 1) % 4].numpy()
            put = sorted(set(np.unique(label)) - set(np.unique(own)))
            assert len(put) == 2  # half of four
            np.testing.assert_array_equal(label, np.where(np.isin(other, put), other, own))
            taken.append(tuple(k - 5 * ((i + 1) % 4) for k in put))
    assert len(set(taken)) == 6  # all pairs of four
    # ceil(0.7 * 4) = 3 classes.
    result = call("classmix", columns(), seeds(1)[0], share=1.0, classes=0.7)
    assert len(set(np.unique(result["label"][0])) & {5, 6, 7, 8}) == 3


def test_copy_paste_puts_the_rare_classes_of_an_image_that_shows_them_in():
    label = np.zeros((4, HEIGHT, WIDTH), np.uint8)
    label[1, 3:6, 4:9] = 1  # 15 of 2400 pixels: 0.6 %
    label[2, 10:20, 10:30] = 2  # 200: 8 %
    batch = {"image": tf.constant(np.repeat(label[..., None], 3, -1).astype(np.float32)), "label": tf.constant(label)}
    for options in ({}, {"rare": (1,)}, {"rare": (1, 7)}):
        for seed in seeds(4):
            result = call("copy_paste", batch, seed, share=1.0, **options)["label"]
            for i in (0, 2, 3):
                np.testing.assert_array_equal(result[i], np.where(label[1] == 1, 1, label[i]))
            np.testing.assert_array_equal(result[1], label[1])  # no other image shows class 1
    # With both, each of the others shows one of them; image 0 gets either of the two.
    given = {int(call("copy_paste", batch, seed, share=1.0, rare=(1, 2))["label"][0].max()) for seed in seeds(20)}
    assert given == {1, 2}
    assert call("copy_paste", batch, seeds(1)[0], share=1.0, rare=(9,))["label"].tolist() == label.tolist()


def test_mosaic_puts_windows_of_three_others_around_a_point():
    starts = set()
    for seed in seeds(40):
        result = call("mosaic", places(), seed, share=1.0)
        check_copied(places(), result)
        for i, (image, label) in enumerate(zip(result["image"], result["label"], strict=True)):
            rows, columns = (int(np.argmin(line == i)) for line in (label[:, 0], label[0]))
            # The middle half of 20 rows and 30 columns: 5..15 and 7.5..22.5, rounded.
            assert 5 <= rows <= 15
            assert 7 <= columns <= 23
            for step, (top, left) in enumerate(((0, 0), (0, columns), (rows, 0), (rows, columns))):
                part = (slice(top, rows if not top else None), slice(left, columns if not left else None))
                assert set(np.unique(label[part])) == {(i + step) % 4}
                x, y = image[part][..., 0], image[part][..., 1]
                np.testing.assert_array_equal(x, np.arange(x.shape[1])[None] + x[0, 0] + np.zeros_like(x))
                np.testing.assert_array_equal(y, np.arange(y.shape[0])[:, None] + y[0, 0] + np.zeros_like(y))
                if step == 0:
                    assert (x[0, 0], y[0, 0]) == (0, 0)
                starts.add((step, x[0, 0], y[0, 0]))
    assert len(starts) > 100, "windows lie anywhere in their images"


@pytest.mark.parametrize("name", ["cutmix", "classmix", "mosaic", "copy_paste"])
def test_one_image_is_mixed_with_itself(name):
    batch = {k: v[:1] for k, v in plain().items()}
    result = call(name, batch, seeds(1)[0], share=1.0)
    assert set(np.unique(result["label"])) == {0}
    np.testing.assert_array_equal(result["image"], batch["image"])


def test_boxes_of_a_mosaic_move_with_their_windows():
    label = np.zeros((4, HEIGHT, WIDTH), np.uint8)
    found = np.array([[[2 + i, 3, 12 + i, 9], [15, 8 + i, 25, 16]] for i in range(4)], np.float32)
    for i in range(4):
        for k, (left, top, right, bottom) in enumerate(found[i].astype(int)):
            label[i, top:bottom, left:right] = 1 + 2 * i + k
    batch = {"image": tf.constant(np.repeat(label[..., None], 3, -1).astype(np.float32)), "label": tf.constant(label)}
    batch |= {"boxes": tf.constant(found), "box_classes": tf.constant([[1, 2], [3, 4], [5, 6], [7, 8]])}
    for seed in seeds(10):
        result = call("mosaic", batch, seed, share=1.0)
        assert result["boxes"].shape == (4, 8, 4)  # those of four images
        for i in range(4):
            kept = result["box_classes"][i] != boxes.NONE
            assert set(result["box_classes"][i][kept]) == set(np.unique(result["label"][i])) - {0}
            for box, kind in zip(result["boxes"][i][kept], result["box_classes"][i][kept], strict=True):
                rows, columns = np.nonzero(result["label"][i] == kind)
                assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        ("cutmix(area=(0.5, 0.2))", r"Expected area=\(a, b\) with 0 <= a <= b <= 1"),
        ("classmix(classes=2)", "Expected classes from 0 to 1"),
        ("mosaic(centre=0.5)", r"Received: centre=0\.5"),
        ("copy_paste(rare=(255,))", "train ids from 0 to 254"),
        ("copy_paste(below=-1)", "Expected below from 0 to 1"),
        ("cutmix(share=1.5)", "Expected share from 0 to 1"),
        ("cutmix | brightness", "Expected augmentations across images last"),
    ],
)
def test_options_out_of_range_are_refused(chain, message):
    with pytest.raises(ValueError, match=message):
        ops.build(chain, SIZE, FILL)(example(), seeds(1)[0])


def test_a_chain_of_two_keeps_boxes_and_instances_apart():
    members = []
    for i in range(4):
        given = example(seed=i)
        given |= {
            "instances": tf.fill([30, 40], i + 1),
            "boxes": tf.constant([[4.0, 5, 20, 25]]),
            "box_classes": tf.constant([2]),
        }
        members.append(given)
    result = group_of("cutmix(1.0) | classmix(1.0)", most_boxes=1)(members, seeds(4))
    assert result["boxes"].shape == (4, 4, 4)
    assert result["box_classes"].shape == (4, 4)
    assert result["instances"].dtype == tf.int32
