"""The contract of every architecture: each one in `models/` is tested."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import models
import tfseg.spec as specs
from tests import symbolic
from tfseg import profile

CLASSES = 5
# A classifier's logits have neither height nor width: test_backbones.py tests it.
NAMES = [name for name in models.names() if name != "classifier"]
# Of a network that is tested in seconds: an architecture's default may have more, of its variants none.
DEFAULT_PARAMETERS, PARAMETERS = 60_000_000, 20_000_000


def reference(spec):
    """REFERENCE of the network's module; {} if it has none, which `test_the_module_has_a_reference` reports."""
    try:
        return getattr(specs.find("models", specs.parse(spec).name), "REFERENCE", {})
    except Exception:  # a file that cannot be imported must not stop the collection of all other networks' tests
        return {}


def counts(spec):
    """{number of classes: parameters} that the reference gives."""
    return reference(spec).get("params", {}).get(spec, {})


def variants(name):
    """The architecture with its default options, and the variants whose size its reference gives."""
    return sorted({name, *reference(name).get("params", {})})


def _marked(spec):
    """Large networks are slow to run; so does tests/parity/test_parity.py."""
    limit = PARAMETERS if "(" in spec else DEFAULT_PARAMETERS
    return pytest.param(spec, marks=[pytest.mark.slow] if max(counts(spec).values(), default=0) > limit else [])


DEFAULTS = [_marked(name) for name in NAMES]
SPECS = [_marked(spec) for name in NAMES for spec in variants(name)]
COUNTED = [spec for name in models.names() for spec in variants(name) if counts(spec)]
# Their pyramids take means of 5x5 pixels and more at 1/64 of the resolution. On smaller maps all means have as many pixels, and
# the norm after them takes away every shift before them.
GRADIENT_SIZES = {"pidnet": (256, 384), "ddrnet": (256, 384)}
# A norm that follows takes away these shifts at any size, in the references too. Of PAN's maps with one channel the gradient is
# then exactly 0, elsewhere it is what rounding leaves.
WITHOUT_EFFECT = {
    "bisenet_v2": ["segment.S5_5.bn/beta"],
    "pan": [f"decoder.fpa.{name}.conv/bias" for name in ("down1.1", "down2.1", "down3.1", "down3.2", "conv2", "conv1")],
}
# With module scope, pytest runs all tests of a network one after another, and only one network is in memory at a time.
each = pytest.mark.parametrize("spec", SPECS, scope="module")
each_default = pytest.mark.parametrize("spec", DEFAULTS, scope="module")


