"""Objects from the outputs of a network, by hand: their classes, boxes, ids and pictures."""

import numpy as np
import pytest
import tensorflow as tf

from tfseg import objects, pictures
from tfseg.config import Config

NAMES = ("ground", "car", "person")
COLORS = ((90, 90, 90), (0, 0, 142), (220, 20, 60))
LOSS = "cross_entropy + 0.02*yolo_v1(classes=(2, 1))"


def outputs(channels=7, dimensions=2):
    """Shapes of a network's outputs: boxes of one a cell with two classes, an embedding."""
    shapes = {"logits": (None, None, None, 3), "detection": (None, None, None, channels)}
    shapes |= {"embedding": (None, None, None, dimensions)} if dimensions else {}
    return {name: tf.TensorSpec(shape) for name, shape in shapes.items()}


def test_whose_objects_are_found():
    """The cells have the classes of the loss, instances those that have boxes in the data; options name others."""
    found = objects.build(Config(loss=LOSS), outputs(), NAMES, ["car"])
    assert (found.cells, found.things, found.reads) == ((2, 1), (1,), ("detection", "embedding"))
    assert (found.threshold, found.overlap, found.most, found.bandwidth, found.smallest) == (0.3, 0.5, 100, 1.5, 30)
    named = {"suppress": "nms(most=3, classes=('car', 'ground'))", "cluster": "mean_shift(classes=('person',))"}
    found = objects.build(Config(loss=LOSS, **named), outputs(), NAMES, ["car"])
    assert (found.cells, found.things, found.most) == ((1, 0), (2,), 3)
    assert objects.build(Config(), outputs(8, 0), NAMES).cells == (0, 1, 2)
    assert objects.build(Config(), {"logits": None}, NAMES) == objects.NONE


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"one for each of 3 classes. Received: 7 channels.*--suppress="),
        ({"loss": "yolo_v1(classes=(1, 3))"}, r"train ids from 0 to 2 as classes of yolo_v1. Received: \[3\]"),
        ({"suppress": "nms(classes=('cat',))"}, "ground, car, person in --suppress. Received: cat"),
        ({"suppress": "nms(threshold=1)"}, "Expected threshold from 0"),
        ({"suppress": "soft_nms"}, "Expected one of these: nms"),
        ({"loss": LOSS, "cluster": "mean_shift(bandwidth=0)"}, "Expected bandwidth above 0"),
        ({"loss": LOSS, "cluster": "mean_shift(classes='car')"}, "names of classes"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        objects.build(Config(**options), outputs(), NAMES)


def seen():
    """(outputs, label) of an image of 16 x 32 pixels in two cells of 16, with two instances of cars that touch.

    The first cell has a box of 8 x 4 pixels in its middle, a person of .9 * .8; the second one a car of 1 * .5 whose right half
    is outside the image.
    """
    cells = np.zeros((1, 1, 2, 7), np.float32)
    cells[0, 0, 0] = [0.5, 0.5, 8 / 32, 4 / 16, 0.9, 0.8, 0.1]
    cells[0, 0, 1] = [1.0, 0.5, 8 / 32, 1.0, 1.0, 0.2, 0.5]
    label = np.zeros((16, 32), np.uint16)
    label[4:12, 4:20] = 1
    embedding = np.zeros((1, 16, 32, 2), np.float32)
    embedding[:, :, 12:] = 5
    logits = np.where(label[..., None] == np.arange(3), 2.0, 0.0)[None].astype(np.float32)
    return {"logits": logits, "detection": cells, "embedding": embedding}, label


def test_objects_of_an_image():
    """The probability of the class is e^2 / (e^2 + 2) = .787 everywhere."""
    finder = objects.build(Config(loss=LOSS, cluster="mean_shift(smallest=9)"), outputs(), NAMES, ["car"])
    found = finder.of_outputs(*seen())
    person, car, left, right = found.listed
    assert (person.kind, person.box, person.instance) == (2, (4, 6, 12, 10), 0)
    assert person.score == pytest.approx(0.72)
    assert (car.kind, car.score, car.box) == (1, 0.5, (28, 0, 32, 16))
    assert (left.kind, left.box, left.instance, left.pixels) == (1, (4, 4, 12, 12), 1, 64)
    assert (right.kind, right.box, right.instance, right.pixels) == (1, (12, 4, 20, 12), 2, 64)
    assert left.score == pytest.approx(0.787, abs=1e-3)
    expected = np.zeros((16, 32), np.uint16)
    expected[4:12, 4:12], expected[4:12, 12:20] = 1, 2
    np.testing.assert_array_equal(found.ids, expected)
    # Rows behind the last box are of no class.
    row = finder.boxes(tf.constant(seen()[0]["detection"]), (16, 32))
    assert row["box_count"].numpy().tolist() == [2]
    assert row["box_classes"].numpy()[0, :3].tolist() == [2, 1, -1]
    assert not row["boxes"].numpy()[0, 2:].any()


def test_true_objects_are_those_that_are_looked_for():
    ids = np.array([[1, 1, 2, 0, 3]])
    example = {"instances": ids, "box_classes": [1, 0, 2], "boxes": [[0, 0, 2, 1], [2, 0, 3, 1], [4, 0, 5, 1]]}
    found = objects.Finder(things=(1, 2)).true(example)
    assert [(one.kind, one.instance, one.score) for one in found.listed] == [(1, 1, None), (2, 3, None)]
    assert found.ids.tolist() == [[1, 1, 0, 0, 3]]
    boxes = objects.Finder(cells=(2,)).true(example)
    assert [(one.kind, one.instance, one.box) for one in boxes.listed] == [(2, 0, (4, 0, 5, 1))]
    assert boxes.ids is None
    assert objects.Finder(cells=(2,)).true({"label": ids}) == objects.Objects()


def test_each_instance_has_a_colour_of_its_own():
    """Ids 1 and 2 of one class, and a pixel of no class, which stays as it is."""
    image = np.full((1, 4, 3), 100, np.uint8)
    found = objects.Objects(ids=np.array([[0, 1, 2, 0]], np.uint16))
    drawn = pictures.with_instances(image, np.array([[0, 1, 1, 9]]), found, COLORS, opacity=1.0)
    table = pictures.instance_colors(2)
    np.testing.assert_array_equal(drawn[0], [COLORS[0], *table, (100, 100, 100)])
    many = pictures.instance_colors(200).astype(int)
    assert np.abs(np.diff(many, axis=0)).sum(1).min() > 60
    np.testing.assert_array_equal(many[:2], table)


def test_boxes_are_drawn_where_they_are():
    """On 300 x 300 pixels a line is 1 pixel; its white ground is 3. The best box is on top, and texts stay inside."""
    paper = np.full((300, 300, 3), 10, np.uint8)
    worse, best = objects.Object(1, 0.5, (50.0, 60.0, 200.0, 250.0)), objects.Object(2, 0.9, (50.2, 59.6, 150.0, 160.0))
    drawn = pictures.with_objects(paper, objects.Objects([best, worse]), NAMES, COLORS)
    np.testing.assert_array_equal(drawn[60, 100:150], np.tile(COLORS[2], (50, 1)))
    np.testing.assert_array_equal(drawn[249, 50:200], np.tile(COLORS[1], (150, 1)))
    assert (drawn[248, 60:190] == 255).all()
    assert (drawn[200, 60:190] == 10).all()
    edge = objects.Object(1, None, (290.0, 0.0, 300.0, 300.0))
    assert pictures.with_objects(paper, objects.Objects([edge]), NAMES, COLORS).shape == paper.shape
    ids = np.zeros((300, 300), np.uint16)
    ids[100:] = 1
    outlined = pictures.with_objects(paper, objects.Objects(ids=ids), NAMES, COLORS)
    assert (outlined[100] == 255).all()
    assert (outlined[99] == 10).all()


def test_the_panel_scales_boxes_and_counts_them():
    image, ids = np.zeros((50, 100, 3), np.uint8), np.zeros((50, 100), np.uint16)
    ids[10:20, 10:20] = 1
    true = objects.Objects([objects.Object(1, None, (25.0, 20.0, 75.0, 40.0))])
    found = objects.Objects([objects.Object(1, 0.8, (10.0, 10.0, 20.0, 20.0), 1, 100)], ids)
    panel = pictures.objects_panel(image, {"true": true, "found": found}, NAMES, COLORS, width=400)
    assert panel.shape[1] == 2 * 400 + 3 * 10
    # Four times as large, beside the margin of 10 and below the caption of 27 rows: the left edge of the box is at 10 + 100.
    np.testing.assert_array_equal(panel[27 + 120, 110], COLORS[1])
    # Half of the first instance's colour on black.
    inside = panel[27 + 60, 10 + 400 + 10 + 60]
    np.testing.assert_allclose(inside, pictures.instance_colors(1)[0] / 2, atol=1)
    assert pictures.objects_panel(image, {"true": objects.Objects()}, NAMES, COLORS).shape[1] == 500
