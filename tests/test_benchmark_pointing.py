"""What benchmarks/pointing.py counts in an image, by hand."""

import collections

import numpy as np

from benchmarks import pointing


def test_hits_and_masks_of_one_image():
    """Of two peaks of "one" the first is in its digit and the second 4 pixels beside it; "two" has none.

    The middle, (9.5, 9.5), is less than 2 pixels from the box of "one", which ends at 8. The mask has 4 of that digit's
    16 pixels and 4 more; all of its bright pixels are the digit's.
    """
    peaks = [{"class": "one", "pixel": [5, 5], "instance": 1}, {"class": "one", "pixel": [12, 6], "instance": 2}]
    about = {"width": 20, "height": 20, "scores": {"ground": 0, "one": 1.5, "two": -1}, "peaks": peaks}
    instances, image, ids = np.zeros((20, 20), int), np.zeros((20, 20, 3), np.uint8), np.zeros((20, 20), int)
    instances[4:8, 4:8], instances[12:18, 12:18], image[4:8, 4:8], ids[4:6, 6:10] = 1, 2, 200, 1
    boxes = np.float32([[4, 4, 8, 8], [12, 12, 18, 18]])
    example = {"boxes": boxes, "box_classes": np.array([1, 2]), "instances": instances, "image": image}
    found = pointing.count(about, ids, example, ["ground", "one", "two"])
    expected = {"images": 1, "objects": 2, "peaks": 2, "hits": 1, "middle": 2, "found": 1}
    assert {name: found[name] for name in expected} == expected
    assert found["exact"] == 0
    assert (found["iou"], found["bright_iou"]) == (4 / 20, 4 / 16)
    rows = pointing.lines(found + collections.Counter(images=1, exact=1))
    assert rows[0] == "2 images, 2 objects, 2 peaks"
    assert "| objects that a peak hits | 0.500 |" in rows
    assert "| images whose set of classes is exact | 0.500 |" in rows
