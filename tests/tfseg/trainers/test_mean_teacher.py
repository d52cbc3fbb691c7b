"""The teacher's labels and the term that the network learns from them, each from a definition written here."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import models
from input_pipeline import pipeline
from tests.tfseg.trainers.harness import Run
from tfseg.trainers.mean_teacher import pseudo_label


def test_labels_of_what_is_sure_enough():
    """softmax([0, ln 3]) = (1/4, 3/4): sure at 0.75 and not above it."""
    logits = tf.constant([[[[0.0, np.log(3.0)], [np.log(4.0), 0.0], [0.0, 0.0], [9.0, 0.0]]]])
    label = tf.constant([[[0, 0, 0, 255]]], tf.uint8)
    for confidence, expected in ((0.5, [1, 0, 0, 255]), (0.74, [1, 0, 255, 255]), (0.76, [255, 0, 255, 255])):
        assert pseudo_label(logits, label, confidence).numpy().ravel().tolist() == expected


def test_the_term_is_that_of_its_definition(config, monkeypatch):
    """The network gives class 1 the logit of its only weight, 1 at the start, on every pixel: p = e / (e + 9)."""

    def build(spec, num_classes, **_):
        inputs = keras.Input((None, None, 3), dtype="float32")
        x = keras.layers.Conv2D(num_classes, 1, name="logits", kernel_initializer=keras.initializers.Zeros(),
                                bias_initializer=lambda shape, dtype: tf.one_hot(1, shape[0]))(inputs)  # fmt: skip
        model = keras.Model(inputs, {"logits": x})
        model.aux_weights, model.aux_resolution, model.backbone = {}, "label", ""
        return model

    monkeypatch.setattr(models, "build", build)
    p = np.e / (np.e + 9)
    config = dataclasses.replace(
        config, labelled="0.5", ema_decay=0.5, class_weights="none", augment="",
        trainer=f"mean_teacher(weight=2.0, confidence={p - 0.01}, strong='gray(1.0)')",
    )  # fmt: skip
    run = Run(config)
    [line] = run.take(1, run.batches())
    assert line["confident_share"] == pytest.approx(1, rel=1e-6)
    assert line["unlabelled/consistency"] == pytest.approx(-2 * np.log(p), rel=1e-5)
    assert line["loss"] == pytest.approx(line["logits/cross_entropy"] + line["unlabelled/consistency"], rel=1e-5)


def test_a_batch_in_parts_is_the_batch(config, small_network, tmp_path):
    config = dataclasses.replace(
        config, labelled="0.5", ema_decay=0.5, optimizer="sgd", class_weights="none",
        trainer="mean_teacher(confidence=0.1, strong='brightness(0.3)')",
    )  # fmt: skip
    whole, parts = Run(config), Run(dataclasses.replace(config, workdir=str(tmp_path / "parts"), accumulate_steps=2))
    [[first], [second]] = [run.take(1, run.batches()) for run in (whole, parts)]
    for key in ("loss", "unlabelled/consistency", "confident_share"):
        assert second[key] == pytest.approx(first[key], rel=1e-4)
    expected, got = whole.variables(tmp_path), parts.variables(tmp_path)
    for key, value in expected.items():
        if value.dtype == np.float32:
            np.testing.assert_allclose(got[key], value, atol=1e-5, err_msg=key)


def test_strong_views_move_no_pixel_and_mix_labels_with_their_images():
    """An image that shows its own label, times 10: so does the result, wherever it comes from."""
    label = np.random.default_rng(0).integers(0, 4, (4, 8, 8)).astype(np.int32)
    image = np.repeat(10.0 * label[..., None], 3, -1).astype(np.float32)
    seeds = tf.constant([[i, 7] for i in range(4)])
    mixed = pipeline.recolor("cutmix(share=1.0)", (8, 8), 4)({"image": image, "label": label}, seeds)
    np.testing.assert_array_equal(mixed["image"][..., 0], 10.0 * mixed["label"].numpy())
    assert np.any(mixed["label"].numpy() != label)