@pytest.fixture(scope="module")
def network(spec):
    """Built once for all tests, which do not change its weights."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    model = models.build(spec, CLASSES)
    # FCN's score layers and the last norms of BiSeNet V2's blocks start at 0, and would hide the layers before them.
    for variable in model.trainable_variables:
        if variable.name in ("kernel", "gamma") and not np.any(variable):
            variable.assign(keras.random.normal(variable.shape, stddev=0.01))
    return model


def images(height, width, batch=1):
    return np.random.default_rng(0).integers(0, 256, (batch, height, width, 3)).astype(np.float32)


@each
@pytest.mark.parametrize("size", [(32, 48), (39, 61), (33, 47)])
def test_logits_have_the_size_of_the_input(network, size):
    model = network
    outputs = model(images(*size))
    logits = outputs["logits"]
    assert model.aux_weights.keys() == {name for name in outputs if name.startswith("aux_")}
    assert logits.shape == (1, *size, CLASSES)
    assert logits.dtype == "float32"
    assert np.isfinite(logits).all()
    assert np.std(logits) > 0


@each
def test_static_and_dynamic_shapes_agree(spec, network):
    dynamic, static = network, models.build(spec, CLASSES, (33, 47, 3))
    static.set_weights(dynamic.get_weights())
    assert dynamic.output["logits"].shape == (None, None, None, CLASSES)
    assert static.output["logits"].shape == (None, 33, 47, CLASSES)
    x = images(33, 47)
    _assert_close(static(x)["logits"], dynamic(x)["logits"])


@each
def test_every_trainable_variable_has_a_gradient(spec, network):
    model, name = network, specs.parse(spec).name
    size = GRADIENT_SIZES.get(name, (32, 48))
    x, labels = images(*size, batch=2), np.random.default_rng(1).integers(0, CLASSES, (2, *size))
    weights = model.get_weights()
    with tf.GradientTape() as tape:
        outputs = model(x, training=True)
        classes = {name: y for name, y in outputs.items() if name == "logits" or name.startswith("aux_")}
        others = [y for name, y in outputs.items() if name not in classes]  # of a boundary head, for example
        terms = [_cross_entropy(labels, y) for y in classes.values()] + [tf.reduce_mean(y**2) for y in others]
        loss = tf.add_n(terms)
    gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    without = [
        variable.path
        for variable, gradient in zip(model.trainable_variables, gradients, strict=True)
        if gradient is None or not np.any(gradient)
    ]
    model.set_weights(weights)  # the moving statistics have moved
    assert [path for path in without if path not in WITHOUT_EFFECT.get(name, ())] == []


def _cross_entropy(labels, outputs):
    stride = labels.shape[1] // outputs.shape[1]
    labels = labels[:, ::stride, ::stride][:, : outputs.shape[1], : outputs.shape[2]]
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, outputs))


@pytest.mark.parametrize("spec", COUNTED)
def test_parameters_are_those_of_the_reference(spec):
    (first, expected), *others = counts(spec).items()
    assert profile.parameters(symbolic.build(spec, first)) == expected
    few = profile.parameters(symbolic.build(spec, CLASSES)) if others else 0  # every class costs the same
    for other, count in others:
        assert (count - few) * (first - CLASSES) == (expected - few) * (other - CLASSES), other


@pytest.mark.parametrize("spec", [spec for name in models.names() for spec in reference(name).get("macs", {})])
def test_multiply_accumulates_are_those_of_the_reference(spec):
    """At REFERENCE's "input", with the classes of the parity files: 12, a classifier's 1000."""
    classes, of = 1000 if specs.parse(spec).name == "classifier" else 12, reference(spec)
    model = symbolic.build(spec, classes, of["input"], normalization=None, native_resolution=True)
    np.testing.assert_allclose(profile.multiply_accumulates(model), of["macs"][spec], rtol=1e-6)


@pytest.mark.parametrize("name", models.names())
def test_the_module_has_a_reference(name):
    of, file = reference(name), f"models/{name}.py"
    assert counts(name), (
        f'{file}: expected REFERENCE = {{"params": {{"{name}": {{classes: parameters}}}}, "source": ..}}'
    )
    assert of.get("source"), f'{file}: expected REFERENCE["source"], where the numbers come from'
    assert ("macs" in of) == ("input" in of), (
        f'{file}: expected "macs" with the "input" that they are counted at, or neither'
    )
    known = {"params", "macs", "input", "source", "published"}
    assert of.keys() <= known, f"{file}: nothing reads {sorted(of.keys() - known)} of REFERENCE"
    module = specs.find("models", name)
    assert (module.__doc__ or "").strip(), f"{file}: expected a docstring with title, authors, venue and URL"


@each_default
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


@each_default
def test_saves_and_loads(network, tmp_path):
    model, x = network, images(33, 47)
    expected = model(x)["logits"]
    model.save(tmp_path / "model.keras")
    _assert_close(keras.models.load_model(tmp_path / "model.keras")(x)["logits"], expected)


@each_default
def test_exports(network, tmp_path):
    model, module = network, tf.Module()
    module.variables_of_the_model = [variable.value for variable in model.variables]
    module.serve = tf.function(
        lambda x: model(x, training=False), input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32)]
    )
    tf.saved_model.save(module, str(tmp_path / "saved_model"))
    exported = tf.saved_model.load(tmp_path / "saved_model")
    x = images(33, 47)
    _assert_close(exported.serve(x)["logits"], model(x)["logits"])


def _assert_close(actual, expected):
    """Up to rounding. Logits are large before training, because their inputs are not yet normalised by statistics."""
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4 * np.std(expected))
