import numpy as np
import pytest

from tests.tfseg.metrics import samples
from tfseg.metrics import image_iou


def total(rights, outputs=2):
    """Of an image of ten pixels of class 0 for each number: so many are right, the others are of the network's last class."""
    count = image_iou.image_iou(["a"])
    prediction = np.array([[np.where(np.arange(10) < right, 0, outputs - 1)] for right in rights])
    label = np.zeros(prediction.shape, "uint8")
    return count, samples.total(count, label, np.eye(outputs, dtype="float32")[prediction])


def test_by_hand():
    """Images of IoU 0.25 do not fit ten pixels: 0, 0.5, 0.5, 1. Mean 0.5; deviation sqrt((0.25 + 0 + 0 + 0.25) / 4)."""
    count, found = total([0, 5, 5, 10])
    result = count.values(found)
    assert result["mean_image_iou"] == 0.5
    numbers = result["image_iou"]
    assert (numbers["images"], numbers["deviation"]) == (4, pytest.approx(0.125**0.5))
    assert [i for i, n in enumerate(numbers["histogram"]) if n] == [0, 50, 99]
    assert numbers["histogram"][50] == 2
    # The median is after the first of the two images in [0.50, 0.51); a tenth of the images is 0.4 of the one in [0, 0.01).
    assert numbers["median"] == pytest.approx(0.505)
    assert numbers["p10"] == pytest.approx(0.004)
    assert numbers["p90"] == pytest.approx(0.996)
    section = count.section(result)
    assert "Mean IoU in percent of 4 images" in section
    assert 'title="50 to 55 %: 2 images"' in section


def test_the_mean_of_an_image_is_over_the_classes_in_it():
    """Three of four pixels right: class a 2/3, class b 1/2, class c in neither."""
    count = image_iou.image_iou(["a", "b", "c"])
    found = samples.of_maps(count, [[0, 0, 0, 1]], [[0, 0, 1, 1]], 3)
    assert found["mean_image_iou"] == pytest.approx((2 / 3 + 1 / 2) / 2, abs=1e-9)


def test_quantiles_are_near_those_of_the_scores():
    scores = np.random.default_rng(0).beta(4, 2, 500)
    histogram = np.histogram(scores, 100, (0, 1))[0]
    for share in (0.1, 0.5, 0.9):
        assert image_iou.quantile(histogram, share) == pytest.approx(np.quantile(scores, share), abs=0.01)
