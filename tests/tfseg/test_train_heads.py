"""Losses that read further outputs of the network, such as a boundary head, inside the loop."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import models
from models.layers.mask_classification import SemanticScores
from tests.tfseg.test_train import lines
from tfseg import checkpoint, train

LOSS = "cross_entropy + 20*boundary_bce + boundary_awareness(confidence=0.4)"


@pytest.fixture
def network_with_a_boundary(monkeypatch):
    """Three convolutions: the logits, an auxiliary output, and a boundary at half the resolution."""

    def build(spec, num_classes, **_):
        inputs = keras.Input((None, None, 3), dtype="float32")
        x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(inputs / 255.0)
        logits = keras.layers.Conv2D(num_classes, 1, dtype="float32", name="logits")(x)
        aux = keras.layers.Conv2D(num_classes, 3, strides=2, padding="same", dtype="float32", name="aux_0")(x)
        head = keras.layers.Conv2D(1, 3, strides=2, padding="same", dtype="float32", name="boundary")(x)
        model = keras.Model(inputs, {"logits": logits, "aux_0": aux, "boundary": head})
        model.aux_weights, model.aux_resolution, model.backbone = {"aux_0": 0.4}, "label", ""
        return model

    monkeypatch.setattr(models, "build", build)


def head(config):
    """The kernel of the boundary head in a run's last checkpoint."""
    folder, _ = checkpoint.latest(config.workdir, "last")
    model = models.build(config.model, 10)
    tf.train.Checkpoint(model=model).read(str(folder / "variables")).expect_partial()
    return np.asarray(model.get_layer("boundary").kernel)


def test_each_output_has_its_losses(config, network_with_a_boundary, tmp_path):
    config = dataclasses.replace(config, loss=LOSS, steps=2, optimizer="sgd", class_weights="none")
    result = train.train(config)
    assert np.isfinite(result["miou"])
    first = next(line for line in lines(config) if "loss" in line)
    parts = {name for name in first if "/" in name}
    # Only what reads logits and label is computed of the auxiliary output too.
    assert parts == {
        "logits/cross_entropy",
        "aux_0/cross_entropy",
        "boundary/boundary_bce",
        "logits/boundary_awareness",
    }
    assert first["loss"] == pytest.approx(sum(first[name] for name in parts), rel=1e-5)
    # In two parts of the batch it is the same.
    halves = dataclasses.replace(config, workdir=str(tmp_path / "halves"), accumulate_steps=2)
    train.train(halves)
    np.testing.assert_allclose(head(halves), head(config), atol=1e-5)

    # A head that no loss reads does not stop the run, and is after two steps what it was after one.
    unread = dataclasses.replace(config, loss="cross_entropy")
    runs = [dataclasses.replace(unread, workdir=str(tmp_path / f"unread{n}"), steps=n) for n in (1, 2)]
    for run in runs:
        train.train(run)
    np.testing.assert_array_equal(head(runs[0]), head(runs[1]))
    assert not np.allclose(head(config), head(runs[0]))


def test_a_loss_of_an_output_that_the_network_lacks_is_refused_before_the_run(config, small_network):
    with pytest.raises(
        ValueError, match=r"boundary_bce reads .*: logits, aux_0, image, label\. Received: boundary\..*--loss"
    ):
        train.train(dataclasses.replace(config, loss=LOSS))


@pytest.mark.slow  # XLA compiles the loss for ten seconds
def test_masks_and_classes_of_queries_need_no_other_loss(config, monkeypatch):
    """Four queries with masks at an eighth of the resolution; the logits are made of them."""

    def build(spec, num_classes, **_):
        inputs = keras.Input((None, None, 3), dtype="float32")
        x = keras.layers.Conv2D(4, 8, 8, padding="same")(inputs / 255.0)
        classes = keras.layers.Dense(4 * (num_classes + 1))(keras.layers.GlobalAveragePooling2D()(x))
        classes = keras.layers.Reshape((1, 4, num_classes + 1), dtype="float32", name="classes")(classes)
        masks = keras.ops.expand_dims(x, 1)
        logits = keras.layers.UpSampling2D(8, dtype="float32", name="logits")(SemanticScores()([classes, masks]))
        model = keras.Model(inputs, {"logits": logits, "classes": classes, "masks": masks})
        model.aux_weights, model.aux_resolution, model.backbone = {}, "label", ""
        return model

    monkeypatch.setattr(models, "build", build)
    config = dataclasses.replace(config, loss="mask_classification", steps=2, class_weights="none")
    result = train.train(config)
    assert np.isfinite(result["miou"])
    first, _, *evaluated = lines(config)
    assert first["loss"] == first["classes/mask_classification"] > 0
    assert all(np.isfinite(line["val_loss"]) for line in evaluated)
