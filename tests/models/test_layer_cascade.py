"""Which stage decides a cell, which pixels a stage learns from, and what a later stage reads."""

import json
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import models
from models import backbones, layer_cascade, layers
from tests import symbolic

SMALL = "layer_cascade(width=0.05, rho={rho})"
SHARED = pathlib.Path(__file__).parents[3] / "shared" / "reference" / "beyond" / "layer_cascade.json"


def cascade(scores, rho):
    """The result of the layers for the scores of three stages: the chosen scores, and the regions that go on."""
    first, second, third = (tf.convert_to_tensor(s, tf.float32) for s in scores)
    left = layer_cascade.Exit(rho[0])(first)
    second = layer_cascade.Chosen()([left, second, first])
    left_2 = layer_cascade.Exit(rho[1])([second, left])
    return (first, second, layer_cascade.Chosen()([left_2, third, second])), (left, left_2)


def two_classes(*probabilities):
    """Scores [1, 1, cells, 2] whose softmax gives the first class these probabilities."""
    p = np.array(probabilities)
    return np.stack([np.log(p), np.log(1 - p)], -1)[None, None].astype(np.float32)


def test_easy_cells_keep_their_stage():
    # Cell 0 leaves at stage 1 (0.95 above 0.9), cell 1 at stage 2 (0.15 is 0.85 of the other class), cell 2 never.
    scores = two_classes(0.95, 0.6, 0.7), two_classes(0.5, 0.15, 0.75), two_classes(0.3, 0.99, 0.2)
    (first, second, third), (left, left_2) = cascade(scores, (0.9, 0.8))
    assert left[0, 0, :, 0].numpy().tolist() == [0, 1, 1]
    assert left_2[0, 0, :, 0].numpy().tolist() == [0, 0, 1]
    for chosen, probabilities in ((first, (0.95, 0.6, 0.7)), (second, (0.95, 0.15, 0.75)), (third, (0.95, 0.15, 0.2))):
        np.testing.assert_allclose(tf.nn.softmax(chosen)[0, 0, :, 0], probabilities, rtol=1e-5)


def test_a_cell_at_rho_stays():
    scores = np.zeros((1, 1, 1, 2), np.float32)  # 0.5 and 0.5, exactly
    assert layer_cascade.Exit(0.5)(scores)[0, 0, 0, 0] == 1
    assert layer_cascade.Exit(0.499)(scores)[0, 0, 0, 0] == 0


def test_nothing_leaves_with_rho_1():
    scores = np.array([[[[1000.0, 0.0]]]], np.float32)  # a probability of 1, which is not above 1
    assert layer_cascade.Exit(1.0)(scores)[0, 0, 0, 0] == 1


def test_what_left_does_not_come_back():
    # Stage 2 would be unsure of a cell that left at stage 1.
    (_, _, third), (_, left_2) = cascade([two_classes(0.95), two_classes(0.5), two_classes(0.3)], (0.9, 0.8))
    assert left_2[0, 0, 0, 0] == 0
    np.testing.assert_allclose(tf.nn.softmax(third)[0, 0, 0, 0], 0.95, rtol=1e-6)


def test_a_stage_learns_from_the_cells_that_reach_it():
    # The cells of test_easy_cells_keep_their_stage, all of the first class: d(cross entropy) / d(its score) is p - 1.
    probabilities = (0.95, 0.6, 0.7), (0.5, 0.15, 0.75), (0.3, 0.99, 0.2)
    scores = [tf.Variable(two_classes(*p)) for p in probabilities]
    with tf.GradientTape() as tape:
        chosen, _ = cascade(scores, (0.9, 0.8))
        loss = -tf.add_n([tf.reduce_sum(tf.nn.log_softmax(s)[..., 0]) for s in chosen])
    first, second, third = (g[0, 0, :, 0] for g in tape.gradient(loss, scores))
    np.testing.assert_allclose(first, [0.95 - 1, 0.6 - 1, 0.7 - 1], rtol=1e-4)  # once each, though chosen three times
    np.testing.assert_allclose(second, [0, 0.15 - 1, 0.75 - 1], rtol=1e-4)
    np.testing.assert_allclose(third, [0, 0, 0.2 - 1], rtol=1e-4)


