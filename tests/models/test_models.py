"""The contract of every architecture: each one in `models/` is tested."""

import functools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import models
import tfseg.spec as specs
from tests import symbolic
from tfseg import profile

CLASSES = 5
SIZES = [(32, 48), (39, 61), (33, 47)]
# A classifier's logits have neither height nor width: test_backbones.py tests it.
NAMES = [name for name in models.names() if name != "classifier"]
# Of a network that is tested in seconds: an architecture's default may have more, of its variants none.
DEFAULT_PARAMETERS, PARAMETERS = 60_000_000, 20_000_000
# Their graphs are so large that tracing takes as long as the tests of ten others; tests/parity runs them.
LONG_TO_TRACE = {"mask2former"}


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


def _marked(spec, variants_are_slow=True):
    """Slow are LONG_TO_TRACE, large networks as in tests/parity/test_parity.py, and by default the variants."""
    variant = "(" in spec
    large = max(counts(spec).values(), default=0) > (PARAMETERS if variant else DEFAULT_PARAMETERS)
    slow = large or spec in LONG_TO_TRACE or (variant and variants_are_slow)
    return pytest.param(spec, marks=[pytest.mark.slow] if slow else [])


DEFAULTS = [_marked(name) for name in NAMES]
SPECS = [_marked(spec) for name in NAMES for spec in variants(name)]
# In `make test` a variant is counted and run once. tests/parity compares most of them with their references.
RUN = [_marked(spec, variants_are_slow=False) for name in NAMES for spec in variants(name)]
COUNTED = [spec for name in models.names() for spec in variants(name) if counts(spec)]
# Their pyramids take means of 5x5 pixels and more at 1/64 of the resolution. On smaller maps all means have as many pixels, and
# the norm after them takes away every shift before them. SegFormer's, TopFormer's and SeaFormer's keys, at up to 1/64 of the
# resolution, must be more than one: the softmax over a single key is 1 for any query.
GRADIENT_SIZES = {
    "pidnet": (256, 384),
    "ddrnet": (256, 384),
    "segformer": (64, 96),
    "topformer": (64, 96),
    "seaformer": (128, 192),
}
# A norm that follows takes away these shifts at any size, in the references too. Of PAN's maps with one channel the gradient is
# then exactly 0, elsewhere it is what rounding leaves.
WITHOUT_EFFECT = {
    "bisenet_v2": ["segment.S5_5.bn/beta"],
    "pan": [f"decoder.fpa.{name}.conv/bias" for name in ("down1.1", "down2.1", "down3.1", "down3.2", "conv2", "conv1")],
}
# With module scope, pytest runs all tests of a network one after another, and only one network is in memory at a time.
each = pytest.mark.parametrize("spec", SPECS, scope="module")
each_runs = pytest.mark.parametrize("spec", RUN, scope="module")
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


@pytest.fixture(scope="module")
def outputs(network):
    """size -> the outputs of the network for `images(*size)`, computed once."""
    return functools.cache(lambda size: network(given(network, *size)))


def images(height, width, batch=1, channels=3):
    return np.random.default_rng(0).integers(0, 256, (batch, height, width, channels)).astype(np.float32)


def given(network, *size, **options):
    """Images of a size; mask_propagation sees the flow and a mask too, so its images have more than three channels."""
    return images(*size, **options, channels=network.input.shape[-1])


@each_runs
def test_logits_have_the_size_of_the_input(spec, network, outputs):
    for size in SIZES[-1:] if "(" in spec else SIZES:
        found = outputs(size)
        logits = found["logits"]
        assert network.aux_weights.keys() == {name for name in found if name.startswith("aux_")}
        assert logits.shape == (1, *size, CLASSES)
        assert logits.dtype == "float32"
        assert np.isfinite(logits).all()
        assert np.std(logits) > 0


@each
def test_static_and_dynamic_shapes_agree(spec, network, outputs):
    dynamic, static = network, symbolic.build(spec, CLASSES, (33, 47, None))
    assert [v.shape for v in static.variables] == [v.shape for v in dynamic.variables]
    assert dynamic.output["logits"].shape == (None, None, None, CLASSES)
    assert static.output["logits"].shape == (None, 33, 47, CLASSES)
    found = symbolic.outputs(static, dynamic, given(network, 33, 47))
    _assert_close(found["logits"], outputs((33, 47))["logits"])


@each
def test_every_trainable_variable_has_a_gradient(spec, network):
    model, name = network, specs.parse(spec).name
    size = GRADIENT_SIZES.get(name, (32, 48))
    x, labels = given(model, *size, batch=2), np.random.default_rng(1).integers(0, CLASSES, (2, *size))
    statistics = [(variable, variable.numpy()) for variable in model.non_trainable_variables]
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
    for variable, before in statistics:  # the moving ones have moved
        variable.assign(before)
    assert [path for path in without if path not in WITHOUT_EFFECT.get(name, ())] == []


