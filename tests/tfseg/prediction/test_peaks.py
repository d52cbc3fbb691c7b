"""Peaks, responses and masks as --mode=predict writes them, of a network whose class maps are the pixels."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

from models import layers

SIZE = (32, 48)


def network():
    """The class maps are the colours less 20; their halves are the logits."""
    inputs = keras.Input((None, None, 3), dtype="float32")
    maps = layers.conv(inputs, 3, 1, "conv")
    maps_and_more = {"class_maps": maps, "class_scores": layers.stimulate(maps), "logits": maps / 2.0}
    model = keras.Model(inputs, maps_and_more)
    model.get_layer("conv").set_weights([np.eye(3)[None, None], np.full(3, -20.0)])
    return model


@pytest.fixture
def images(tmp_path, run):
    """Two images: one with two pixels of green, one without anything."""
    green = np.zeros((*SIZE, 3), np.uint8)
    green[8, 10, 1], green[20, 40, 1] = 120, 220
    for name, image in (("a", green), ("b", np.zeros_like(green))):
        Image.fromarray(image).save(tmp_path / "in" / f"{name}.png")


def test_peaks_are_written_without_asking(images, run):
    out = run(network(), label_ids="raw", peaks="strongest(level=0.5, blur=0.01)")
    about = json.loads((out / "peaks" / "a.json").read_text())
    assert (about["width"], about["height"], about["rows"], about["columns"]) == (48, 32, 32, 48)
    # Where nothing is, each map has a peak: its first cell, of -20. That of the green map is not in the window of another.
    # Peaks of green: 200, 100, and -20 of the first cell; the mean is 280 / 3.
    assert about["scores"] == {"red": -20, "green": pytest.approx(280 / 3, abs=1e-4), "blue": -20}
    common = {"class": "green", "id": 100}
    assert about["peaks"] == [
        {**common, "value": 200.0, "cell": [20, 40], "pixel": [40, 20], "response": 0, "instance": 1},
        {**common, "value": 100.0, "cell": [8, 10], "pixel": [10, 8], "response": 1, "instance": 2},
    ]
    file = np.load(out / "responses" / "a.npz")
    assert file["class_maps"].shape == (*SIZE, 3)
    assert file["responses"].shape == (2, *SIZE)
    assert file["responses"][0, 20, 40] == file["responses"][1, 8, 10] == 1
    with Image.open(out / "instances" / "a.png") as picture:
        ids = np.asarray(picture)
    assert (ids[20, 40], ids[8, 10], ids[0, 0]) == (1, 2, 0)
    with Image.open(out / "response_pictures" / "a.png") as picture:
        assert picture.size == (10 + 3 * 202, 13 + 14 + 128 + 10)  # 192 wide, 10 apart, under a line of text
    assert json.loads((out / "peaks" / "b.json").read_text())["peaks"] == []
    assert np.load(out / "responses" / "b.npz")["responses"].shape == (0, *SIZE)
    assert (out / "overlays" / "a.png").is_file()


def test_boxes_of_peaks(images, run):
    """A mask of one pixel, without a Gaussian; sigmoid(200) is 1."""
    out = run(network(), outputs="boxes", peaks="strongest(blur=0.0, most=1)")
    (one,) = json.loads((out / "boxes" / "a.json").read_text())["objects"]
    assert one == {"class": "green", "id": 1, "score": 1.0, "box": [40, 20, 41, 21], "instance": 1, "pixels": 1}


@pytest.mark.parametrize("outputs", ["peaks", "responses", "response_pictures"])
def test_a_network_without_class_maps_is_refused(run, tmp_path, outputs):
    Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(tmp_path / "in" / "a.png")
    with pytest.raises(ValueError, match="Expected a network with outputs `class_maps` and `class_scores`"):
        run(outputs=outputs)


@pytest.mark.parametrize("wrong", ["most=0", "width=8"])
def test_wrong_options(images, run, wrong):
    with pytest.raises(ValueError, match="Expected most of 1 or more and width of 16 or more"):
        run(network(), outputs=f"response_pictures({wrong})")
