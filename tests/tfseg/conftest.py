"""Helpers for the tests of the loop: a run of seconds on a small drawn data set."""

import keras
import pytest

import models
from models import layers
from tfseg.config import Config

STREETS = "streets(train=8, val=3, size=(32, 48))"


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def config(tmp_path, cache):
    return Config(
        workdir=str(tmp_path / "run"),
        dataset=STREETS,
        cache_dir=cache,
        model="unet(width=2)",
        augment="brightness(0.2)",  # the default takes two seconds to trace, a third of a run
        crop_size=(32, 32),
        batch_size=4,
        steps=4,
        eval_every=0,
        log_every=1,
        learning_rate=0.01,
        class_weights="enet",
        strategy="one_device",
    )


@pytest.fixture
def small_network(monkeypatch):
    """Networks of three convolutions: quickly built, and without norms, because norms depend on the parts of a batch."""

    def build(spec, num_classes, **_):
        inputs = keras.Input((None, None, 3), dtype="float32")
        x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="conv")(inputs / 255.0)
        logits = keras.layers.Conv2D(num_classes, 1, dtype="float32", name="logits")(x)
        # Not 1x1: for one image and so few channels the gradient of that kernel overruns its memory (TF 2.21, oneDNN, CPU).
        aux = keras.layers.Conv2D(num_classes, 3, strides=2, padding="same", dtype="float32", name="aux_0")(x)
        model = keras.Model(inputs, {"logits": logits, "aux_0": aux})
        model.aux_weights, model.aux_resolution = {"aux_0": 0.4}, "label"
        return model

    monkeypatch.setattr(models, "build", build)


@pytest.fixture
def normed_network(monkeypatch):
    """The same with a norm, whose statistics are in checkpoints too. A real network takes ten times as long to compile."""
    monkeypatch.setattr(models, "build", normed(width=4))


def normed(width):
    """A `models.build` of networks of two convolutions, with a norm after the first."""

    def build(spec, num_classes, *_, **__):
        inputs = keras.Input((None, None, 3), dtype="float32")
        x = keras.layers.Conv2D(width, 3, padding="same", use_bias=False, name="conv")(inputs / 255.0)
        x = keras.layers.ReLU()(layers.batch_norm(x, "norm"))
        logits = keras.layers.Conv2D(num_classes, 3, padding="same", dtype="float32", name="logits")(x)
        model = keras.Model(inputs, {"logits": logits})
        model.aux_weights, model.aux_resolution, model.backbone = {}, "label", ""
        return model

    return build
