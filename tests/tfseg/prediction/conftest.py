"""Prediction by networks that tests know: one whose scores are the channels, and one of a few convolutions."""

import keras
import numpy as np
import pytest

from tfseg import checkpoint, evaluate, predict
from tfseg.config import Config

CLASSES = [["red", [255, 0, 0], 7], ["green", [0, 255, 0], 100], ["blue", [0, 0, 255], 200]]


def channels():
    """The strongest channel is the class."""
    inputs = keras.Input((None, None, 3), dtype="float32")
    return keras.Model(inputs, {"logits": inputs * 1.0})


def convolutions(classes=3, seed=3):
    """A network that sees 15 x 15 pixels, with random weights: an image of noise has all classes."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((None, None, 3), dtype="float32")
    x = keras.layers.Conv2D(4, 7, padding="same", activation="relu")(inputs / 255.0)
    x = keras.layers.Conv2D(classes, 9, padding="same")(x)
    return keras.Model(inputs, {"logits": x})


@pytest.fixture
def run(tmp_path, monkeypatch):
    """`run(model, classes, output, **options)` predicts tmp_path / "in" and returns the folder of the predictions."""
    (tmp_path / "in").mkdir()

    def predicted(model=None, classes=CLASSES, images="in", output="out", **options):
        model = model or channels()
        monkeypatch.setattr(evaluate, "trained_model", lambda config: (model, checkpoint.State(classes=classes)))
        images = images if images.startswith(("-", "camera:")) else str(tmp_path / images)
        predict.predict(Config(mode="predict", images=images, output_dir=str(tmp_path / output), **options))
        return tmp_path / output

    return predicted


@pytest.fixture
def noise():
    """`noise(height, width, seed)`: RGB uint8, in patches so that classes have regions."""

    def make(height, width, seed=0):
        small = np.random.default_rng(seed).integers(0, 256, (-(-height // 5), -(-width // 5), 3), np.uint8)
        return np.repeat(np.repeat(small, 5, 0), 5, 1)[:height, :width]

    return make
