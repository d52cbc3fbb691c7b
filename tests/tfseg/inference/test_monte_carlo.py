import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import models
from tests.tfseg.inference import reference
from tfseg import inference
from tfseg.inference import monte_carlo

IMAGE = np.random.default_rng(0).integers(0, 256, (2, 9, 12, 3), "uint8")


CASES = [case for file in reference.files("monte_carlo") for case in file["cases"]]


def network(*more, rate=0.5):
    """Batch norm whose statistics are not those of the image, and dropout."""
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(16, 3, padding="same", kernel_initializer=keras.initializers.RandomNormal(seed=0))(inputs)
    x = keras.layers.BatchNormalization(moving_variance_initializer=keras.initializers.Constant(100.0))(x)
    x = keras.layers.Dropout(rate)(x)
    for layer in more:
        x = layer(x)
    return keras.Model(inputs, {"logits": keras.layers.Conv2D(5, 1)(x)})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_statistics_are_those_of_the_reference(case):
    if "samples" in case:
        samples = np.array(case["samples"])
    else:
        scale, shape = re.fullmatch(
            r"softmax\((\S+) \* default_rng\(\d+\)\.standard_normal\(\((.*)\)\)\)", case["inputs"]
        ).groups()
        drawn = float(scale) * np.random.default_rng(case["seed"]).standard_normal([int(n) for n in shape.split(",")])
        samples = np.exp(drawn) / np.exp(drawn).sum(-1, keepdims=True)
    scores = tf.constant(np.log(np.maximum(samples, 1e-30))[:, None], tf.float32)
    for order in (slice(None), slice(None, None, -1)):
        mean, uncertainty = monte_carlo.statistics(
            lambda i, order=order: scores[order][i], len(samples), tf.shape(scores)[1:]
        )
        np.testing.assert_allclose(tf.nn.softmax(mean)[0], case["mean"], rtol=1e-5, atol=1e-7)
        names = {"entropy": "predictive_entropy", "mutual_information": "mutual_information", "variance": "variance"}
        for kind, name in names.items():
            np.testing.assert_allclose(uncertainty[kind][0], case[name], rtol=1e-5, atol=1e-6, err_msg=kind)


def test_only_dropout_is_random():
    """The mean of many samples of a linear network is the network without dropout; batch statistics would be far from it."""
    model = network()
    drawn = monte_carlo.with_dropout(model, seed=0)
    samples = np.stack([drawn(IMAGE, number=i) for i in range(400)])
    assert samples.std(0).min() > 0
    error = samples.std(0) / 400**0.5
    assert (np.abs(samples.mean(0) - model(IMAGE, training=False)["logits"]) < 5 * error).all()


def test_samples_images_and_layers_have_masks_of_their_own():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(
        inputs, {"logits": keras.layers.Concatenate()([keras.layers.Dropout(0.5)(inputs) for _ in "ab"])}
    )
    drawn = monte_carlo.with_dropout(model, seed=0)
    masks = np.stack([drawn(np.ones((2, 8, 8, 3), "float32"), number=i) for i in range(3)]).astype(int)
    rows = masks.reshape(3, 2, 8, 8, 2, 3).transpose(0, 1, 4, 2, 3, 5).reshape(12, -1)
    assert {*np.unique(rows)} == {0, 2}
    assert len({row.tobytes() for row in rows}) == 12  # 3 samples, 2 images, 2 layers


def test_a_shared_layer_has_another_mask_for_each_use():
    inputs, layer = keras.Input((None, None, 3)), keras.layers.Dropout(0.5)
    model = keras.Model(inputs, {"logits": keras.layers.Concatenate()([layer(inputs), layer(inputs)])})
    found = monte_carlo.with_dropout(model, seed=0)(np.ones((1, 8, 8, 3), "float32")).numpy()
    assert (found[..., :3] != found[..., 3:]).any()


def test_it_is_a_function_of_the_seed_and_leaves_the_variables_as_they_are():
    model = network()
    before = [variable.numpy() for variable in model.variables]
    run = inference.build_sampled("whole", model, 4, seed=1)
    scores, uncertainty = run(IMAGE)
    graph = tf.function(run, input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)])
    for _ in range(2):
        again, same = graph(IMAGE)
        np.testing.assert_allclose(again, scores, atol=1e-5)
        np.testing.assert_allclose(same["variance"], uncertainty["variance"], atol=1e-6)
    other, _ = inference.build_sampled("whole", model, 4, seed=2)(IMAGE)
    assert np.abs(other - scores).max() > 0.01
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_the_graph_does_not_grow_with_the_samples():
    model = network()
    sizes = {
        len(tf.function(inference.build_sampled("whole", model, n)).get_concrete_function(IMAGE).graph.get_operations())
        for n in (2, 50)
    }
    assert len(sizes) == 1


