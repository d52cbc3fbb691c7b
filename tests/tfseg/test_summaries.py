"""TensorBoard's events and metrics.jsonl of a short run, read back by TensorBoard's own readers."""

import dataclasses
import json
import os
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

import input_pipeline
from input_pipeline import pipeline
from tests.tfseg.conftest import STREETS
from tfseg import config as config_lib
from tfseg import gradients, losses, summaries, train


def events(workdir, run):
    found = EventAccumulator(os.path.join(workdir, run))
    found.Reload()
    return found


def value(accumulator, tag):
    """The last value of a tag."""
    return float(tf.make_ndarray(accumulator.Tensors(tag)[-1].tensor_proto))


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("loss", "loss/total"),
        ("logits/cross_entropy", "loss/cross_entropy"),
        ("aux_0/dice_2", "loss/aux_0/dice_2"),
        ("learning_rate", "rates/learning_rate"),
        ("images_per_second", "rates/images_per_second"),
        ("gradient_norm", "rates/gradient_norm"),
        ("loss_scale", "rates/loss_scale"),
        ("norms/gradient/decoder", "norms/gradient/decoder"),
    ],
)
def test_tags(name, tag):
    assert summaries.tag(name) == tag


def test_a_run_in_tensorboard(config, small_network):
    config = dataclasses.replace(config, loss="cross_entropy + 0.5*dice", eval_every=1.0)
    result = train.train(config)
    training, evaluation = (events(config.workdir, run) for run in ("train", "eval"))
    assert set(training.Tags()["tensors"]) == {
        "flags", "loss/total", "loss/cross_entropy", "loss/dice", "loss/aux_0/cross_entropy", "loss/aux_0/dice",
        "rates/learning_rate", "rates/gradient_norm", "rates/images_per_second", "rates/data_wait",
        *(f"norms/{kind}/{module}" for kind in ("gradient", "weight") for module in ("conv", "logits", "aux_0")),
    }  # fmt: skip
    tags = set(evaluation.Tags()["tensors"])
    assert {t for t in tags if not t.startswith(("iou/", "pictures/", "_hparams_/", "custom_scalars"))} == {
        "loss/total", "loss/cross_entropy", "loss/dice",
        "metrics/miou", "metrics/pixel_accuracy", "metrics/kappa", "metrics/mean_accuracy", "metrics/frequency_weighted_iou",
        "metrics/expected_calibration_error", "metrics/mean_image_iou",
    }  # fmt: skip
    assert {f"iou/{name}" for name, iou in result["iou"].items() if iou is not None} <= tags
    assert "pictures/confusion" in tags
    assert value(evaluation, "metrics/miou") == pytest.approx(result["miou"], rel=1e-6)
    # 1 + 0.5: the terms are logged as they add up to the total.
    terms = [value(evaluation, f"loss/{name}") for name in ("cross_entropy", "dice")]
    assert sum(terms) == pytest.approx(value(evaluation, "loss/total"), rel=1e-6)

    with open(os.path.join(config.workdir, "metrics.jsonl")) as file:
        lines = [json.loads(line) for line in file]
    evaluated = [line for line in lines if "iou" in line]
    assert [line["step"] for line in evaluated] == [2, 4]
    assert evaluated[-1]["val_loss"] == pytest.approx(value(evaluation, "loss/total"), rel=1e-6)

    content = evaluation.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    start = metadata.parse_session_start_info_plugin_data(content)
    assert {key: start.hparams[key].string_value for key in ("model", "dataset", "loss", "crop_size")} == {
        "model": "unet(width=2)", "dataset": STREETS, "loss": "cross_entropy + 0.5*dice", "crop_size": "32,32"
    }  # fmt: skip
    assert start.hparams["learning_rate"].number_value == 0.01
    assert not {"workdir", "cache_dir", "log_every", "optimizer", "mode"} & set(start.hparams)
    content = evaluation.SummaryMetadata(metadata.EXPERIMENT_TAG).plugin_data.content
    experiment = metadata.parse_experiment_plugin_data(content)
    assert experiment.metric_infos[0].name.tag == "metrics/miou"
    # A session without a column would not be shown in the table.
    assert set(start.hparams) <= {column.name for column in experiment.hparam_infos}