@pytest.mark.skipif(not SHARED.is_file(), reason=f"{SHARED} is not there")
def test_decisions_shares_and_losses_of_the_reference():
    cases = json.loads(SHARED.read_text())["cascades"]
    assert cases
    for case in cases:
        rng, (h, w, c) = np.random.default_rng(case["seed"]), case["size"]
        factor = {91: 2, 92: 4}[case["seed"]]  # of "inputs"
        scores = [factor * (1 + k) / 2 * rng.standard_normal((h, w, c)) for k in range(3)]
        label = rng.integers(0, c, (h, w))
        label[0, :2] = 255
        chosen, (left, left_2) = cascade([s[None] for s in scores], case["rho"])
        decided = np.asarray(1 + left + left_2)[0, ..., 0]
        assert decided.tolist() == case["decided_by"]
        np.testing.assert_allclose([np.mean(decided == k) for k in (1, 2, 3)], case["shares"], rtol=1e-6)
        assert np.argmax(chosen[-1], -1)[0].tolist() == case["prediction"]
        for stage, expected in enumerate(case["losses"]):
            counted = (decided > stage) & (label != 255)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(label[counted], chosen[stage][0][counted])
            assert counted.sum() == expected["pixels"]
            np.testing.assert_allclose(np.sum(losses), expected["sum"], rtol=1e-5)


