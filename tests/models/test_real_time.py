"""The convolutional real-time networks: their options and the heads that only training needs."""

import keras
import numpy as np
import pytest

import models
from tests import symbolic
from tests.parity import fill
from tfseg import profile


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ('pidnet(variant="xl")', r"Expected variant: s, m, l\. Received: variant='xl'\."),
        ('ddrnet(variant="23-slim")', r"Expected variant: 23_slim, 23, 39\. Received: variant='23-slim'\."),
        ("stdc(variant=3)", r"Expected variant 1 or 2\. Received: variant=3\."),
        ('pp_liteseg(variant="l")', r"Expected variant: t, b\. Received: variant='l'\."),
        ('fast_scnn(source="authors")', r"Expected source: tramac, mmseg\. Received: source='authors'\."),
    ],
)
def test_refuses(spec, message):
    with pytest.raises(ValueError, match=message):
        models.build(spec, 5)


@pytest.mark.parametrize(
    ("name", "heads", "extra"),
    [
        ("pidnet", {"aux_0": 0.4}, "boundary"),
        ("ddrnet", {"aux_0": 0.4}, ""),
        ("stdc", {"aux_0": 1, "aux_1": 1}, "detail"),
    ],
)
def test_heads_that_only_training_needs(name, heads, extra):
    model = symbolic.build(name, 5, (64, 96, 3))
    assert model.aux_weights == heads
    assert model.output.keys() == {"logits", *heads, *filter(None, [extra])}
    if extra:
        assert model.output[extra].shape == (None, 8, 12, 1)
    assert symbolic.build(f"{name}(auxiliary=False)", 5).output.keys() == {"logits"}


def test_without_the_heads_the_logits_are_the_same():
    x = np.random.default_rng(0).integers(0, 256, (1, 33, 47, 3)).astype("float32")
    whole, bare = models.build("pidnet", 3), models.build("pidnet(auxiliary=False)", 3)
    values = {v.path: v for v in whole.variables}
    for v in bare.variables:
        v.assign(values[v.path])
    np.testing.assert_array_equal(bare(x)["logits"], whole(x)["logits"])


def test_stdc_lacks_three_heads_that_the_reference_runs():
    """They are at 1/2, 1/4 and 1/16 of 64 x 96, each a 3x3 of 32, 64 or 512 channels to 64, and a 1x1 to 1."""
    model = symbolic.build("stdc", 12, (64, 96, 3), normalization=None)
    ours = profile.multiply_accumulates(keras.Model(model.inputs, list(model.output.values())))
    heads = sum(h * w * (9 * c * 64 + 64) for h, w, c in ((32, 48, 32), (16, 24, 64), (4, 6, 512)))
    reference = fill.read(fill.FOLDER / "stdc1_michaelfan.json.gz")["gmacs"]
    np.testing.assert_allclose((ours + heads) / 1e9, reference, rtol=1e-5)


@pytest.mark.parametrize(
    ("spec", "deviations"),
    [
        # kaiming_normal_ of fan_out: sqrt(2 / (9 taps * 128 outputs)).
        ("pidnet", {"layer3.0.conv1": (2 / (9 * 128)) ** 0.5}),
        # The head kaiming_normal_ with a=1, which is sqrt(1 / inputs); the backbone of fan_out.
        ("stdc", {"conv_out.conv.conv": (1 / (9 * 256)) ** 0.5, "features.3.conv_list.1.conv": (2 / (9 * 64)) ** 0.5}),
        # PyTorch's own is uniform within 1 / sqrt(inputs); mmsegmentation's classes are normal with 0.01.
        ("fast_scnn", {"classifier.conv.1": (1 / 128 / 3) ** 0.5}),
        ('fast_scnn(source="mmseg")', {"classifier.conv.1": 0.01}),
    ],
)
def test_initial_weights_are_the_authors(spec, deviations):
    keras.utils.set_random_seed(0)
    model = models.build(spec, 20)
    for name, deviation in deviations.items():
        np.testing.assert_allclose(np.std(model.get_layer(name).kernel), deviation, rtol=0.05, err_msg=name)
