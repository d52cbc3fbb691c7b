import numpy as np
import pytest

from tfseg import pictures
from tfseg.pictures import plots
from tfseg.pictures import text as text_lib

NAMES = ("Sky", "Building", "traffic_light")
COLORS = ((128, 128, 128), (128, 0, 0), (10, 20, 230))
LABEL = np.array([[0, 1], [2, 255]], "uint8")


def has(picture, color):
    return (picture == np.array(color)).all(-1)


def check(picture):
    """RGB uint8 whose outermost pixels are paper: nothing is clipped."""
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    assert (border == 255).all()
    return picture


def test_colorize():
    expected = [[COLORS[0], COLORS[1]], [COLORS[2], (0, 0, 0)]]
    for label in (LABEL, LABEL.astype("int64"), np.where(LABEL == 255, -1, LABEL.astype("int8"))):
        np.testing.assert_array_equal(pictures.colorize(label, COLORS), expected)
    assert pictures.colorize(LABEL, np.zeros((256, 3), "uint8")).shape == (2, 2, 3)


def test_error_map():
    image = np.full((2, 2, 3), 90, "uint8")
    red, gray, black = (214, 39, 40), (200, 200, 200), (0, 0, 0)  # gray is 170 + 90 / 3
    drawn = pictures.error_map(image, LABEL, np.array([[0, 2], [2, 2]]))
    np.testing.assert_array_equal(drawn, [[gray, red], [gray, black]])
    with pytest.raises(ValueError, match="of one size"):
        pictures.error_map(image, LABEL, np.zeros((2, 3), int))


def test_overlay():
    image = np.full((2, 2, 3), 100, "uint8")
    # 0.75 * 100 + 0.25 * color; the ignored pixel stays 100
    expected = [[(107, 107, 107), (107, 75, 75)], [(78, 80, 132), (100, 100, 100)]]
    np.testing.assert_allclose(pictures.overlay(image, LABEL, COLORS, opacity=0.25), expected, atol=0.51)
    np.testing.assert_array_equal(pictures.overlay(image, LABEL, COLORS, opacity=0.0), image)
    colored = pictures.overlay(image, LABEL, COLORS, opacity=1.0)
    np.testing.assert_array_equal(colored[LABEL < 255], pictures.colorize(LABEL, COLORS)[LABEL < 255])


def test_errors():
    with pytest.raises(ValueError, match="integer label map"):
        pictures.colorize(np.zeros((2, 2, 1), "uint8"), COLORS)
    with pytest.raises(ValueError, match="integer label map"):
        pictures.colorize(np.zeros((2, 2)), COLORS)
    with pytest.raises(ValueError, match="of the label's size"):
        pictures.overlay(np.zeros((2, 3, 3), "uint8"), LABEL, COLORS)


def test_legend_wraps_in_columns():
    wide, narrow = check(pictures.legend(NAMES, COLORS)), check(pictures.legend(NAMES, COLORS, 140))
    assert (wide.shape[1], narrow.shape[1]) == (480, 140)
    assert len(narrow) > len(wide)
    for picture in (wide, narrow):
        assert all(has(picture, color).sum() >= 12 * 12 for color in COLORS)


@pytest.mark.parametrize("width", [120, 600, 1500])
def test_legend_of_many_classes(width):
    colors = np.stack([np.arange(150), np.full(150, 7), np.arange(150)[::-1]], -1)
    picture = check(
        pictures.legend([f"class number {i}, of {150}" * (1 + i // 149) for i in range(150)], colors, width)
    )
    assert {*map(tuple, colors.tolist())} <= {*map(tuple, picture.reshape(-1, 3).tolist())}


@pytest.mark.parametrize("size", [(36, 48), (720, 960), (64, 64), (90, 30)])
def test_panel(size):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*size, 3), "uint8")
    label, prediction = np.zeros(size, "uint8"), np.full(size, 2)
    label[:, ::2] = 255
    picture = check(pictures.panel(image, label, prediction, NAMES, COLORS, width=100))
    assert picture.shape[1] == 3 * 100 + 4 * 10
    height = round(100 * size[0] / size[1])
    swatch = has(pictures.legend(NAMES, COLORS, 340), COLORS[2]).sum()
    assert has(picture, COLORS[2]).sum() == 100 * height + swatch
    without = check(pictures.panel(image, None, prediction, NAMES, COLORS, width=100))
    assert without.shape[1] == 2 * 100 + 3 * 10


def test_panel_of_many_classes_lists_those_that_occur():
    colors = np.stack([np.arange(150), np.full(150, 7), np.arange(150)[::-1]], -1)
    label = np.full((10, 10), 20)
    picture = pictures.panel(np.zeros((10, 10, 3), "uint8"), label, label + 1, [str(i) for i in range(150)], colors)
    assert [i for i in range(150) if has(picture[-40:], colors[i]).any()] == [20, 21]


@pytest.mark.parametrize("classes", [1, 2, 11, 19, 38, 150])
def test_confusion_picture(classes):
    names = [f"a class named {i}" for i in range(classes)]
    confusion = np.random.default_rng(0).integers(0, 100, (classes, classes)) + 900 * np.eye(classes, dtype=int)
    picture = check(pictures.confusion_picture(confusion, names))
    assert max(picture.shape) < 2200


def test_confusion_picture_rows_are_labels():
    # All pixels of label 0 are right, all of label 1 are predicted as 0, and label 2 has no pixels: gray.
    picture = check(pictures.confusion_picture([[5, 0, 0], [7, 0, 0], [0, 0, 0]], NAMES))
    right, wrong, pale = (np.argwhere(has(picture, c)) for c in (plots.RIGHT, plots.WRONG, plots.PALE))
    assert np.ptp(right, 0).max() < 40  # one cell
    assert np.ptp(wrong, 0).max() < 40
    np.testing.assert_array_equal(wrong.min(0) - right.min(0), [40, 0])  # beneath it
    assert np.ptp(pale[:, 1]) > 80  # a row of three


def test_confusion_picture_gathers_extra_classes():
    confusion = np.zeros((5, 5), int)
    confusion[0, 3] = confusion[0, 4] = 1
    confusion[1, 1] = confusion[2, 2] = 1
    with_other, without = (pictures.confusion_picture(c, NAMES) for c in (confusion, confusion[:3, :3]))
    assert with_other.shape[1] == without.shape[1] + 40
    wrong = np.argwhere(has(check(with_other), plots.WRONG))
    assert wrong[:, 1].min() > np.argwhere(has(with_other, plots.RIGHT))[:, 1].max()


def test_text_is_not_clipped():
    for text in ("Ägjpqy_|", "W", "100", "Éçf"):
        for size in (9, 11, 14, 20):
            for bold in (False, True):
                line = text_lib.line(text, size, bold=bold)
                border = np.concatenate([line[0], line[-1], line[:, 0], line[:, -1]])
                assert border.min() > 100, (text, size, bold)


def test_costs_are_drawn_with_every_name():
    rows = [{"model": f"network {i}", "parameters": 10**i, "p50_ms": 2.0**i, "gmacs": i} for i in range(5, 9)]
    picture = pictures.costs_picture([*rows, rows[0]], lambda row: row["model"])
    assert picture.shape == (640, 960, 3)
    # The largest dot has a diameter of 30 pixels, with half a pixel of white edge at each end: 14.5**2 * pi = 661,
    # without the mixed pixels of its smooth edge.
    assert 550 < has(picture[:200, 700:], (70, 130, 180)).sum() < 661