def test_only_hyperparameters_that_say_something():
    config = config_lib.Config(workdir="/a", model="enet", ema_decay=0.5, strategy="one_device", data_dir="/b")
    assert summaries.hparams(config) == {
        "dataset": "", "model": "enet", "loss": "cross_entropy", "learning_rate": 5e-4, "batch_size": 8, "ema_decay": 0.5
    }  # fmt: skip


@pytest.mark.parametrize("strategy", ["one_device", "mirrored"])
def test_the_validation_loss_is_that_of_all_pixels_of_the_split(config, strategy):
    """Three images in batches of two over two replicas: the fill-up counts nothing, and no image counts twice."""
    from tfseg import counts, distribute, evaluate

    config = dataclasses.replace(config, strategy=strategy, eval_batch_size=2)
    prepared = input_pipeline.prepare(STREETS, cache_dir=config.cache_dir)
    (term,) = losses.build("3*cross_entropy", np.linspace(0.5, 2.0, prepared.num_classes))
    distributed = distribute.build(strategy)
    with distributed.scope():
        inputs = tf.keras.Input((None, None, 3))
        logits = tf.keras.layers.Conv2D(prepared.num_classes, 1, name="logits")(inputs / 255.0)
        model = tf.keras.Model(inputs, {"logits": logits})
    count = counts.losses([term])
    totals = evaluate.evaluator(model, prepared, distributed, config, "val", {"losses": count})()
    found = count.values(totals["losses"])
    total, count = 0.0, 0.0
    for batch in pipeline.evaluation(prepared, "val", 1):
        one = term.function(model(batch["image"])["logits"], batch["label"])
        total, count = total + float(one[0]), count + float(one[1])
    assert found["loss"] == found["logits/cross_entropy"] == pytest.approx(3 * total / count, rel=1e-5)
    only = evaluate.evaluator(model, prepared, distributed, config, "val")()
    np.testing.assert_array_equal(totals["confusion"], only["confusion"])


def test_norms_of_modules():
    """A module is what comes before the first dot: 3 and 4 make a norm of 5; what is not finite is 0."""
    inputs = keras.Input((2,))
    x = keras.layers.Dense(1, use_bias=False, name="decoder.0")(inputs)
    x = keras.layers.Dense(1, use_bias=False, name="decoder.1.conv")(x)
    model = keras.Model(inputs, keras.layers.Dense(1, use_bias=False, name="head")(x))
    values = [tf.constant([[3.0], [0.0]]), tf.constant([[4.0]]), tf.constant([[np.nan]])]
    norms = gradients.module_norms("gradient", values, model.trainable_variables)
    assert {name: float(norm) for name, norm in norms.items()} == {
        "norms/gradient/decoder": 5.0,
        "norms/gradient/head": 0.0,
    }


def test_norms_are_not_in_the_file_of_numbers(config, small_network):
    train.train(config)
    lines = [json.loads(line) for line in (pathlib.Path(config.workdir) / "metrics.jsonl").read_text().splitlines()]
    assert lines
    assert not [name for line in lines for name in line if name.startswith("norms/")]


def test_steps_are_traced(config, small_network):
    """From step 2 to step 3: one trace."""
    train.train(dataclasses.replace(config, profile_steps="2:3"))
    (trace,) = pathlib.Path(config.workdir).glob("plugins/profile/*/*.xplane.pb")
    assert trace.stat().st_size > 0


@pytest.mark.parametrize("steps", ["10", "3:2", "0:4", "a:b", "1:2:3"])
def test_steps_to_trace_are_checked(config, steps):
    with pytest.raises(ValueError, match="FIRST:LAST"):
        train.train(dataclasses.replace(config, profile_steps=steps))
