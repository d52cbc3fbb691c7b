"""What every architecture promises, whichever file it lies in."""

import functools
import importlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import models

CLASSES = 5


def _module(name):
    return importlib.import_module(f"models.{name}")


def _counts(name):
    """{spec: {classes: parameters}} of a module's REFERENCE; a module without one fails its own test, below."""
    try:
        return _module(name).REFERENCE["params"]
    except Exception:  # Of a file that cannot be imported too: what is collected here are all architectures' tests.
        return {}


# A classifier's logits have neither height nor width: test_backbones.py tests it.
NAMES = [name for name in models.names() if name != "classifier"]
# Of a network that is tested in seconds: an architecture's default may have more, of its variants none.
DEFAULT_PARAMETERS, PARAMETERS = 60_000_000, 20_000_000


def _marked(spec):
    """Large networks are slow; so does tests/parity/test_parity.py."""
    name = spec.partition("(")[0]
    counts = _counts(name).get(spec, {})
    limit = DEFAULT_PARAMETERS if spec == name else PARAMETERS
    return pytest.param(spec, marks=[pytest.mark.slow] if max(counts.values(), default=0) > limit else [])


# Every architecture with its default options, and the variants whose size its reference gives.
DEFAULTS = [_marked(name) for name in NAMES]
SPECS = [_marked(spec) for name in NAMES for spec in sorted({name, *_counts(name)})]


@functools.cache
def network(spec):
    """Built once for all tests, which leave its weights as they are."""
    keras.utils.set_random_seed(0)
    return models.build(spec, CLASSES)


def images(height, width, batch=1):
    return np.random.default_rng(0).integers(0, 256, (batch, height, width, 3)).astype(np.float32)


@pytest.mark.parametrize("name", models.names())
def test_has_a_reference(name):
    reference = getattr(_module(name), "REFERENCE", None)
    assert reference, (
        f"models/{name}.py needs REFERENCE: what its authors' implementation counts, and where that is found."
    )
    assert reference["source"], f"REFERENCE of models/{name}.py needs `source`: where its numbers are found."
    for spec, counts in reference["params"].items():
        assert spec.partition("(")[0] == name, (
            f"REFERENCE of models/{name}.py counts {spec!r}, which is another network."
        )
        assert all(count > 0 for count in counts.values()), f"REFERENCE of models/{name}.py: {spec!r}: {counts}"


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("size", [(32, 48), (39, 61), (33, 47)])
def test_logits_have_the_size_of_the_input(spec, size):
    model = network(spec)
    outputs = model(images(*size))
    logits = outputs["logits"]
    assert model.aux_weights.keys() == outputs.keys() - {"logits"}
    assert logits.shape == (1, *size, CLASSES)
    assert logits.dtype == "float32"
    assert np.isfinite(logits).all()
    assert np.std(logits) > 0


@pytest.mark.parametrize("spec", SPECS)
def test_static_and_dynamic_shapes_agree(spec):
    dynamic, static = network(spec), models.build(spec, CLASSES, (33, 47, 3))
    static.set_weights(dynamic.get_weights())
    assert dynamic.output["logits"].shape == (None, None, None, CLASSES)
    assert static.output["logits"].shape == (None, 33, 47, CLASSES)
    x = images(33, 47)
    _assert_close(static(x)["logits"], dynamic(x)["logits"])


@pytest.mark.parametrize("spec", SPECS)
def test_every_trainable_variable_has_a_gradient(spec):
    model = network(spec)
    x, labels = images(32, 48, batch=2), np.random.default_rng(1).integers(0, CLASSES, (2, 32, 48))
    weights = model.get_weights()
    with tf.GradientTape() as tape:
        outputs = model(x, training=True)
        loss = tf.add_n([_cross_entropy(labels, y) for y in outputs.values()])
    gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    without = [
        variable.path
        for variable, gradient in zip(model.trainable_variables, gradients, strict=True)
        if gradient is None or not np.any(gradient)
    ]
    model.set_weights(weights)  # the moving statistics have moved
    assert not without


def _cross_entropy(labels, outputs):
    stride = labels.shape[1] // outputs.shape[1]
    labels = labels[:, ::stride, ::stride][:, : outputs.shape[1], : outputs.shape[2]]
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, outputs))


@pytest.mark.parametrize("spec", SPECS)
def test_parameters_are_those_of_the_reference(spec):
    counts = dict(_counts(spec.partition("(")[0]).get(spec, {}))
    if not counts:
        pytest.skip("no reference counts this variant")
    num_classes, expected = counts.popitem()
    assert _parameters(models.build(spec, num_classes)) == expected
    few = _parameters(network(spec))  # every class costs the same
    for other, count in counts.items():
        assert (count - few) * (num_classes - CLASSES) == (expected - few) * (other - CLASSES), other


def _parameters(model):
    return int(sum(np.prod(v.shape) for v in model.trainable_variables))


@pytest.mark.parametrize("spec", DEFAULTS)
def test_mixed_precision_gives_float32_logits(spec):
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = models.build(spec, CLASSES)
    finally:
        keras.config.set_dtype_policy(previous)
    logits = model(images(33, 47).astype(np.uint8), training=True)["logits"]
    assert logits.dtype == "float32"
    assert np.isfinite(logits).all()
    assert all(v.dtype == "float32" for v in model.trainable_variables)


@pytest.mark.parametrize("spec", DEFAULTS)
def test_saves_and_loads(spec, tmp_path):
    model, x = network(spec), images(33, 47)
    expected = model(x)["logits"]
    model.save(tmp_path / "model.keras")
    _assert_close(keras.models.load_model(tmp_path / "model.keras")(x)["logits"], expected)


@pytest.mark.parametrize("spec", DEFAULTS)
def test_exports(spec, tmp_path):
    model, module = network(spec), tf.Module()
    module.variables_of_the_model = [variable.value for variable in model.variables]
    module.serve = tf.function(
        lambda x: model(x, training=False), input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32)]
    )
    tf.saved_model.save(module, str(tmp_path / "saved_model"))
    exported = tf.saved_model.load(tmp_path / "saved_model")
    x = images(33, 47)
    _assert_close(exported.serve(x)["logits"], model(x)["logits"])


def _assert_close(actual, expected):
    """To rounding, of logits that are large before training: their inputs were never normalised by statistics."""
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4 * np.std(expected))
