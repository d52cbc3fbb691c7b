"""The two streams of mask propagation: the reference's numbers, and what the six channels are."""

import re

import keras
import numpy as np
import pytest

import models
from input_pipeline import pairs
from models import weights
from tests import symbolic
from tests.parity import fill, test_parity
from tests.tfseg.inference import reference

AUTHORS = 'mask_propagation(backbone="resnet101", width=512)'
FILES = reference.files("vsreid_mp2s")


def inputs(case):
    """By the file's rule: BGR less its mean, the flow in pixels, the mask 0..1."""
    rng, size = np.random.default_rng(case["seed"]), (1, case["h"], case["w"])
    image = rng.uniform(0, 255, (*size, 3)) - (104, 117, 123)
    flow = 3 * rng.standard_normal((*size, 2))
    return np.concatenate([image, flow, rng.uniform(0, 1, (*size, 1))], -1).astype(np.float32)


@pytest.mark.slow  # 203 million parameters
@pytest.mark.parametrize("file", FILES, ids=lambda file: file["name"])
def test_the_logits_are_those_of_the_reference(file):
    keras.backend.clear_session()
    model = models.build(AUTHORS, file["num_classes"], normalization=None, native_resolution=True)
    weights.load(model, fill.state_dict(file))
    assert sum(np.prod(v.shape) for v in model.trainable_variables) == file["trainable_params"]
    for case in file["cases"]:
        test_parity.check(np.asarray(model(inputs(case))["logits"]), case)


def test_the_small_network_has_the_same_modules_and_takes_what_the_reference_takes():
    model = symbolic.build("mask_propagation", 2, (33, 47, None))
    modules = {key.rpartition(".")[0] for key, *_ in FILES[0]["state"]}
    ours = {layer.name for layer in weights.layers_with_variables(model)}
    assert ours <= modules
    # The reference's third and later blocks and third convolutions are all that is missing.
    assert all(re.search(r"layer\d\.([2-9]|1\d|2\d)\.|\.(conv|bn)3$", name) for name in modules - ours)
    assert model.output["features"].shape == (None, 5, 6, 512)
    # RGB 1, 2, 3; one pixel to the left and two down, as pairs.py and tracking write them; a mask of 0.2.
    left, down = (pairs.FLOW_ZERO + pairs.FLOW_UNIT * pixels for pixels in (-1, 2))
    pixel = np.array([1, 2, 3, left, down, 51], np.float32)
    normalized = model.get_layer("normalization")(pixel[np.newaxis, np.newaxis, np.newaxis])
    np.testing.assert_allclose(normalized[0, 0, 0], [3 - 104, 2 - 117, 1 - 123, -1, 2, 0.2], rtol=1e-6)


def test_an_image_alone_is_refused():
    with pytest.raises(
        ValueError, match=r"Expected 6 channels for mask_propagation.*Received: input_shape=\(None, None, 3\)"
    ):
        models.build("mask_propagation", 2, (None, None, 3))
    with pytest.raises(ValueError, match=r"Expected a ResNet: resnet18,.*Received: backbone='vgg16'"):
        models.build('mask_propagation(backbone="vgg16")', 2)
