"""Boxes and instances as --mode=predict writes them, of a network whose objects are known."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from input_pipeline.source import annotations
from tests.tfseg.prediction import conftest

LOSS = "cross_entropy + yolo_v1(classes=(2, 1))"
SIZE = (32, 48)


@keras.saving.register_keras_serializable("tests")
class Constant(keras.layers.Layer):
    """Cells that do not depend on the image: of 2 x 3, the middle of the upper row has a box of the class "blue"."""

    def call(self, image):
        cells = np.zeros((1, 2, 3, 7), np.float32)
        cells[0, 0, 1] = [0.5, 0.5, 20 / 48, 12 / 32, 1.0, 0.75, 0.0]
        return tf.tile(cells, [tf.shape(image)[0], 1, 1, 1])


def network():
    """The strongest channel is the class; the red channel, divided by 50, is the embedding."""
    inputs = keras.Input((None, None, 3), dtype="float32")
    outputs = {"logits": inputs * 1.0, "detection": Constant()(inputs), "embedding": inputs[..., :1] / 50.0}
    return keras.Model(inputs, outputs)


@pytest.fixture
def one(tmp_path, run):
    """Predicts an image: two green objects side by side on blue, whose red channels differ, and a third one apart."""
    image = np.zeros((*SIZE, 3), np.uint8)
    image[..., 2] = 200
    image[8:16, 8:16], image[8:16, 16:24], image[24:28, 30:40] = (0, 250, 0), (200, 250, 0), (100, 250, 0)
    Image.fromarray(image).save(tmp_path / "in" / "a.png")

    def predicted(**options):
        options = {"loss": LOSS, "cluster": "mean_shift(classes=('green',), smallest=5)", **options}
        return run(network(), **options)

    return predicted


def test_boxes_and_instances_are_written_without_asking(one):
    out = one(label_ids="raw")
    about = json.loads((out / "boxes" / "a.json").read_text())
    assert (about["width"], about["height"]) == (48, 32)
    box, *instances = about["objects"]
    # The middle of the cell is (24, 8).
    assert box == {"class": "blue", "id": 200, "score": 0.75, "box": [14.0, 2.0, 34.0, 14.0]}
    expected = [(1, [8, 8, 16, 16], 64), (2, [16, 8, 24, 16], 64), (3, [30, 24, 40, 28], 40)]
    assert [(i["instance"], i["box"], i["pixels"]) for i in instances] == expected
    # softmax of (0, 250, 0): 1.
    assert {(i["class"], i["id"], i["score"]) for i in instances} == {("green", 100, 1.0)}
    with Image.open(out / "instances" / "a.png") as picture:
        assert picture.mode in ("I;16", "I")
        ids = np.asarray(picture)
    wanted = np.zeros(SIZE)
    wanted[8:16, 8:16], wanted[8:16, 16:24], wanted[24:28, 30:40] = 1, 2, 3
    np.testing.assert_array_equal(ids, wanted)
    overlay = np.asarray(Image.open(out / "overlays" / "a.png"))
    assert overlay.shape == (*SIZE, 3)
    # Beside the outline of the third instance, below its text: half of the image, half of a colour that no class has.
    assert tuple(overlay[26, 36]) not in [(50, 252, 0), (50, 250, 0)]


def test_a_sliding_window_gives_the_same_objects(one):
    """Boxes are those of the whole image. The score of an instance is the mean of the windows' probabilities."""
    options = {"outputs": "boxes | instances | probabilities", "inference": "sliding_window(size=(16, 48))"}
    whole, windows = one(outputs="boxes | instances"), one(**options, output="windows")
    assert json.loads((whole / "boxes/a.json").read_text()) == json.loads((windows / "boxes/a.json").read_text())
    assert (whole / "instances/a.png").read_bytes() == (windows / "instances/a.png").read_bytes()


def test_voc_annotations_are_read_back(one):
    """Our reader takes VOC's first pixel, 1, as it is, so that left and upper edges are 1 larger."""
    out = one(outputs="boxes_xml")
    assert not (out / "boxes").exists()
    found = annotations.annotation(out / "boxes_xml" / "a.xml", {"blue": 2, "green": 1}).read()
    assert found.size == SIZE
    assert list(found.classes) == [2, 1, 1, 1]
    assert np.asarray(found.boxes).tolist() == [[15, 3, 34, 14], [9, 9, 16, 16], [17, 9, 24, 16], [31, 25, 40, 28]]


def test_overlays_without_objects(one, tmp_path):
    plain, drawn = one(outputs="overlays(objects=False)"), one(outputs="overlays", output="drawn")
    network_of_scores = conftest.channels()
    assert network_of_scores.output.keys() == {"logits"}
    overlay, with_objects = (np.asarray(Image.open(out / "overlays" / "a.png")) for out in (plain, drawn))
    np.testing.assert_array_equal(overlay[26, 36], [50, 252, 0])  # half of (100, 250, 0), half of (0, 255, 0)
    assert np.any(overlay != with_objects)


@pytest.mark.parametrize("outputs", ["boxes", "boxes_xml", "instances"])
def test_a_network_without_objects_is_refused(run, tmp_path, outputs):
    Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(tmp_path / "in" / "a.png")
    with pytest.raises(ValueError, match=r"Expected a network with an output .* Received: one with"):
        run(outputs=outputs)
