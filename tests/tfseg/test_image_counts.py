"""The file of the images' counts, and the intervals that come from it."""

import numpy as np
import pytest

from tfseg import bootstrap, image_counts

ABOUT = {"classes": ["a", "b"], "split": "val", "step": 7, "flags": "--seed=3\n"}


def counts(pixels, ids=None, **about):
    """An evaluation with the given right, label and predicted pixels of each image and class."""
    pixels = np.array(pixels, np.int32)
    return image_counts.Counts(ids or [f"i{i}" for i in range(len(pixels))], pixels, **(ABOUT | about))


def test_written_and_read_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(image_counts, "PART", 2)
    path = image_counts.path(tmp_path, "val")
    with image_counts.Writer(path, **ABOUT) as writer:
        for i in range(5):
            # Labels a a b and one without; the network gives the first pixel its third class in odd images.
            label = np.array([[0, 0], [1, 255]], "uint8")
            writer.add(f"x{i}".encode(), None, label, np.array([[2 if i % 2 else 0, 1], [1, 0]], "int32"))
            writer.add(b"filled up", None, np.full((2, 2), 255, "uint8"), np.zeros((2, 2), "int32"))
        assert len(writer._ids) == 1  # the others are on the disk
    assert [file.name for file in tmp_path.iterdir()] == ["images_val.npz"]
    found = image_counts.read(path)
    assert found.ids == ["x0", "x1", "x2", "x3", "x4"]
    even, odd = [[1, 1], [2, 1], [1, 2]], [[0, 1], [2, 1], [0, 2]]  # right, label, predicted
    assert found.pixels.tolist() == [even, odd, even, odd, even]
    assert {name: getattr(found, name) for name in ABOUT} == ABOUT
    np.testing.assert_allclose(image_counts.iou(even), [1 / 2, 1 / 2])
    np.testing.assert_allclose(image_counts.miou([even, odd]), [1 / 2, 1 / 4])


def test_an_error_leaves_no_file(tmp_path):
    def stopped():
        with image_counts.Writer(tmp_path / "images_val.npz", **ABOUT):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert not list(tmp_path.iterdir())


def test_what_is_no_such_file_is_refused(tmp_path):
    (tmp_path / "images_val.npz").write_bytes(b"PK\x03\x04 damaged")
    with pytest.raises(ValueError, match="Evaluate the run again"):
        image_counts.read(tmp_path / "images_val.npz")


def test_the_same_difference_in_every_image_is_certain():
    """Class a: 1 of 2 against 2 of 2 in each image, so every drawing gives +0.5; class b is in no image."""
    first = counts([[[1, 0], [2, 0], [1, 0]]] * 6)
    second = counts([[[2, 0], [2, 0], [2, 0]]] * 6)
    mean, a, b = bootstrap.differences(first, second)
    for found in (mean, a):
        assert (found.first, found.second, found.value, found.low, found.high) == (0.5, 1.0, 0.5, 0.5, 0.5)
        assert found.is_clear
    assert all(np.isnan(value) for value in b[1:])
    assert not b.is_clear
    assert bootstrap.points(b.value, "+") == "-"


def test_the_interval_is_that_of_a_known_distribution():
    """100 images of 100 pixels of class a; the second run loses all of one half of them and the first all of the other.

    Of n drawn images k are of the first half: the difference is (n - 2 k) / n, where k is binomial(100, 1/2) with a standard
    deviation of 5: the interval of 95 % is 0 +- 1.96 * 2 * 5 / 100 = 0.196, in steps of 0.02.
    """
    right, wrong = [[100], [100], [100]], [[0], [100], [0]]
    first = counts([right] * 50 + [wrong] * 50, classes=["a"])
    second = counts([wrong] * 50 + [right] * 50, classes=["a"])
    _, a = bootstrap.differences(first, second, seed=1)
    assert a.value == 0
    assert -a.low == pytest.approx(0.196, abs=0.02)
    assert a.high == pytest.approx(0.196, abs=0.02)
    assert bootstrap.differences(first, second, seed=1) == bootstrap.differences(first, second, seed=1)


def test_the_drawings_are_paired():
    """IoU varies much between the images, but the second run is 0.01 better in each: the interval is around 0.01 only."""
    rng = np.random.default_rng(0)
    right = rng.integers(100, 900, 40)
    first = counts([[[r], [1000], [r]] for r in right], classes=["a"])
    second = counts([[[r + 10], [1000], [r + 10]] for r in right], classes=["a"])
    _, a = bootstrap.differences(first, second)
    assert 0.009 < a.low <= a.value <= a.high < 0.011


def test_classes_and_images_are_matched_by_name():
    first = counts([[[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 10], [11, 12]]])
    second = counts([[[8, 7], [10, 9], [12, 11]], [[2, 1], [4, 3], [6, 5]]], ["i1", "i0"], classes=["b", "a"], step=9)
    found = bootstrap.matched(first, second, ("one", "two"))
    assert found.pixels.tolist() == first.pixels.tolist()
    assert (found.classes, found.ids, found.step) == (first.classes, first.ids, 9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"classes": ["a", "c"]},
            "same classes of val. Received: 1 only in one, such as 'b'; 1 only in two, such as 'c'",
        ),
        ({"ids": ["i0", "x"]}, "same images of val. Received: 1 only in one, such as 'i1'; 1 only in two, such as 'x'"),
        ({"pixels": np.ones((2, 3, 2), "int32")}, "other labels, or another size, in 1 of 2 images, such as 'i1'"),
    ],
)
def test_what_cannot_be_compared_is_refused(change, message):
    first = counts([[[1, 1]] * 3, [[1, 1], [2, 1], [1, 1]]])
    with pytest.raises(ValueError, match=message):
        bootstrap.matched(first, first._replace(**change), ("one", "two"))