@pytest.mark.skipif(not SHARED.is_file(), reason=f"{SHARED} is not there")
def test_region_convolution_of_the_reference():
    cases = json.loads(SHARED.read_text())["region_convolutions"]
    assert cases
    for case in cases:
        rng, (h, w, channels, filters) = np.random.default_rng(case["seed"]), case["size"]
        x, kernel = rng.standard_normal((h, w, channels)), rng.standard_normal((3, 3, channels, filters))
        bias, region = rng.standard_normal(filters), np.array(case["region"], np.float32)
        y = layers.inside(x[None].astype(np.float32), region[None, ..., None])
        convolution = keras.layers.Conv2D(filters, 3, padding="same", dilation_rate=case["dilation"])
        convolution.build(y.shape)
        convolution.set_weights([kernel, bias])
        y = layers.inside(convolution(y), region[None, ..., None])
        np.testing.assert_allclose(y[0], case["output_reading_the_region_only"], rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def network():
    """Narrow, with classifiers far from zero, so that cells leave at both exits."""
    keras.utils.set_random_seed(0)
    model = models.build(SMALL.format(rho=(0.5, 0.6)), 3)
    for stage in (1, 2, 3):
        kernel = model.get_layer(f"stage{stage}.3").kernel
        kernel.assign(keras.random.normal(kernel.shape, stddev=0.5, seed=stage))
    return model


def images(height, width, batch=1):
    return np.random.default_rng(0).integers(0, 256, (batch, height, width, 3)).astype(np.float32)


def with_rho(network, *rho):
    """The same network with other exits."""
    model = models.build(SMALL.format(rho=rho), 3)
    model.set_weights(network.get_weights())
    return model


@pytest.mark.parametrize("size", [(32, 48), (39, 61), (33, 47)])
def test_outputs_have_the_size_of_the_image(network, size):
    outputs = network(images(*size))
    assert {name: y.shape for name, y in outputs.items()} == dict.fromkeys(("logits", "aux_0", "aux_1"), (1, *size, 3))
    assert all(np.isfinite(y).all() and np.std(y) > 0 for y in outputs.values())


def test_shares(network):
    x = images(64, 96, batch=2)
    decided = np.asarray(layer_cascade.stages(network)(x))
    assert decided.shape == (2, 8, 12)
    shares = layer_cascade.shares(network, x)
    np.testing.assert_allclose(shares, [np.sum(decided == stage) / 192 for stage in (1, 2, 3)])
    assert min(shares) > 0
    np.testing.assert_allclose(layer_cascade.shares(with_rho(network, 1, 1), x), [0, 0, 1])
    np.testing.assert_allclose(layer_cascade.shares(with_rho(network, 0, 1), x), [1, 0, 0])
    np.testing.assert_allclose(layer_cascade.shares(with_rho(network, 1, 0), x), [0, 1, 0])


def test_the_first_stage_decides_alone(network):
    outputs = with_rho(network, 0, 0)(images(33, 47))
    np.testing.assert_array_equal(outputs["logits"], outputs["aux_0"])
    np.testing.assert_array_equal(outputs["aux_1"], outputs["aux_0"])


def test_later_stages_read_nothing_of_what_left(network):
    """What a stage gives to the cells that are left does not depend on the features of those that left."""
    # What stage 2 takes: the features behind reduction A, and the scores of the first stage.
    taken = [network.get_layer(name).input for name in ("stage1.0", "exit_1")]
    stage_2 = keras.Model(taken, [network.get_layer(name).output for name in ("exit_1", "stage2.3")])
    features, first = keras.Model(network.input, taken)(images(64, 96))
    left, expected = stage_2([features, first])
    assert 0 < np.mean(left) < 1
    _, scores = stage_2([tf.where(left > 0, features, 100.0), first])
    np.testing.assert_allclose(np.where(left > 0, scores, 0), np.where(left > 0, expected, 0), rtol=1e-4, atol=1e-5)


def test_every_stage_learns(network):
    """With some cells in every stage everything has a gradient; without any a stage has none."""

    def without_gradient(model):
        with tf.GradientTape() as tape:
            outputs = model(images(64, 96, batch=2), training=True)
            loss = tf.add_n([tf.reduce_mean(tf.nn.log_softmax(y)[..., 0]) for y in outputs.values()])
        gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
        return [v.path for v, g in zip(model.trainable_variables, gradients, strict=True) if g is None or not np.any(g)]

    weights = network.get_weights()
    assert not without_gradient(network)
    network.set_weights(weights)
    alone = with_rho(network, 0, 0)
    before = {v.path: v.numpy() for v in alone.non_trainable_variables}
    paths = without_gradient(alone)
    found = {path.split("/")[0].split("_")[0] for path in paths}
    assert {"stage2.3", "stage3.3", "block17", "block8", "conv"} <= found
    assert not {"stage1.0", "stage1.1", "stage1.3", "block35"} & found
    # The moving statistics of a stage without cells do not change either.
    moved = [v.path for v in alone.non_trainable_variables if not np.array_equal(v.numpy(), before[v.path])]
    assert any(path.startswith("stage1.1/") for path in moved)
    assert not [path for path in moved if path.startswith(("stage2.1/", "stage3.1/", "conv_7b_bn/"))]


def test_the_backbone_is_the_published_one():
    """Its layers have their names and shapes, so that published weights find their places."""
    with keras.StatelessScope(initialize_variables=False):
        inputs = keras.Input((None, None, 3))
        published = keras.Model(inputs, backbones.build("inception_resnet_v2", inputs))
    ours = {layer.name: [w.shape for w in layer.weights] for layer in symbolic.build("layer_cascade", 3).layers}
    theirs = {layer.name: [w.shape for w in layer.weights] for layer in published.layers if layer.weights}
    assert {name: ours.get(name) for name in theirs} == theirs


def test_saves_loads_and_exports(network, tmp_path):
    x = images(33, 47)
    expected = network(x)
    network.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(x)["logits"], expected["logits"], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(layer_cascade.stages(loaded)(x), layer_cascade.stages(network)(x))
    module = tf.Module()
    module.kept = [v.value for v in network.variables]
    signature = [tf.TensorSpec((None, None, None, 3), tf.float32)]
    module.serve = tf.function(lambda x: network(x, training=False), input_signature=signature)
    tf.saved_model.save(module, str(tmp_path / "saved"))
    served = tf.saved_model.load(tmp_path / "saved")
    np.testing.assert_allclose(served.serve(x)["logits"], expected["logits"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("rho=0.9", r"Expected rho as two probabilities in 0\.\.1, of the first two stages\. Received: rho=0\.9"),
        ("rho=(0.9, 1.1)", r"Received: rho=\(0\.9, 1\.1\)"),
        ("width=0", r"Expected width above 0 and up to 1\. Received: width=0"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        models.build(f"layer_cascade({options})", 3)
