"""Boxes and instances inside the loop: losses and metrics that name them, and what is refused before the first step."""

import dataclasses
import json
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import input_pipeline
import models
from tests.tfseg.test_train import lines
from tfseg import counts, evaluate, losses, metrics, objects, predict, preflight, summaries, train

DATA = "streets(train=8, val=3, size=(32, 48), instances=('car', 'pedestrian'))"
LOSS = "cross_entropy + 0.5*discriminative + 0.02*yolo_v1(classes=(8, 9))"
METRICS = "instance_ap(smallest=2, smallest_object=4) | detection_map"


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


@pytest.mark.slow  # XLA compiles three losses, and two evaluations are traced; parts of it are in the tests below
def test_a_run_with_boxes_and_instances(config, network_of_objects, tmp_path):
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
    # A workdir is enough to predict: the classes of the cells are those of the loss, instances have those with boxes.
    predict.predict(dataclasses.replace(config, mode="predict", output_dir=str(tmp_path / "out")))
    found = [json.loads(path.read_text())["objects"] for path in (tmp_path / "out" / "boxes").iterdir()]
    assert len(found) == len(list((tmp_path / "out" / "instances").iterdir())) == 3
    assert {row["class"] for rows in found for row in rows} <= {"car", "pedestrian"}


def test_metrics_and_losses_of_a_split(config, network_of_objects):
    """Three images in batches of two: what fills the last batch up counts nowhere, so batches of one give the same."""
    prepared = input_pipeline.prepare(DATA, cache_dir=config.cache_dir)
    names = [c.name for c in prepared.classes]
    keras.utils.set_random_seed(0)
    model, strategy = models.build("", len(names)), tf.distribute.get_strategy()
    counted = metrics.build(METRICS, names, prepared.things, objects.classes_of_cells(LOSS, names))
    counted["losses"] = counts.losses(losses.build(LOSS))
    found = []
    for size in (2, 1):
        options = dataclasses.replace(config, eval_batch_size=size)
        found.append(evaluate.evaluator(model, prepared, strategy, options, "val", counted)())
    for name in ("instance_ap", "detection_map", "confusion"):
        tf.nest.map_structure(np.testing.assert_array_equal, found[0][name], found[1][name])
    np.testing.assert_allclose(found[0]["losses"], found[1]["losses"], rtol=1e-5)
    values = counted["losses"].values(found[0]["losses"])
    assert set(values) == {"loss", "logits/cross_entropy", "embedding/discriminative", "detection/yolo_v1"}
    assert min(values.values()) > 0
    result = evaluate.report(
        found[0], prepared, "val", 0, {name: counted[name] for name in counted if name != "losses"}
    )
    assert result["instances"]["images"] == result["detections"]["images"] == 3
    # Instances below 4 pixels do not count for AP.
    assert 0 < result["instances"]["objects"] <= result["detections"]["objects"]
    assert result["instance_ap"] is not None


def test_pictures_of_true_and_found_objects(config, network_of_objects):
    prepared = input_pipeline.prepare(DATA, cache_dir=config.cache_dir)
    names = [c.name for c in prepared.classes]
    model, folder = models.build("", len(names)), pathlib.Path(config.workdir)
    finder = objects.build(dataclasses.replace(config, loss=LOSS), model.output, names, prepared.things)
    with summaries.Log(folder, config, prepared, 0, finder) as log:
        log.evaluation(1, {"iou": {}, "miou": 0.5}, np.zeros([len(names)] * 2, np.int64), model)
    written = EventAccumulator(str(folder / "eval"))
    written.Reload()
    shown = {tag for tag in written.Tags()["tensors"] if tag.startswith("pictures/objects_")}
    assert shown == {f"pictures/objects_{i}" for i in range(3)}
    width, _, png = tf.make_ndarray(written.Tensors("pictures/objects_0")[0].tensor_proto)
    picture = tf.io.decode_png(png)
    assert int(width) == picture.shape[1] == 2 * 480 + 3 * 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"dataset": "streets(train=8, val=3, size=(32, 48))"},
            r"discriminative reads .*Received: instances, box_classes\.",
        ),
        ({"loss": "cross_entropy", "dataset": "streets"}, r"what instance_ap reads .*Received: instances\."),
        ({"loss": "cross_entropy + yolo_v1"}, r"7 channels\. Name the classes of the cells"),
        ({"loss": "cross_entropy", "cluster": "mean_shift(bandwith=1.0)"}, r"Did you mean 'bandwidth'"),
        ({"loss": "cross_entropy + discriminative(delta_v=-1.0)"}, "Expected delta_v of 0 or more"),
    ],
)
def test_what_is_not_there_is_refused_before_the_run(config, network_of_objects, changes, message):
    options = {"dataset": DATA, "loss": LOSS, "metrics": METRICS, "class_weights": "none", "augment": "", **changes}
    with pytest.raises(ValueError, match=message):
        preflight.check(dataclasses.replace(config, **options), 1)
