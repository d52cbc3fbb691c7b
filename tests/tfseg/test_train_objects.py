"""Boxes and instances inside the loop: losses and metrics that name them, and what is refused before the first step."""

import dataclasses
import json
import pathlib

import keras
import pytest

import models
from tests.tfseg.test_train import lines
from tfseg import evaluate, train

DATA = "streets(train=8, val=3, size=(32, 48), instances=('car', 'pedestrian'))"
LOSS = "cross_entropy + 0.5*discriminative + 0.02*yolo_v1(classes=(8, 9))"
METRICS = "instance_ap(smallest=2, smallest_object=4) | detection_map(of_cells=('car', 'pedestrian'))"


@pytest.fixture
def network_of_objects(monkeypatch):
    """Convolutions: the logits, an embedding at half the resolution, and cells of 8 pixels with a box of two classes."""

    def build(spec, num_classes, **_):
        inputs = keras.Input((None, None, 3), dtype="float32")
        x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(inputs / 255.0)
        logits = keras.layers.Conv2D(num_classes, 1, dtype="float32", name="logits")(x)
        embedding = keras.layers.Conv2D(2, 3, strides=2, padding="same", dtype="float32", name="embedding")(x)
        cells = keras.layers.Conv2D(7, 8, strides=8, activation="sigmoid", dtype="float32", name="detection")(x)
        model = keras.Model(inputs, {"logits": logits, "embedding": embedding, "detection": cells})
        model.aux_weights, model.aux_resolution, model.backbone = {}, "label", ""
        return model

    monkeypatch.setattr(models, "build", build)


def test_a_run_with_boxes_and_instances(config, network_of_objects):
    config = dataclasses.replace(
        config, dataset=DATA, loss=LOSS, metrics=METRICS, class_weights="none", steps=1, augment="", eval_batch_size=2
    )
    result = train.train(config)
    logged = list(lines(config))
    first = next(line for line in logged if "loss" in line)
    parts = {"logits/cross_entropy", "embedding/discriminative", "detection/yolo_v1"}
    assert {name for name in first if "/" in name} == parts
    assert all(first[name] > 0 for name in parts)
    assert first["loss"] == pytest.approx(sum(first[name] for name in parts), rel=1e-5)
    # The last batch of the three images is filled up, which counts nowhere.
    assert result["instances"]["images"] == result["detections"]["images"] == 3
    assert result["instance_ap"] is not None
    again = evaluate.evaluate(config)
    assert {k: v for k, v in again.items() if k in result} == {k: again[k] for k in again if k in result} == result
    written = json.loads((pathlib.Path(config.workdir) / "evaluation_val.json").read_text())
    assert written["detection_map_11"] == result["detection_map_11"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"dataset": "streets(train=8, val=3, size=(32, 48))"},
            r"discriminative reads .*Received: instances, box_classes\.",
        ),
        ({"loss": "cross_entropy", "dataset": "streets"}, r"what instance_ap reads .*Received: instances\."),
        ({"loss": "cross_entropy + yolo_v1"}, r"7 channels\. Name the classes of the cells"),
        ({"loss": "cross_entropy + discriminative(delta_v=-1.0)"}, "Expected delta_v of 0 or more"),
    ],
)
def test_what_is_not_there_is_refused_before_the_run(config, network_of_objects, changes, message):
    config = dataclasses.replace(config, **{"dataset": DATA, "loss": LOSS, "metrics": METRICS, "class_weights": "none"})
    with pytest.raises(ValueError, match=message):
        train.train(dataclasses.replace(config, **changes))
    assert not (pathlib.Path(config.workdir) / "checkpoints").exists()
