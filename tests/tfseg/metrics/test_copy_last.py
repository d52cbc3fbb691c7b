import numpy as np
import pytest

from input_pipeline import IGNORE, windows
from tfseg import counts, metrics

NAMES = ("road", "car")


def seen(past, label):
    """One image of a row of pixels; `past` are the label maps of the window."""
    image = windows.pack([np.array([row], np.uint8) for row in past])[np.newaxis]
    label = np.array([[label]], np.uint8)
    return counts.Seen(image, label, np.zeros((*label.shape, 2), np.float32), np.zeros_like(label, np.int32), {})


def values(spec):
    metric = metrics.build(spec, NAMES)["copy_last"]
    total = metric.update(seen([[1, 1, 1, 1, 1], [0, 0, 1, IGNORE, 1]], [0, 1, 1, 1, IGNORE]))
    return metric.values(counts.add(metric.zero, total))


def test_the_last_map_is_the_prediction():
    # The last map is 0 0 1 ignore 1, the label 0 1 1 1 ignore. Road: hit 1, union 2 (the second pixel is a miss of car).
    # Car: hit 1, misses 2 (one copied as road, one without a label), no false alarm: union 3. Right: 2 of 4 pixels.
    found = values("copy_last(steps=2, unlabelled='wrong')")
    assert found["copy_last_iou"] == {"road": 1 / 2, "car": 1 / 3}
    assert found["copy_last_miou"] == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert found["copy_last_pixel_accuracy"] == 1 / 2
    # Without the pixel that has no label in the last map, car has one miss less, and 2 of 3 pixels are right.
    found = values("copy_last(steps=2)")
    assert found["copy_last_iou"] == {"road": 1 / 2, "car": 1 / 2}
    assert found["copy_last_pixel_accuracy"] == pytest.approx(2 / 3)


def test_windows_that_cannot_be_are_refused():
    for spec in ("copy_last(steps=0)", "copy_last(steps=24)", "copy_last(unlabelled='right')"):
        with pytest.raises(ValueError, match="Expected"):
            metrics.build(spec, NAMES)
