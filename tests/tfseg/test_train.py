"""The loop on a small drawn data set: replicas, exact resume, faults."""

import dataclasses
import json
import os
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

import input_pipeline
import models
from tests.tfseg.conftest import STREETS
from tfseg import checkpoint, evaluate, summaries, train
from tfseg.config import Config


def weights(config):
    """Every variable of the last checkpoint, by its key."""
    folder, _ = checkpoint.latest(config.workdir, "last")
    reader = tf.train.load_checkpoint(str(folder / "variables"))
    return {key: reader.get_tensor(key) for key in reader.get_variable_to_shape_map() if "OBJECT_GRAPH" not in key}


def lines(config):
    with open(os.path.join(config.workdir, "metrics.jsonl")) as file:
        return [json.loads(line) for line in file]


def test_a_run_leaves_what_a_workdir_promises(config, capsys):
    config = dataclasses.replace(config, eval_every=1.0, augment=Config().augment)
    result = train.train(config)
    assert {p for p in os.listdir(config.workdir) if not p.startswith(".")} == {
        "flags", "checkpoints", "train", "eval", "metrics.jsonl", "evaluation_val.json"
    }  # fmt: skip
    assert sorted(os.listdir(os.path.join(config.workdir, "checkpoints")))[-2:] == ["last-00000002", "last-00000004"]
    with open(os.path.join(config.workdir, "evaluation_val.json")) as file:
        assert json.load(file) == result
    assert result["images"] == 3
    assert result["step"] == 4
    training = [line for line in lines(config) if "loss" in line]
    assert [line["step"] for line in training] == [1, 2, 3, 4]
    assert {"loss", "gradient_norm", "learning_rate", "images_per_second", "logits/cross_entropy"} <= set(training[0])
    assert "car" in capsys.readouterr().out

    # --mode=evaluate gives what training printed, to the last digit, from the workdir alone.
    again = evaluate.evaluate(dataclasses.replace(config, mode="evaluate", checkpoint="last"))
    assert again == result


@pytest.mark.parametrize("dropout", [False, True])
def test_resume_is_exact_to_the_bit(config, normed_network, monkeypatch, dropout, tmp_path):
    """2N steps = N, stopped, resumed, N: weights, optimizer, dropout state; SIGTERM comes between two steps."""
    if dropout:
        _build_with_dropout(monkeypatch)
    config = dataclasses.replace(
        config, steps=6, eval_every=1.0, loss="cross_entropy(label_smoothing=0.1)", augment=Config().augment
    )
    whole = dataclasses.replace(config, workdir=str(tmp_path / "whole"))
    train.train(whole)

    stop_at = 3
    log_training = summaries.Log.training

    def stop(self, step, values, model):
        log_training(self, step, values, model)
        if step == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(summaries.Log, "training", stop)
        with pytest.raises(SystemExit) as stopped:
            train.train(config)
    assert stopped.value.code == 128 + signal.SIGTERM
    assert checkpoint.latest(config.workdir, "last")[1].step == stop_at
    train.train(config)

    expected, got = weights(whole), weights(config)
    assert expected.keys() == got.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(got[key], value, err_msg=key)
    losses = [[(line["step"], line["loss"]) for line in lines(c) if "loss" in line] for c in (whole, config)]
    assert losses[0] == losses[1]  # no step is missing, none is there twice


def _build_with_dropout(monkeypatch):
    build = models.build

    def with_dropout(*args, **kwargs):
        model = build(*args, **kwargs)
        x = keras.layers.Dropout(0.3)(model.get_layer("logits").input)
        model = keras.Model(model.input, {"logits": keras.layers.Conv2D(args[1], 1, dtype="float32", name="logits")(x)})
        model.aux_weights, model.aux_resolution, model.backbone = {}, "label", ""
        return model

    monkeypatch.setattr(models, "build", with_dropout)


def test_two_replicas_equal_one(config, normed_network, tmp_path):
    """Loss, gradients (through the weights after a step) and metrics; crops with unequal numbers of valid pixels."""
    # Zoomed out, a crop holds a random share of ignored pixels: the mean over replicas would not be the mean over pixels.
    # SGD, since Adam divides by the gradient's own size and would turn rounding into steps.
    config = dataclasses.replace(
        config, steps=3, augment="affine(scale=(0.3, 1.0))", optimizer="sgd", clip_norm=0.5, weight_decay=1e-3
    )
    one, two = (
        dataclasses.replace(config, strategy=strategy, workdir=str(tmp_path / strategy))
        for strategy in ("one_device", "mirrored")
    )
    results = [train.train(c) for c in (one, two)]
    for first, second in zip(lines(one), lines(two), strict=True):
        if "loss" in first:
            assert second["loss"] == pytest.approx(first["loss"], rel=1e-5)
            assert second["gradient_norm"] == pytest.approx(first["gradient_norm"], rel=1e-4)
            assert second["learning_rate"] == first["learning_rate"]
    expected, got = weights(one), weights(two)
    for key, value in expected.items():
        if value.dtype == np.float32:
            np.testing.assert_allclose(got[key], value, atol=1e-5 * max(1.0, np.abs(value).max()), err_msg=key)
    # Rounding may change a pixel whose two best classes are equal: at most one of 3 x 32 x 48 pixels.
    assert results[0]["pixel_accuracy"] == pytest.approx(results[1]["pixel_accuracy"], abs=1.1 / (3 * 32 * 48))


