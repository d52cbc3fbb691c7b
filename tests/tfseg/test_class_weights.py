import numpy as np
import pytest

from tfseg import class_weights

# Three classes; the second is in half of the 400 pixels of its images, the third in none.
STATISTICS = {"pixels": [600, 200, 0], "pixels_present": [800, 400, 0]}


def test_enet_by_hand():
    # Shares of all valid pixels 3/4, 1/4, 0: 1/ln(1.77), 1/ln(1.27), 1/ln(1.02).
    expected = [1 / np.log(1.77), 1 / np.log(1.27), 1 / np.log(1.02)]
    assert class_weights.build("enet", STATISTICS, 3) == pytest.approx(expected)


def test_median_frequency_by_hand():
    # Frequencies 600/800 = 3/4 and 200/400 = 1/2, median 5/8: 5/6 and 5/4; the class that never occurs weighs 0.
    assert class_weights.build("median_frequency", STATISTICS, 3) == pytest.approx([5 / 6, 5 / 4, 0])


def test_none_is_none():
    assert class_weights.build("none", STATISTICS, 3) is None


def test_classes_beyond_the_data_sets_weigh_nothing():
    assert class_weights.build("median_frequency", STATISTICS, 5)[3:] == [0.0, 0.0]


def test_a_file(tmp_path):
    (tmp_path / "weights.txt").write_text("1\n2.5\n0\n")
    assert class_weights.build(str(tmp_path / "weights.txt"), STATISTICS, 3) == [1.0, 2.5, 0.0]
    (tmp_path / "weights.txt").write_text("1\n-2\n0\n")
    with pytest.raises(ValueError, match="Expected 3 weights of 0 or more"):
        class_weights.build(str(tmp_path / "weights.txt"), STATISTICS, 3)


def test_an_unknown_rule_lists_the_known():
    with pytest.raises(ValueError, match=r"none\|enet\|median_frequency"):
        class_weights.build("inverse", STATISTICS, 3)
