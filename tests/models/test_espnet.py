"""Parts that the parity files do not cover: few classes, the sizes of ESPNet-C, and training in two stages."""

import keras
import numpy as np
import pytest

import models
from models import weights
from tests import symbolic
from tfseg import profile


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("espnet(p=0)", r"Expected p and q of at least 1\. Received: p=0, q=8\."),
        ("espnet(skip_channels=20)", r"Expected skip_channels 16 or 19\. Received: skip_channels=20\."),
    ],
)
def test_refuses(spec, message):
    with pytest.raises(ValueError, match=message):
        models.build(spec, 5)


# The authors' counts for 20 classes, whose decoder grows with their square; test_models.py expects linear growth.
@pytest.mark.parametrize(("spec", "expected"), [("espnet", 364_569), ("espnet(skip_channels=19)", 365_109)])
def test_parameters_of_twenty_classes(spec, expected):
    assert profile.parameters(symbolic.build(spec, 20)) == expected


# With fewer than five classes, a fifth of them is 0; the decoder's pyramid then has a branch for every class.
@pytest.mark.parametrize(
    ("classes", "widths"), [(1, [1]), (2, [1, 1]), (4, [1] * 4), (5, [1] * 5), (12, [4, 2, 2, 2, 2])]
)
def test_branches_of_the_decoder(classes, widths):
    model = models.build("espnet(p=1, q=1)", classes)
    names = [f"combine_l2_l3.1.d{2**i}.conv" for i in range(len(widths))]
    assert [model.get_layer(name).filters for name in names] == widths
    assert model(np.zeros((1, 16, 24, 3), np.float32))["logits"].shape == (1, 16, 24, classes)


def test_the_encoder_takes_any_size():
    """ESPNet-C's own logits are those of the rounded-up eighth: 73 x 105 become 37 x 53, 19 x 27, 10 x 14."""
    x = np.random.default_rng(0).integers(0, 256, (1, 73, 105, 3)).astype(np.float32)
    native = models.build("espnet(p=1, q=1, decoder=False)", 5, native_resolution=True)
    model = models.build("espnet(p=1, q=1, decoder=False)", 5)
    model.set_weights(native.get_weights())
    eighth = native(x)["logits"]
    assert eighth.shape == (1, 10, 14, 5)
    resized = keras.ops.image.resize(eighth, (73, 105), "bilinear")  # on the half-pixel grid, like PyTorch's default
    np.testing.assert_allclose(model(x)["logits"], resized, rtol=1e-4, atol=1e-5)


def test_the_decoder_is_trained_from_the_encoder():
    """The names of ESPNet-C's layers are those of ESPNet's encoder, so --init_from takes all of them."""
    encoder, whole = models.build("espnet(decoder=False)", 5), models.build("espnet", 5)
    ours = {layer.name: [v.shape for v in weights.variables(layer)] for layer in weights.layers_with_variables(encoder)}
    theirs = {layer.name: [v.shape for v in weights.variables(layer)] for layer in weights.layers_with_variables(whole)}
    assert ours.items() <= theirs.items()
    assert all(name.startswith("encoder.") for name in ours)
