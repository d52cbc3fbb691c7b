import keras
import numpy as np
import pytest
import tensorflow as tf

import models
from models import layers
from tfseg import inference, inference_graph

RANDOM = np.random.default_rng(0)


def disturbed(model):
    """The same model with batch norms that are not the identity, as after training."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([RANDOM.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    return model


def norms(model):
    return [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]


def logits(model, image):
    return np.asarray(model(image, training=False)["logits"])


KINDS = {
    "conv": lambda x: keras.layers.Conv2D(4, 3, padding="same", use_bias=False)(x),
    "with bias": lambda x: keras.layers.Conv2D(4, 3, strides=2, bias_initializer="ones")(x),
    "dilated": lambda x: layers.conv(x, 4, 3, "dilated", dilation=2, bias=False),
    "grouped": lambda x: layers.conv(layers.conv(x, 4, 1, "four"), 4, 3, "grouped", groups=2, bias=False),
    "depthwise": lambda x: layers.depthwise_conv(x, 3, "depthwise", multiplier=2, bias=False),
    "strided and dilated": lambda x: layers.depthwise_conv(x, 3, "both", stride=2, dilation=2, bias=False),
    "transposed": lambda x: layers.transposed_conv(x, 4, 3, "up", bias=False),
    "transposed, cropped": lambda x: layers.transposed_conv(x, 4, 3, "up", padding=1, output_padding=1, bias=True),
    "dense": lambda x: keras.layers.Dense(4, use_bias=False)(x),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}])
def test_a_norm_behind_a_convolution_is_folded(kind, options):
    inputs = keras.Input((None, None, 3), name="image")
    x = layers.batch_norm(KINDS[kind](inputs), "norm", **options)
    model = disturbed(keras.Model(inputs, {"logits": keras.layers.ReLU()(x)}))
    simple = inference_graph.simplified(model)
    assert len(norms(model)) == 1
    assert norms(simple) == []
    image = RANDOM.normal(size=(2, 9, 10, 3)).astype(np.float32)
    np.testing.assert_allclose(logits(simple, image), logits(model, image), rtol=1e-5, atol=1e-5)


def test_other_norms_stay():
    """One before its convolution, one of a sum, one of a convolution that is read twice or has an activation."""
    inputs = keras.Input((8, 8, 3), name="image")
    before = layers.conv(layers.batch_norm(inputs, "first"), 3, 3, "behind", bias=False)
    summed = layers.batch_norm(before + inputs, "sum")
    twice = layers.conv(summed, 3, 1, "twice", bias=False)
    both = layers.batch_norm(twice, "twice_norm") + twice
    active = keras.layers.Conv2D(3, 1, activation="relu")(both)
    shared = keras.layers.Conv2D(3, 1, use_bias=False)
    x = layers.batch_norm(shared(layers.batch_norm(active, "active")), "shared") + shared(active)
    model = disturbed(keras.Model(inputs, {"logits": x}))
    simple = inference_graph.simplified(model)
    assert [layer.name for layer in norms(simple)] == ["first", "sum", "twice_norm", "active", "shared"]
    image = RANDOM.normal(size=(1, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(logits(simple, image), logits(model, image), rtol=1e-5, atol=1e-5)


def test_half_precision_is_not_folded():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        inputs = keras.Input((8, 8, 3), name="image")
        x = layers.batch_norm(layers.conv(inputs, 4, 3, "conv", bias=False), "norm")
        model = keras.Model(inputs, {"logits": keras.layers.Activation("linear", dtype="float32")(x)})
    finally:
        keras.config.set_dtype_policy("float32")
    simple = inference_graph.simplified(disturbed(model))
    assert len(norms(simple)) == 1
    image = RANDOM.normal(size=(1, 8, 8, 3)).astype(np.float32)
    np.testing.assert_array_equal(logits(simple, image), logits(model, image))
    np.testing.assert_array_equal(logits(inference_graph.Frozen(simple), image), logits(model, image))


def test_the_network_is_left_as_it_was_and_training_parts_are_gone():
    """BiSeNet has auxiliary heads, batch norms in all of its convolutions and, with the option, dropout."""
    model = disturbed(models.build("bisenet", 5))
    image = RANDOM.integers(0, 256, (1, 33, 47, 3), np.uint8)
    expected = logits(model, image)
    count = len(model.weights)
    simple = inference_graph.simplified(model)
    assert simple.output_names == ["logits"]
    assert {layer.name for layer in simple.layers} < {layer.name for layer in model.layers} | {"image"}
    assert len(norms(simple)) < len(norms(model)) / 10
    np.testing.assert_allclose(logits(simple, image), expected, atol=1e-4 * np.std(expected), rtol=1e-4)
    assert len(model.weights) == count
    np.testing.assert_array_equal(logits(model, image), expected)


def test_dropout_is_gone():
    inputs = keras.Input((8, 8, 3), name="image")
    x = layers.dropout(layers.spatial_dropout(inputs, 0.5), 0.5)
    x = layers.stochastic_depth(x, 0.5) if hasattr(layers, "stochastic_depth") else x
    simple = inference_graph.simplified(keras.Model(inputs, {"logits": x + inputs}))
    assert not any(isinstance(layer, inference_graph.ONLY_IN_TRAINING) for layer in simple.layers)
    np.testing.assert_array_equal(logits(simple, np.ones((1, 8, 8, 3), np.float32)), np.full((1, 8, 8, 3), 2))


@pytest.mark.parametrize(
    "spec", ["whole", "sliding_window(size=(64, 64)) | multi_scale(scales=(0.75, 1.0), flip=True)"]
)
def test_a_frozen_network_has_no_variables(spec):
    model = disturbed(models.build("unet(width=2)", 3))
    frozen = inference_graph.Frozen(model)
    scores = inference.build(spec, frozen)
    concrete = tf.function(scores).get_concrete_function(tf.TensorSpec([None, None, None, 3], tf.uint8))
    assert concrete.variables == ()
    assert len(concrete.captured_inputs) == 0
    image = RANDOM.integers(0, 256, (1, 80, 96, 3), np.uint8)
    expected = inference.build(spec, model)(image)
    np.testing.assert_allclose(concrete(tf.constant(image)), expected, rtol=1e-4, atol=1e-4)
    # The weights are those of the moment when it was made.
    model.set_weights([w + 1 for w in model.get_weights()])
    np.testing.assert_allclose(concrete(tf.constant(image)), expected, rtol=1e-4, atol=1e-4)
