"""Warp, fusion and crops: numbers of the reference (vsreid_steps), and small cases by hand."""

import numpy as np
import pytest

from input_pipeline import pairs
from tests.tfseg.inference import reference
from tfseg.tracking import crops, flow, fusion

FILES = reference.files("vsreid_steps")


@pytest.mark.parametrize("case", [case for file in FILES for case in file["warp"]])
def test_warps_as_the_reference(case):
    rng, (height, width, n) = np.random.default_rng(case["seed"]), case["size"]
    forward = rng.uniform(-2, 2, (height, width, 2)).astype(np.float32)
    backward = -forward + rng.uniform(-0.3, 0.3, (height, width, 2)).astype(np.float32)
    values = rng.uniform(0, 1, (height, width, n))
    values /= values.sum(-1, keepdims=True)
    moved = flow.warp(values, flow.averaged(forward, backward))
    np.testing.assert_allclose(moved, case["warped"], rtol=1e-6)
    assert (moved.sum(-1) == 0).any()


@pytest.mark.parametrize("case", [case for file in FILES for case in file["fuse"]])
def test_fuses_as_the_reference(case):
    objects = np.random.default_rng(case["seed"]).uniform(0, 1, case["size"])
    np.testing.assert_allclose(fusion.fuse(objects), case["fused"], rtol=1e-6)


def test_where_nothing_arrives_is_background():
    moved = np.array([[[0.0, 0.0, 0.0], [0.2, 0.5, 0.3]]])
    np.testing.assert_array_equal(fusion.settled(moved), [[[1.0, 0.0, 0.0], [0.2, 0.5, 0.3]]])


def test_the_largest_wins_not_the_first_above_one_half():
    # (1 - 0.6)(1 - 0.9) = 0.04 for the background: 0.04, 0.6, 0.9.
    assert fusion.owners(fusion.fuse(np.array([[[0.6, 0.9]]]))) == 2
    # 0.6 * 0.55 = 0.33 for the background, below an object's 0.45 although none has 0.5.
    assert fusion.owners(fusion.fuse(np.array([[[0.4, 0.45]]]))) == 2


def test_the_flow_says_where_a_pixel_was_in_pixels_of_the_frame():
    rng = np.random.default_rng(0)
    small = rng.uniform(0, 255, (20, 20))
    ground = np.kron(small, np.ones((4, 4)))  # texture that patches of 8 pixels can be found by
    frames = [np.repeat(ground[..., np.newaxis], 3, -1).astype(np.uint8)]
    before, after = (frame[8:72, 8:72] for frame in (frames[0], np.roll(frames[0], (2, -3), (0, 1))))
    found = flow.between(before, after)  # it went 2 rows down and 3 columns to the left
    np.testing.assert_allclose(np.median(found.places[16:48, 16:48], (0, 1)), (3, -2), atol=0.1)


def test_a_box_has_15_percent_more_on_every_side_and_ends_at_the_edge():
    mask = np.zeros((100, 80), bool)
    mask[40:60, 2:22] = True  # 20 x 20: 3 more, but 2 at the left
    assert crops.around(mask) == (37, 0, 63, 25)
    point = np.zeros((100, 80), bool)
    point[50, 79] = True
    top, left, bottom, right = crops.around(point)
    assert (bottom - top >= crops.SMALLEST, right) == (True, 80)
    assert left < 79


def test_the_flow_grows_with_the_crop_and_turns_with_it():
    frame = np.arange(8 * 12 * 3).reshape(8, 12, 3).astype(np.uint8)
    moved = np.tile(np.float32([1, -2]), (8, 12, 1))
    mask = np.zeros((8, 12), np.float32)
    mask[:, :6] = 1
    crop = crops.cut(frame, moved, mask, crops.Box(0, 0, 8, 12), (16, 36))  # twice as high, three times as wide
    assert crop.shape == (16, 36, 6)
    np.testing.assert_allclose((crop[..., 3:5] - pairs.FLOW_ZERO) / pairs.FLOW_UNIT, np.tile([3, -4], (16, 36, 1)))
    turned = crops.mirrored(crop)
    np.testing.assert_allclose((turned[..., 3:5] - pairs.FLOW_ZERO) / pairs.FLOW_UNIT, np.tile([-3, -4], (16, 36, 1)))
    np.testing.assert_array_equal(turned[:, ::-1, 5], crop[..., 5])
    np.testing.assert_array_equal(crops.mirrored(turned), crop)
    whole = crops.pasted(np.ones((4, 4)), crops.Box(2, 3, 6, 12), (8, 12))
    assert whole.sum() == 4 * 9
    assert whole[2:6, 3:].all()
