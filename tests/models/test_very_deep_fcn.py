"""Parts that only very_deep_fcn has: simulating a high resolution, and dropout in the last residual blocks."""

import keras
import numpy as np
import pytest

import models


def test_simulated_scores_are_those_of_the_shifted_image():
    options = {"normalization": None, "native_resolution": True}
    plain = models.build('very_deep_fcn(backbone="resnet18")', 3, **options)
    simulated = models.build('very_deep_fcn(backbone="resnet18", simulated_steps=2)', 3, **options)
    simulated.set_weights(plain.get_weights())
    x = np.random.default_rng(0).standard_normal((1, 32, 40, 3)).astype(np.float32)
    scores = keras.Model(simulated.input, simulated.get_layer("interleaved").output)(x)
    assert scores.shape == (1, 8, 10, 3)
    # Scores at odd rows and columns see the image 2 pixels further down and to the right.
    moved = np.pad(x, ((0, 0), (0, 2), (0, 2), (0, 0)))[:, 2:, 2:]
    expected = keras.Model(plain.input, plain.get_layer("classifier").output)(moved)
    np.testing.assert_allclose(scores[:, 1::2, 1::2], expected, rtol=1e-4, atol=1e-5)
    assert simulated(x)["logits"].shape == (1, 32, 40, 3)


def test_dropout_is_in_the_last_stage():
    def rates(spec):
        layers = models.build(spec, 3).layers
        return [layer.rate for layer in layers if type(layer) is keras.layers.Dropout]

    assert rates('very_deep_fcn(backbone="resnet50")') == [0.5, 0.5, 0.5]
    assert rates('very_deep_fcn(backbone="resnet18", dropout=0.3)') == [0.3, 0.3]
    assert rates('very_deep_fcn(backbone="resnet18", dropout=0)') == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ('backbone="vgg16"', r"Expected a backbone of the ResNet family: resnet18, .*Received: backbone='vgg16'"),
        ("dropout=1.0", r"Expected dropout of at least 0 and below 1\. Received: dropout=1\.0"),
        ("simulated_steps=3", r"Expected simulated_steps that divide output_stride=8\. Received: simulated_steps=3"),
        ("output_stride=4", "Expected output_stride 8, 16 or 32"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        models.build(f"very_deep_fcn({options})", 3)
