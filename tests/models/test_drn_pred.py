import keras
import numpy as np
import pytest

import models
from models import layers, weights
from tests.models import test_initial_weights
from tests.parity import fill, test_parity
from tests.tfseg.inference import reference


def image(case, channels):
    """The input of a case, [1, height, width, channels]."""
    shape = (1, case["h"], case["w"], channels)
    return np.random.default_rng(case["seed"]).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("file", reference.files("convlstm_stack_guanfuchen"), ids=lambda file: file["name"])
def test_conv_lstm_is_that_of_the_reference(file):
    """Three layers, of 8, 8 and 3 channels, over four steps of 3 channels."""
    keras.backend.clear_session()
    inputs = keras.Input((None, None, 12))
    maps = [layers.channels(inputs, 3 * i, 3 * i + 3) for i in range(4)]
    for i, filters in enumerate((8, 8, 3)):
        maps, cell = layers.conv_lstm(maps, filters, 3, f"lstm1.cell_list.{i}")
    model = keras.Model(inputs, [keras.layers.Concatenate()(maps), maps[-1], cell])
    weights.load(model, fill.state_dict(file))
    assert sum(np.prod(v.shape) for v in model.trainable_variables) == file["trainable_params"]
    for case in file["cases"]:
        outputs = model(image(case, 12))
        test_parity.check(np.asarray(outputs[file["outputs"].index(case["output"])]), case)


@pytest.mark.parametrize("file", reference.files("drnsegpred_a_18_guanfuchen"), ids=lambda file: file["name"])
def test_logits_are_those_of_the_reference(file):
    keras.backend.clear_session()
    model = models.build("drn_pred", file["num_classes"], (None, None, 76), normalization=None)
    frozen = [
        v for layer in model.layers for v in getattr(layer, "non_trainable_variables", []) if "moving" not in v.name
    ]
    assert sum(np.prod(v.shape) for v in frozen) == file["frozen_params"]
    assert sum(np.prod(v.shape) for v in model.trainable_variables) == file["trainable_params"]
    weights.load(model, fill.state_dict(file))
    for case in file["cases"]:
        test_parity.check(np.asarray(model(image(case, 76))["logits"]), case)


def one_hot(steps, classes, channels):
    """What the network makes of an input of so many channels: a function of it."""
    inputs = keras.Input((None, None, channels))
    return keras.Model(inputs, layers.past_maps(inputs, steps, classes))


def test_a_packed_picture_is_four_maps_of_six_bits():
    # R + 256 G + 65536 B = 1 + 2 * 64 + 0 * 64^2 + 3 * 64^3 = 1 + 128 + 786432 = 786561: 12 * 65536 + 0 * 256 + 129.
    # The second pixel has ones in all bits, 63, which is no class.
    found = np.asarray(one_hot(4, 5, 3)(np.array([[[[129, 0, 12], [255, 255, 255]]]], np.float32)))
    expected = np.zeros((1, 1, 2, 20))
    for step, id_ in enumerate((1, 2, 0, 3)):
        expected[0, 0, 0, 5 * step + id_] = 1
    np.testing.assert_array_equal(found, expected)


def test_ids_as_channels_and_one_hot_maps_are_the_same():
    ids = np.random.default_rng(0).integers(0, 6, (2, 3, 5, 4)).astype(np.float32)  # 5 is no class
    expected = (ids[..., np.newaxis] == np.arange(5)).reshape(2, 3, 5, 20)
    np.testing.assert_array_equal(one_hot(4, 5, 4)(ids), expected)
    np.testing.assert_array_equal(one_hot(4, 5, 20)(expected.astype(np.float32)), expected)
    # Three maps have 8 bits each, so that their ids are the channels of the picture.
    np.testing.assert_array_equal(one_hot(3, 5, 3)(ids[..., :3]), expected[..., :15])


@pytest.mark.parametrize(
    ("spec", "channels", "message"),
    [
        ("drn_pred(steps=9)", 3, "at most 3 classes"),
        ("drn_pred(steps=4)", 7, "Expected an input of 3 channels"),
        ("drn_pred(steps=0)", 3, "1 to 24"),
    ],
)
def test_what_does_not_fit_is_refused(spec, channels, message):
    with pytest.raises(ValueError, match=message):
        models.build(spec, 5, (None, None, channels))


def test_ids_are_not_normalised():
    with pytest.raises(ValueError, match="ids of label maps and no pixels"):
        models.build("drn_pred", 5, normalization="affine(mean=(1.0, 1.0, 1.0))")


def test_it_says_how_many_maps_it_reads():
    assert models.build("drn_pred(steps=2)", 2).steps == 2


def test_it_starts_as_the_reference():
    """drn_pred.py draws the kernels of the trunk and its head from N(0, 0.01), `seg` by its fan out, and no others."""
    keras.utils.set_random_seed(0)
    model = models.build("drn_pred", 2)
    rules = {
        "conv1/kernel": ("normal", 0.01, None),
        "layer5.conv2d_list.3/kernel": ("normal", 0.01, None),
        "seg/kernel": ("normal", (2 / 8) ** 0.5, None),
        "seg/bias": ("constant(0)", 0.0, None),
        # torch's own: uniform within 1 / sqrt(9 * (2 + 128)), which has a deviation of 1 / sqrt(3) of that.
        "lstm1.cell_list.0.conv/kernel": ("torch_default", (9 * 130 * 3) ** -0.5, (9 * 130) ** -0.5),
    }
    found = {variable.path: variable.numpy() for variable in model.variables}
    for path, rule in rules.items():
        assert not test_initial_weights.check(path, found[path], *rule), path