def test_evaluation_over_two_replicas_is_that_of_one(config, normed_network):
    train.train(config)
    results = [
        evaluate.evaluate(dataclasses.replace(config, mode="evaluate", strategy=strategy, eval_batch_size=size))
        for strategy, size in (("one_device", 1), ("one_device", 2), ("mirrored", 2))
    ]
    assert results[0] == results[1] == results[2]


def test_a_crop_without_valid_pixels_changes_nothing_by_its_loss(config, normed_network, monkeypatch):
    """All labels ignored: loss 0, gradient 0, weights as before (no decay, no momentum yet)."""
    training = train.pipeline.training

    def ignored(*args, **kwargs):
        stream = training(*args, **kwargs)
        return stream.map(lambda x: {**x, "label": tf.fill(tf.shape(x["label"]), tf.constant(255, tf.uint8))})

    monkeypatch.setattr(train.pipeline, "training", ignored)
    config = dataclasses.replace(config, steps=1, optimizer="sgd")
    train.train(config)
    (line, *_) = lines(config)
    assert line["loss"] == 0
    assert line["gradient_norm"] == 0


def test_a_loss_that_is_not_finite_stops_and_names_step_term_and_examples(config, normed_network, monkeypatch):
    training = train.pipeline.training

    def planted(*args, **kwargs):
        def plant(number, x):
            return {**x, "image": tf.where(number == 2, float("nan"), x["image"])}

        return training(*args, **kwargs).enumerate().map(plant)

    monkeypatch.setattr(train.pipeline, "training", planted)
    config = dataclasses.replace(config, checkpoint_every=1, log_every=10)
    with pytest.raises(FloatingPointError, match=r"logits/cross_entropy.* at step 3, examples train_\d+, .*train_\d+"):
        train.train(config)
    # The last checkpoint is from before, and finite.
    assert checkpoint.latest(config.workdir, "last")[1].step == 2
    assert all(np.all(np.isfinite(v)) for v in weights(config).values() if v.dtype == np.float32)


def test_a_loss_that_is_not_finite_before_the_first_checkpoint_promises_none(config):
    config = dataclasses.replace(config, learning_rate=1e30)
    with pytest.raises(FloatingPointError, match=r"or start again \(there is no checkpoint yet\) with a lower"):
        train.train(config)


def test_a_signal_during_evaluation_loses_nothing(config, normed_network, monkeypatch):
    config = dataclasses.replace(config, eval_every=1.0)
    evaluator = evaluate.evaluator

    def interrupted(*args, **kwargs):
        run = evaluator(*args, **kwargs)

        def stopping(stop):
            os.kill(os.getpid(), signal.SIGINT)
            return run(stop)

        return stopping

    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "evaluator", interrupted)
        with pytest.raises(SystemExit) as stopped:
            train.train(config)
    assert stopped.value.code == 128 + signal.SIGINT
    _, state = checkpoint.latest(config.workdir, "last")
    assert (state.step, state.evaluated) == (2, -1)
    train.train(config)
    assert [line["step"] for line in lines(config) if "iou" in line] == [2, 4]  # the interrupted one was made up for


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"workdir": ""}, "Expected --workdir"),
        ({"model": "enett"}, "Expected a name in models/: .*enet.*Received: 'enett'"),
        ({"loss": "cross_entropi"}, "cross_entropy.*Received: 'cross_entropi'"),
        ({"dataset": "street"}, "streets.*Received: 'street'"),
        ({"num_classes": 3}, "Expected --num_classes of 10 or more"),
        ({"batch_size": 3, "strategy": "mirrored"}, "multiple of the 2 replicas"),
        ({"augment": "afine"}, "Expected an augmentation: affine"),
        ({"optimizer": "sgdd"}, "sgd, rmsprop, adam, adamw"),
        ({"init_from": "nowhere.pth"}, "Expected weights in --init_from"),
    ],
)
def test_bad_options_end_at_the_start(config, change, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        train.train(dataclasses.replace(config, **change))


def test_weights_of_another_run_begin_a_new_one(config, normed_network, tmp_path):
    config = dataclasses.replace(config, steps=2)
    train.train(config)
    other = dataclasses.replace(
        config, workdir=str(tmp_path / "other"), init_from=config.workdir, steps=1, learning_rate=1e-12
    )
    train.train(other)
    before, after = (evaluate.trained_model(c)[0] for c in (config, other))
    for first, second in zip(before.trainable_variables, after.trainable_variables, strict=True):
        np.testing.assert_allclose(second, first, atol=1e-9, err_msg=first.path)


def test_more_classes_than_the_data_set_are_counted_as_wrong(config, normed_network):
    result = train.train(dataclasses.replace(config, num_classes=13, steps=2))
    assert len(result["iou"]) == input_pipeline.prepare(STREETS, cache_dir=config.cache_dir).num_classes
