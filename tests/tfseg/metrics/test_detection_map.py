import numpy as np
import pytest
import tensorflow as tf

from tests.tfseg.inference import reference
from tfseg import counts, metrics
from tfseg.metrics import detection_map as lib

FILES = reference.files("voc_detection_map")


@pytest.mark.parametrize("pixel", [0, 1], ids=["continuous", "pixels_inclusive"])
@pytest.mark.parametrize("file", FILES)
def test_ap_is_that_of_voc(file, pixel):
    expected = file["results"]["pixels_inclusive" if pixel else "continuous"]
    names = list(file["truth"])
    total = lib.counts_of_none(len(names)) | {"images": np.zeros(1, np.int64)}
    for row, name in enumerate(names):
        truth, guesses = file["truth"][name], file["guesses"].get(name, [])
        marks = {}
        for image in sorted({entry[0] for entry in (*truth, *guesses)}):
            true = [(box, difficult) for i, box, difficult in truth if i == image]
            mine = sorted(((score, box) for i, score, box in guesses if i == image), reverse=True)
            given = [box for box, _ in true], [box for _, box in mine], [score for score, _ in mine]
            found = lib.count(total, row, *given, pixel=pixel, difficult=[d for _, d in true])
            marks |= {(-score, image): mark for (score, _), mark in zip(mine, found, strict=True)}
        if wanted := expected["classes"][name].get("marks"):
            assert [marks[key] for key in sorted(marks)] == wanted, name
    found = lib.values(total, names, names)
    assert found["detection_map"] == pytest.approx(expected["map_area"], rel=1e-8)
    assert found["detection_map_11"] == pytest.approx(expected["map_11"], rel=1e-8)
    for name, wanted in expected["classes"].items():
        for key, value in (("box_ap", wanted["ap_area"]), ("box_ap_11", wanted["ap_11"])):
            assert found[key][name] == (value if value is None else pytest.approx(value, rel=1e-8)), name


def test_a_recall_of_exactly_three_tenths_counts():
    """Three of ten found, all right: precision 1 at the recalls 0, .1, .2 and .3, so 4/11; the area is .3."""
    total = lib.counts_of_none(1)
    true = [[10 * i, 0, 10 * i + 5, 5] for i in range(10)]
    lib.count(total, 0, true, true[:3], [0.9, 0.8, 0.7])
    assert lib.average_precision(total, 0) == (pytest.approx(0.3), pytest.approx(4 / 11))


def batch():
    """Two images of 32 x 64 pixels and one that fills the batch up, in 2 x 4 cells with one box of two classes each."""
    cells = np.zeros((3, 2, 4, 7), np.float32)
    boxes, classes = np.zeros((3, 2, 4), np.float32), np.full((3, 2), -1, np.int32)
    # Image 0: class 1 in the cell of row 1, column 2, whose box is the cell: found exactly.
    cells[0, 1, 2] = [0.5, 0.5, 0.25, 0.5, 1.0, 0.1, 0.8]
    boxes[0, 0], classes[0, 0] = [32, 16, 48, 32], 1
    # Image 1: the same guess with a lower score at nothing, and class 1 somewhere else.
    cells[1, 1, 2] = [0.5, 0.5, 0.25, 0.5, 0.5, 0.1, 0.8]
    boxes[1, 0], classes[1, 0] = [0, 0, 16, 16], 1
    cells[2], boxes[2], classes[2] = cells[0], boxes[0], classes[0]
    return cells, boxes, classes


def total(count, cells, boxes, classes, empty):
    """Of images whose label is all IGNORE where `empty` says so."""
    label = np.where(np.reshape(empty, [-1, 1, 1]), 255, np.zeros((len(cells), 32, 64))).astype(np.uint8)
    scores = np.zeros((*label.shape, 2), np.float32)

    def of(cells, boxes, classes, label):
        others = {"detection": cells, "boxes": boxes, "box_classes": classes}
        image, prediction = tf.zeros([*label.shape, 3], tf.uint8), tf.zeros(label.shape, tf.int32)
        return count.update(counts.Seen(image, label, scores, prediction, {}, others))

    return counts.add(count.zero, tf.function(of)(cells, boxes, classes, label))


def test_of_a_batch_of_cells():
    """Scores .8 (right) and .4 (wrong) for two objects: area 1/2, and at 11 points precision 1 up to a recall of .5: 6/11."""
    (count,) = metrics.build("detection_map(threshold=0.2)", ["ground", "car"], ("car",)).values()
    found = count.values(total(count, *batch(), [0, 0, 1]))
    assert found["detection_map"] == pytest.approx(0.5)
    assert found["detection_map_11"] == pytest.approx(6 / 11)
    assert found["box_ap"] == {"ground": None, "car": pytest.approx(0.5)}
    assert found["detections"] == {"objects": 2, "guesses": 2, "images": 2}
    # At .01 the other class of these cells is guessed too, but nothing of it is counted.
    (count,) = metrics.build("detection_map", ["ground", "car"], ("car",)).values()
    assert count.values(total(count, *batch(), [0, 0, 1])) == found
    parts = [total(count, *(x[i : i + 1] for x in batch()), [i == 2]) for i in range(3)]
    summed = counts.add(counts.add(parts[0], parts[1]), parts[2])
    tf.nest.map_structure(np.testing.assert_array_equal, summed, total(count, *batch(), [0, 0, 1]))
    assert count.values(count.zero)["detection_map"] is None


def test_classes_of_the_cells_and_wrong_options():
    """The cells know car and ground in the other order: the guess is of ground, and nothing is found."""
    spec = "detection_map(of_cells=('car', 'ground'), threshold=0.2)"
    (count,) = metrics.build(spec, ["ground", "car"], ("car",)).values()
    assert count.values(total(count, *batch(), [0, 0, 1]))["detection_map"] == 0
    with pytest.raises(ValueError, match="names of the classes ground, car"):
        metrics.build("detection_map(of_cells=('cat',))", ["ground", "car"])
    with pytest.raises(ValueError, match="Expected threshold from 0"):
        metrics.build("detection_map(threshold=1)", ["ground", "car"])
    (count,) = metrics.build("detection_map", ["a", "b", "c"]).values()
    with pytest.raises(ValueError, match=r"7 channels\. Name the classes of the cells with of_cells"):
        total(count, *batch(), [0, 0, 1])
