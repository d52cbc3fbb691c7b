"""The colours that we choose for classes without one."""

import numpy as np
import pytest

from input_pipeline.source import palette

COLORS = np.array([palette.color_of(i) for i in range(palette.COUNT)])


def distances(colors):
    """Euclidean distances of all pairs, in 0..255."""
    apart = np.sqrt(((colors[:, None] - colors[None]) ** 2).sum(-1))
    return apart[~np.eye(len(colors), dtype=bool)]


def test_all_are_distinct_and_the_first_are_far_apart():
    assert len({tuple(color) for color in COLORS.tolist()}) == 255
    # 255 * sqrt(3) = 442 is the largest distance; 30 points of a cube's regular grid (3.1 a side) would be 121 apart.
    assert distances(COLORS[:10]).min() > 100
    assert distances(COLORS[:30]).min() > 70
    assert distances(COLORS).min() > 25


def test_neighbouring_ids_are_clearly_different():
    assert np.sqrt((np.diff(COLORS, axis=0) ** 2).sum(1)).min() > 45
    assert np.sqrt((np.diff(COLORS[:60], axis=0) ** 2).sum(1)).min() > 100


def test_none_is_near_black_white_gray_or_the_colour_of_pixels_outside_a_table():
    assert COLORS.max(1).min() >= 102, "not near black, as ignored pixels are shown"
    assert COLORS.min(1).max() <= 179, "not near white"
    assert np.ptp(COLORS, axis=1).min() >= 77, "not near gray, as the background is shown"
    for other in ((0, 0, 0), (255, 255, 255), (255, 0, 255)):
        assert np.sqrt(((COLORS - other) ** 2).sum(1)).min() > 40


@pytest.mark.parametrize("name", ["background", "Background", "_background_", "VOID", "other", "unlabelled", "bg"])
def test_the_background_is_gray(name):
    assert palette.colors_of([name, "road"]) == [(128, 128, 128), palette.color_of(1)]


def test_a_name_that_only_holds_such_a_word_is_a_class():
    names = ["other vehicle", "voids", "background music"]
    assert palette.colors_of(names) == [palette.color_of(i) for i in range(3)]


def test_many_backgrounds_stay_distinct():
    colors = palette.colors_of(["void", "other", "background", "unlabeled", "road"])
    assert len(set(colors)) == 5
    assert [len(set(color)) for color in colors[:3]] == [1, 1, 1]


def test_vocs_rule():
    # VOC2012's devkit: 1 aeroplane, 2 bicycle, 15 person, 20 tv/monitor, 255 void.
    expected = {
        0: (0, 0, 0),
        1: (128, 0, 0),
        2: (0, 128, 0),
        15: (192, 128, 128),
        20: (0, 64, 128),
        255: (224, 224, 192),
    }
    assert {i: palette.voc_color(i) for i in expected} == expected
