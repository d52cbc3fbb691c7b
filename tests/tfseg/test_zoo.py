"""--init_from=zoo:<name>, with a zoo of one tiny network."""

import dataclasses
import hashlib
import json

import cv2
import keras
import numpy as np
import pytest

import input_pipeline
import models
from models import weights
from tfseg import config, evaluate, initialize, predict, zoo

MODEL = "unet(width=4)"
CLASSES = [["road", [128, 64, 128], 7], ["car", [0, 0, 142], 26], ["sky", [70, 130, 180], 23]]


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The network whose weights are in the zoo as zoo:tiny."""
    keras.utils.set_random_seed(1)
    model = models.build(MODEL, 3, normalization=None)
    file = tmp_path / "zoo" / "tiny.safetensors"
    file.parent.mkdir()
    weights.write(file, weights.state_dict(model))
    entry = zoo.Entry(
        file=file.name,
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        model=MODEL,
        normalization="none",
        classes=CLASSES,
        dataset="folder",
        data_license="none",
        miou=0.5,
        split="val",
        images=4,
        step=10,
    )
    (file.parent / "index.json").write_text(json.dumps({"tiny": dataclasses.asdict(entry)}))
    monkeypatch.setattr(zoo, "FOLDER", file.parent)
    return model


def options(**given):
    return zoo.completed(config.Config(init_from="zoo:tiny", **given))


def test_the_name_says_the_network(tiny):
    assert (options().model, options().normalization) == (MODEL, "none")
    assert options(model="enet").model == "enet"  # a network that is given stays
    model, state = evaluate.trained_model(options())
    assert [c.name for c in state.class_table()] == ["road", "car", "sky"]
    for ours, theirs in zip(model.get_weights(), tiny.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_prediction_needs_nothing_else(tiny, tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "photo.png"), image[..., ::-1])
    out = tmp_path / "out"
    (label,) = predict.predict(
        options(mode="predict", images=str(tmp_path / "photo.png"), output_dir=str(out), label_ids="raw")
    )
    raw = np.array([row[2] for row in CLASSES])
    expected = raw[np.argmax(tiny(image[np.newaxis].astype("float32"))["logits"][0], -1)]
    assert np.mean(cv2.imread(str(label), cv2.IMREAD_UNCHANGED) == expected) > 0.99  # except for ties
    rows = json.loads((out / "classes.json").read_text())
    assert [row["name"] for row in rows] == ["road", "car", "sky"]


def test_a_start_on_other_classes_matches_them_by_name(tiny):
    other = models.build(MODEL, 2, normalization=None)
    classes = [input_pipeline.Class("sky", (0, 0, 0), 0), input_pipeline.Class("boat", (1, 1, 1), 1)]
    initialize.transfer(other, "zoo:tiny", classes)
    last = [layer for layer in other.layers if layer.weights][-1]
    theirs = tiny.get_layer(last.name)
    np.testing.assert_array_equal(last.kernel[..., 0], theirs.kernel[..., 2])  # sky was the third
    assert np.any(last.kernel[..., 1] != theirs.kernel[..., 1])  # boat is new


def test_what_is_wrong_is_said(tiny):
    with pytest.raises(ValueError, match=r"zoo:.*tiny.*Received: 'tinny'.*Did you mean 'tiny'"):
        zoo.find("zoo:tinny")
    (zoo.FOLDER / "tiny.safetensors").write_bytes(b"x")
    with pytest.raises(ValueError, match="SHA-256"):
        initialize.check(tiny, "zoo:tiny")
    (zoo.FOLDER / "tiny.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"tiny\.safetensors"):
        initialize.check(tiny, "zoo:tiny")
    (zoo.FOLDER / "index.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"index\.json"):
        zoo.find("zoo:tiny")