@pytest.mark.parametrize("spec", ["sliding_window(size=(6, 7))", "multi_scale(scales=(1.0, 0.5))"])
def test_in_chains_it_samples_the_whole_chain(spec):
    """One sample has neither disagreement nor variance. With more samples, each pass of the chain is one."""
    model = network()
    scores, one = inference.build_sampled(spec, model, 1)(IMAGE)
    assert scores.shape == (2, 9, 12, 5)
    np.testing.assert_allclose(one["mutual_information"], 0, atol=1e-6)
    np.testing.assert_allclose(one["variance"], 0, atol=1e-6)
    _, many = tf.function(inference.build_sampled(spec, model, 8))(IMAGE)
    assert np.min(many["variance"]) > 0


def test_dropout_inside_other_layers_and_networks():
    attention = keras.layers.MultiHeadAttention(1, 4, dropout=0.5)
    inner = keras.Sequential([keras.layers.Conv2D(16, 1), keras.layers.SpatialDropout2D(0.5)])
    inputs = keras.Input((None, None, 16))
    normed = keras.layers.BatchNormalization(moving_variance_initializer=keras.initializers.Constant(100.0))
    graph = keras.Model(inputs, keras.layers.Dropout(0.5)(normed(inputs)))
    for layer in (lambda x: attention(x, x), inner, graph):
        model = network(layer, rate=0.0)
        drawn = monte_carlo.with_dropout(model, seed=0)
        samples = np.stack([drawn(IMAGE, number=i) for i in range(50)])
        assert samples.std(0).max() > 0
    # Of the last one, where batch norm lies inside too: as in test_only_dropout_is_random.
    error = samples.std(0) / 50**0.5 + 1e-6
    assert (np.abs(samples.mean(0) - model(IMAGE, training=False)["logits"]) < 5 * error).all()


def test_dropout_and_batch_norm_in_one_layer_are_refused():
    both = keras.Sequential([keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)], name="both")
    with pytest.raises(ValueError, match=r"Expected dropout and batch norm in layers of their own.*'both'"):
        inference.build_sampled("whole", network(both), 2)


def test_a_network_without_dropout_is_refused():
    for model in (network(rate=0.0), models.build("unet(width=2)", 5)):
        with pytest.raises(ValueError, match="Expected a network with dropout for --monte_carlo"):
            inference.build_sampled("whole", model, 2)


def test_wrong_options_are_reported_before_the_first_image():
    with pytest.raises(ValueError, match="overlap"):
        inference.build_sampled("sliding_window(size=8, overlap=1.0)", network(), 2)


def test_in_replicas():
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice())
    with strategy.scope():
        model = network()
    run = tf.function(lambda x: strategy.run(inference.build_sampled("whole", model, 3), (x,)))
    scores = strategy.experimental_local_results(run(tf.constant(IMAGE))[0])
    assert len(scores) == 2
    np.testing.assert_allclose(scores[0], inference.build_sampled("whole", model, 3)(IMAGE)[0], atol=1e-5)


@pytest.mark.parametrize(("spec", "count"), [("segnet", 6), ("segnet(backbone='vgg19')", 6), ("segnet_basic", 4)])
def test_bayesian_segnet_has_dropout_where_its_paper_has_it(spec, count):
    spec = spec.replace(")", ", dropout=0.5)") if "(" in spec else f"{spec}(dropout=0.5)"
    model = models.build(spec, 11)
    found = monte_carlo.dropouts(model)
    assert [type(layer) for layer in found] == [keras.layers.Dropout] * count  # of single values, not of channels
    behind = {layer._inbound_nodes[0].input_tensors[0].shape[-1] for layer in found}
    # VGG's pools 3, 4, 5 have 256, 512, 512 channels, the decoder's stages 5, 4, 3 end with 512, 256, 128.
    assert behind == ({64} if "basic" in spec else {128, 256, 512})


@pytest.mark.parametrize("rate", [-0.1, 1.0, 5])
def test_impossible_rates_are_refused(rate):
    with pytest.raises(ValueError, match=r"Expected dropout.*in \[0, 1\)"):
        models.build(f"segnet_basic(dropout={rate})", 5)
