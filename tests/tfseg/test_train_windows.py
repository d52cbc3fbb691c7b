"""Windows of past label maps inside the loop, and what is refused before the first step."""

import dataclasses
import json
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import input_pipeline
import models
from models import layers
from tests.tfseg.test_train import lines
from tfseg import evaluate, metrics, predict, preflight, train

FRAMES = np.zeros((20, 10, 16, 16), np.uint8)
for time in range(20):
    FRAMES[time, :, 4:12, (time + 2) % 16] = 255  # a bar that moves by one column a frame
# Of 8 pixels of a bar, copying the last map hits none: the digit has an IoU of 0. Of the ground, 240 of 256 pixels are right,
# and 8 more each are in the label or in the copy: 240 / (240 + 8 + 8).
COPIED = {"ground": 240 / 256, "digit": 0.0}


@pytest.fixture
def moving(config, tmp_path):
    """A run of one step on windows of four maps."""
    folder = tmp_path / "movies"
    folder.mkdir()
    np.save(folder / "mnist_test_seq.npy", FRAMES)
    return dataclasses.replace(
        config,
        dataset="moving_mnist(frames=4)",
        data_dir=str(folder),
        model="drn_pred(steps=4)",
        metrics="copy_last(steps=4)",
        augment="affine(scale=(1.0, 1.0))",
        crop_size=(16, 16),
        class_weights="none",
        steps=1,
    )


@pytest.fixture
def small_predictor(monkeypatch):
    """A convolution of the past maps: the network itself takes a minute to compile."""

    def build(spec, num_classes, **_):
        inputs = keras.Input((None, None, 3), dtype="float32")
        x = layers.past_maps(inputs, 4, num_classes)
        model = keras.Model(inputs, {"logits": keras.layers.Conv2D(num_classes, 3, padding="same", name="logits")(x)})
        model.aux_weights, model.aux_resolution, model.backbone, model.steps = {}, "label", "", 4
        return model

    monkeypatch.setattr(models, "build", build)


def test_an_evaluation_says_what_copying_the_last_map_scores(moving, small_predictor):
    prepared = input_pipeline.prepare(moving.dataset, moving.data_dir, moving.cache_dir)
    names = [c.name for c in prepared.classes]
    counted = metrics.build(moving.metrics, names)
    what = (models.build("", len(names)), prepared, tf.distribute.get_strategy(), moving, "val", counted)
    result = evaluate.report(evaluate.evaluator(*what)(), prepared, "val", 0, counted)
    assert result["copy_last_iou"] == COPIED
    assert result["copy_last_miou"] == 240 / 256 / 2
    assert result["copy_last_pixel_accuracy"] == 240 / 256


@pytest.mark.slow  # a run, an evaluation and a prediction of it
def test_a_run_is_evaluated_again_and_refuses_pictures(moving, small_predictor, tmp_path):
    result = train.train(moving)
    assert next(line for line in lines(moving) if line.get("split") == "val")["copy_last_miou"] == 240 / 256 / 2
    again = evaluate.evaluate(moving)
    assert again["copy_last_iou"] == COPIED
    assert json.loads((pathlib.Path(moving.workdir) / "evaluation_val.json").read_text())["iou"] == result["iou"]
    with pytest.raises(ValueError, match="Expected a network that reads pictures"):
        predict.predict(dataclasses.replace(moving, mode="predict", output_dir=str(tmp_path / "out")))


@pytest.mark.slow  # the network has 13 million parameters
def test_the_network_learns_where_the_bar_goes(moving):
    result = train.train(dataclasses.replace(moving, steps=60, learning_rate=1e-3, optimizer="adam"))
    assert result["miou"] > result["copy_last_miou"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset": "moving_mnist"}, "reads pictures.*or a data set of sequences"),
        ({"metrics": "copy_last(steps=3)"}, r"copy_last\(steps=4\)"),
        ({"augment": "affine(scale=(0.5, 2.0))"}, "only copies pixels"),
        ({"augment": "brightness(0.2)"}, "only copies pixels"),
        ({"inference": "multi_scale(scales=(0.5, 1.0))"}, "must not be mixed"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_data_is_prepared(moving, small_predictor, change, message):
    with pytest.raises(ValueError, match=message):
        preflight.check(dataclasses.replace(moving, **change), replicas=1)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("unet(width=2)", r"reads windows of 4 label maps.*drn_pred\(steps=4\).*reads pictures"),
        ("drn_pred(steps=2)", "which reads windows of 2 label maps"),
    ],
)
def test_a_network_that_reads_something_else_is_refused(moving, model, message):
    with pytest.raises(ValueError, match=message):
        preflight.check(dataclasses.replace(moving, model=model), replicas=1)