def _cross_entropy(labels, outputs):
    stride = labels.shape[1] // outputs.shape[1]
    labels = labels[:, ::stride, ::stride][:, : outputs.shape[1], : outputs.shape[2]]
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, outputs))


@pytest.mark.parametrize("spec", COUNTED)
def test_parameters_and_multiply_accumulates_are_those_of_the_reference(spec):
    """Multiply-accumulates at REFERENCE's "input", with the classes of the parity files: 12, a classifier's 1000."""
    expected, macs = counts(spec), reference(spec).get("macs", {}).get(spec)
    found, classes = {}, 1000 if specs.parse(spec).name == "classifier" else 12
    if macs:
        model = symbolic.build(spec, classes, reference(spec)["input"], normalization=None, native_resolution=True)
        np.testing.assert_allclose(profile.multiply_accumulates(model), macs, rtol=1e-6)
        found[classes] = profile.parameters(model)
    for number in expected:
        if number not in found and len(found) < 2:
            found[number] = profile.parameters(symbolic.build(spec, number))
    if len(found) > 1:
        (few, of_few), (more, of_more) = list(found.items())[:2]
        for number in expected:  # every class costs the same
            found.setdefault(number, of_few + (of_more - of_few) * (number - few) // (more - few))
    assert {number: found[number] for number in expected} == expected


def test_multiply_accumulates_are_given_for_counted_networks():
    """The test above reads no others."""
    assert {spec for name in models.names() for spec in reference(name).get("macs", {})} <= set(COUNTED)


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
    known = {"params", "macs", "input", "source", "published", "scores"}
    assert of.keys() <= known, f"{file}: nothing reads {sorted(of.keys() - known)} of REFERENCE"
    module = specs.find("models", name)
    assert (module.__doc__ or "").strip(), f"{file}: expected a docstring with title, authors, venue and URL"


@each_default
def test_mixed_precision_gives_float32_logits(spec, network):
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = symbolic.build(spec, CLASSES)
    finally:
        keras.config.set_dtype_policy(previous)
    assert "bfloat16" in {layer.compute_dtype for layer in model.layers}
    logits = symbolic.outputs(model, network, given(network, 33, 47).astype(np.uint8), training=True)["logits"]
    assert logits.dtype == "float32"
    assert np.isfinite(logits).all()
    assert all(v.dtype == "float32" for v in model.trainable_variables)


@each_default
def test_saves_and_loads(network, outputs, tmp_path):
    network.save(tmp_path / "model.keras")
    with keras.StatelessScope(initialize_variables=False):  # its variables need no values before those of the file
        loaded = keras.models.load_model(tmp_path / "model.keras")(given(network, 33, 47))
    keras.backend.clear_session(free_memory=False)  # as in symbolic.scope
    _assert_close(loaded["logits"], outputs((33, 47))["logits"])


@each_default
def test_exports(network, outputs, tmp_path):
    """As a SavedModel for any size, with all weights in one variable: saving hundreds of them takes longer than the rest."""
    module, count = tf.Module(), len(network.trainable_variables)
    variables = network.trainable_variables + network.non_trainable_variables
    floats = [variable for variable in variables if variable.dtype == "float32"]
    module.weights = tf.Variable(np.concatenate([variable.numpy().ravel() for variable in floats]))
    states = {id(variable): variable.numpy() for variable in variables if variable.dtype != "float32"}  # of dropout

    def serve(x):
        parts = tf.split(module.weights, [math.prod(variable.shape) for variable in floats])
        found = states | {id(v): tf.reshape(part, v.shape) for v, part in zip(floats, parts, strict=True)}
        values = [found[id(variable)] for variable in variables]
        return network.stateless_call(values[:count], values[count:], x, training=False)[0]

    size = tf.TensorSpec(network.input.shape, tf.float32)
    module.serve = tf.function(serve, autograph=False).get_concrete_function(size)  # a function would be traced again
    tf.saved_model.save(module, str(tmp_path / "saved_model"), {"serving_default": module.serve})
    exported = tf.saved_model.load(tmp_path / "saved_model").signatures["serving_default"]
    _assert_close(exported(tf.constant(given(network, 33, 47)))["logits"], outputs((33, 47))["logits"])
    # An export of hundreds of variables uses their names in its graph: each must be a valid one.
    with tf.Graph().as_default():
        for variable in network.variables:
            tf.no_op(variable.value.name.removesuffix(":0"))


def _assert_close(actual, expected):
    """Up to rounding. Logits are large before training, because their inputs are not yet normalised by statistics."""
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4 * np.std(expected))
