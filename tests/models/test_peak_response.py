import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import models
from models import layers
from models.layers import peak_convolution, strided_dilation
from tests.tfseg.inference import reference

CASES = [case for file in reference.files("prm_stimulation") for case in file["cases"]]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['name']}-{case['win_size']}-{case['filter']}")
def test_peaks_and_scores_are_those_of_the_reference(case):
    """The gradient is that of the paper's equation: of the sum in which class c counts c + 1 times."""
    maps = tf.constant(np.array(case["map"])[np.newaxis])
    options = case["win_size"], case["filter"]
    found = np.argwhere(np.moveaxis(layers.peaks(maps, *options)[0].numpy(), -1, 0))
    assert found.tolist() == case["peaks"]
    with tf.GradientTape() as tape:
        tape.watch(maps)
        scores = layers.stimulate(maps, *options)
        total = tf.reduce_sum(scores * tf.range(1, maps.shape[-1] + 1, dtype=maps.dtype))
    np.testing.assert_allclose(scores[0], case["aggregation"], rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(total, maps)[0], case["gradient_of_the_equation"], rtol=1e-6)


def gradient(function, x):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.gradient(y, x).numpy()


def responding(build, size):
    """A network of `build`, a function of the inputs, and the one with the other gradient."""
    inputs = keras.Input((None, None, size))
    model = keras.Model(inputs, {"y": build(inputs)})
    return model, peak_convolution.responding(model, ["y"])


def test_a_convolution_by_hand():
    """Pixels 1 3 2 with a 1x3 kernel (1, -5, 2) and padding.

    x' = 0 2 1, W+ = (1, 0, 2), and the padding of x' is 0: with W+ the results are 2 * 2 = 4, 0 * 1 + 1 * 2 = 2, 2 * 1 = 2.
    Of the gradient (1, 1, 0), divided (1/4, 1/2, 0), pixel 0 gets what the second result takes from it, pixel 1 what the first
    takes, 2/4, and the third, 0, and pixel 2 what the second takes, 2/2: x' * (1/2, 1/2, 1) = (0, 1, 1).
    """
    model, network = responding(lambda x: layers.conv(x, 1, (1, 3), "conv"), 1)
    model.get_layer("conv").set_weights([np.reshape([1.0, -5, 2], (1, 3, 1, 1)), np.float32([7])])
    x = np.reshape(np.float32([1, 3, 2]), (1, 1, 3, 1))
    np.testing.assert_array_equal(network(x)["y"], model(x)["y"])
    found = gradient(lambda x: tf.reduce_sum(network(x)["y"][0, 0, :2]), x)
    np.testing.assert_allclose(found.ravel(), [0, 1, 1], rtol=1e-6)


def test_zeros_of_a_padding_layer_belong_to_the_convolution():
    """With stride 2 the padding is a layer of its own. All pixels are 4 or more, and 4 is the smallest."""
    model, network = responding(lambda x: layers.conv(x, 1, 3, "conv", stride=2, bias=False), 1)
    model.get_layer("conv").set_weights([np.ones((3, 3, 1, 1))])
    x = np.float32([[4, 4, 4, 4], [4, 5, 6, 4], [4, 4, 4, 4], [4, 4, 4, 4]])[np.newaxis, ..., np.newaxis]
    found = gradient(lambda x: network(x)["y"][0, 0, 0, 0], x)[0, ..., 0]
    # Its window holds x' = 1 alone, which gets the whole of it; with zeros as pixels, m would be 0 and all of them would share.
    expected = np.zeros((4, 4))
    expected[1, 1] = 1
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_where_nothing_is_positive_the_gradient_is_0():
    model, network = responding(lambda x: layers.conv(x, 1, 1, "conv"), 1)
    model.get_layer("conv").set_weights([np.full((1, 1, 1, 1), -1.0), np.float32([0])])
    assert not gradient(lambda x: network(x)["y"], np.float32([[[[1], [2]]]])).any()


def test_a_pixel_gets_the_gradient_of_its_normalised_value():
    model, network = responding(lambda x: layers.Affine((1.0,), (4.0,))(x) ** 2, 1)
    x = np.float32([[[[3]]]])
    assert gradient(lambda x: model(x)["y"], x).item() == 2 * 0.5 / 4
    assert gradient(lambda x: network(x)["y"], x).item() == 2 * 0.5


@pytest.mark.parametrize(
    "layer",
    [
        lambda: keras.layers.Conv2D(3, 3, dilation_rate=2, padding="same", use_bias=False),
        lambda: keras.layers.DepthwiseConv2D(3, 2, padding="valid", depth_multiplier=2, use_bias=False),
        lambda: strided_dilation.StridedDilatedDepthwiseConv2D(3, (2, 2), dilation_rate=2, use_bias=False),
    ],
    ids=["dilated", "depthwise", "strided and dilated"],
)
def test_every_kind_of_convolution_is_computed_with_other_kernels(layer):
    x, layer = np.random.default_rng(0).normal(size=(1, 9, 8, 4)).astype(np.float32), layer()
    np.testing.assert_allclose(layer(x), peak_convolution.linear(layer, x, layer.kernel), rtol=1e-5, atol=1e-6)


def test_an_activation_inside_a_convolution_is_refused():
    with pytest.raises(ValueError, match=r"whose activation is a layer of its own\. Received: 'relu'"):
        responding(keras.layers.Conv2D(1, 1, activation="relu"), 1)


def test_outputs_and_a_background_without_a_map():
    """Class maps of twice 8 x 10 cells. Corners are aligned, so the logits there are those of the class maps."""
    keras.utils.set_random_seed(0)
    model = models.build(
        "peak_response(backbone='shufflenet_v2_x0_5', level='c2', factor=2, background=1, features='c3')", 4
    )
    image = np.random.default_rng(0).integers(0, 256, (2, 32, 40, 3)).astype(np.float32)
    found = {name: np.asarray(value) for name, value in model(image).items()}
    assert found["class_maps"].shape == (2, 16, 20, 4)
    assert found["logits"].shape == (2, 32, 40, 4)
    assert found["class_scores"].shape == (2, 4)
    assert found.pop("features").shape == (2, 4, 5, 48)
    assert model.get_layer("classifier.0").kernel.shape[-1] == 3
    for value in found.values():
        assert not value[..., 1].any()
        assert all(value[..., i].any() for i in (0, 2, 3))
    for row, column in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        logits, maps = found["logits"][:, row, column], found["class_maps"][:, row, column]
        np.testing.assert_allclose(logits, maps, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("level='c6'", "Expected level and features of c2, c3, c4, c5"),
        ("features='c1'", "features='c1'"),
        ("factor=0", "a factor of 1 or more"),
        ("background=5", "a train id of 0..4"),
        ("window=2", "Expected an odd window"),
        ("threshold='max'", "threshold 'median', 'mean' or None"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        models.build(f"peak_response(backbone='shufflenet_v2_x0_5', {options})", 5)
