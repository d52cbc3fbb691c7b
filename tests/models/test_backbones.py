"""The contract of every backbone. Without -m slow, only the first one of each family is tested."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import models
import tfseg.spec as specs
from models import backbones
from models.backbones import _distance
from models.layers.residual import StochasticDepth
from tests import symbolic
from tfseg import profile

FAMILIES = [specs.find("models.backbones", name) for name in specs.names("models.backbones")]
BACKBONES = [
    pytest.param(variant, marks=[pytest.mark.slow] if i else [])
    for family in FAMILIES
    for i, variant in enumerate(getattr(family, "VARIANTS", {}))  # test_build.py tests what a family declares
]
COUNTED = [variant for family in FAMILIES for variant in getattr(family, "REFERENCE", {})]
SIZES = ((96, 96), (75, 107))
# Blocks as the papers' tables count them, and one for what is before the first of them.
FURTHEST = {
    "resnet18": 2 + 2 + 2 + 2 + 1,
    "convnext_tiny": 1 + 1 + 9 // 3 + 1 + 1,  # three blocks of the third stage count as one
    "densenet121": 6 + 12 + 24 + 16 + 1,
    "dinov2_small": 12 + 1,
    "efficientnet_b0": 1 + 2 + 2 + 3 + 3 + 4 + 1 + 1,
    "inception_v3": 5 + 3 + 1 + 4 + 1 + 2,  # its first convolution is the first block
    "mit_b0": 2 + 2 + 2 + 2 + 1,
    "mobilenet_v1": 13 + 1,
    "mobilenet_v2": 17 + 1,
    "shufflenet_v2_x0_5": 4 + 8 + 4 + 1,
    "swin_tiny": 2 + 2 + 6 + 2 + 1,
    "vit_small_patch16": 12 + 1,
    "xception": 14,
}


@pytest.fixture(scope="module", params=BACKBONES)
def spec(request):
    """A fixture of the module, so that all tests of a backbone follow each other."""
    return request.param


@pytest.fixture(scope="module")
def features(spec):
    """The feature maps of a backbone, as a model; tests do not change its weights."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None, None, 3))
    return keras.Model(inputs, backbones.build(spec, inputs))


def image(height, width, batch=1):
    return np.random.default_rng(0).standard_normal((batch, height, width, 3)).astype(np.float32)


def test_feature_maps_are_those_declared(spec, features):
    channels, strides = backbones.channels(spec), backbones.strides(spec)
    _, family = backbones.find(spec)
    missing = 5 if getattr(family, "UNPADDED", False) else 2
    for height, width in SIZES:
        outputs = features(image(height, width))
        assert list(outputs) == ["c1", "c2", "c3", "c4", "c5"]
        for level, x in outputs.items():
            assert x.shape[-1] == channels[level]
            # Families round up or down at odd sizes, and with and without padding.
            np.testing.assert_allclose(x.shape[1:3], [height / strides[level], width / strides[level]], atol=missing)
            assert np.isfinite(x).all()
            assert np.std(x) > 0


def test_distances_from_the_heads(spec, features):
    """Of the blocks none is left out."""
    found = _distance.distances(features.layers, getattr(backbones.find(spec)[1], "block_of", None))
    assert list(found) == [layer.name for layer in features.layers if layer.weights]
    values = list(found.values())
    assert values[0] == max(values) == FURTHEST.get(spec, max(values))
    assert set(values) - {0} == set(range(1, max(values) + 1))
    assert max(values) >= 5


def test_dilation_keeps_the_function(spec, features):
    """Every second, or fourth, pixel of a dilated run is the strided run's.

    But for squeeze and excitation: the mean over all pixels is not that over every fourth. So its gates are held constant.
    """
    for layer in features.layers:
        if layer.name.endswith(".fc2"):
            layer.kernel.assign(np.zeros(layer.kernel.shape))
    _, family = backbones.find(spec)
    unpadded = getattr(family, "UNPADDED", False)
    x, weights = image(*((160, 192) if unpadded else (64, 96))), features.get_weights()
    expected = features(x)["c5"]
    for output_stride in (8, 16):
        inputs = keras.Input((None, None, 3))
        try:
            dilated = keras.Model(inputs, backbones.build(spec, inputs, output_stride))
        except ValueError as error:  # a family that cannot says so
            assert "output_stride" in str(error)  # noqa: PT017
            assert output_stride not in backbones.output_strides(spec)
            continue
        assert output_stride in backbones.output_strides(spec)
        dilated.set_weights(weights)
        outputs, strides = dilated(x), backbones.strides(spec, output_stride)
        if not unpadded:
            for level, y in outputs.items():  # a pool that rounds up gives one more
                np.testing.assert_allclose(y.shape[1:3], [64 / strides[level], 96 / strides[level]], atol=1)
        if not getattr(family, "DILATION_KEEPS_FUNCTION", True):
            continue
        step = backbones.strides(spec)["c5"] // strides["c5"]
        # Without padding, the two maps end at different pixels of the image, so only the inner part is the same.
        height, width = (n - unpadded for n in expected.shape[1:3])
        actual = outputs["c5"][:, ::step, ::step][:, :height, :width]
        np.testing.assert_allclose(actual, expected[:, :height, :width], rtol=1e-4, atol=1e-4 * np.std(expected))


def test_every_trainable_variable_has_a_gradient(spec):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, backbones.classify(spec, inputs, 7))
    for layer in model.layers:  # which could drop a block for both images
        if isinstance(layer, StochasticDepth):
            layer.rate = 0.0
    with tf.GradientTape() as tape:
        logits = model(image(96, 96, batch=2), training=True)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits([1, 4], logits))
    gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    without = [
        variable.path
        for variable, gradient in zip(model.trainable_variables, gradients, strict=True)
        if gradient is None or not np.any(gradient)
    ]
    assert not without


@pytest.mark.parametrize("family", FAMILIES, ids=[family.__name__.rpartition(".")[2] for family in FAMILIES])
def test_the_family_has_what_backbones_need(family):
    assert (family.__doc__ or "").strip(), f"{family.__name__}: expected a docstring with title, authors, venue and URL"
    for name in ("build", "channels", "head"):
        assert callable(getattr(family, name, None)), f"{family.__name__}: expected a function {name}"
    for table in ("REFERENCE", "WEIGHTS"):
        unknown = getattr(family, table, {}).keys() - family.VARIANTS.keys()
        assert not unknown, f"{family.__name__}: {table} has {sorted(unknown)}, which VARIANTS has not"
    for name, weights in getattr(family, "WEIGHTS", {}).items():  # one digest, and pairs of names
        assert isinstance(weights.md5, str), name
        assert bool(weights.sha256) != bool(weights.md5), name
        assert all(len(pair) == 2 for pair in weights.renames), name
    for name, reference in getattr(family, "REFERENCE", {}).items():
        assert reference.keys() <= {"params", "macs", "input", "source"}, name
        assert ("macs" in reference) == ("input" in reference), (
            f'{name}: "macs" and the "input" that they are counted at'
        )


@pytest.mark.parametrize("spec", COUNTED)
def test_size_is_that_of_the_reference(spec):
    reference = backbones.find(spec)[1].REFERENCE[spec]
    for num_classes, expected in reference["params"].items():
        with symbolic.scope():  # shapes are enough to count
            inputs = keras.Input(reference.get("input", (96, 96, 3)))
            model = keras.Model(inputs, backbones.classify(spec, inputs, num_classes))
        assert profile.parameters(model) == expected
        if "macs" in reference:
            np.testing.assert_allclose(profile.multiply_accumulates(model), reference["macs"], rtol=1e-5)


def test_names():
    assert {"resnet50", "vgg16_bn", "densenet121", "drn_d_22"} <= set(backbones.names())
    assert len(backbones.names()) == sum(len(family.VARIANTS) for family in FAMILIES)


def test_a_classifier_saves_and_takes_pixels(tmp_path):
    model = models.build("classifier", 7)
    assert model.backbone == "resnet18"
    assert models.build("unet", 7).backbone == ""
    x = np.random.default_rng(0).integers(0, 256, (2, 75, 107, 3), np.uint8)
    logits = model(x)["logits"]
    assert logits.shape == (2, 7)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(x)["logits"], logits)


def test_normalization_is_the_backbones(monkeypatch):
    _, family = backbones.find("resnet18")
    monkeypatch.setattr(
        family, "NORMALIZATION", "affine(order='bgr', mean=(1.0, 2.0, 3.0), std=(1.0, 1.0, 1.0))", raising=False
    )
    layer = models.build("classifier", 7).get_layer("normalization")
    np.testing.assert_array_equal(layer(np.array([[[[10.0, 20.0, 30.0]]]])), [[[[29.0, 18.0, 7.0]]]])


@pytest.mark.parametrize(
    ("spec", "output_stride", "message"),
    [
        ("resnet9000", 32, "Expected a backbone: .*resnet50"),
        ("resnet18", 4, "output_stride 8, 16 or 32"),
        ("drn_d_22", 16, "output_stride 8"),
        ("resnet18(depth=3)", 32, r"Expected resnet18\(.*dilate_first, ceil_pool, multi_grid, dropout\)"),
    ],
)
def test_refuses(spec, output_stride, message):
    with pytest.raises(ValueError, match=message):
        backbones.build(spec, keras.Input((None, None, 3)), output_stride)


@pytest.mark.parametrize("spec", ["inception_v3", "squeezenet1_1", "xception"])
def test_aligned_maps_of_families_without_padding_lie_where_they_lie_in_the_image(spec):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None, None, 3))
    features = backbones.build(spec, inputs)
    x = image(99, 130)
    original = keras.Model(inputs, features)(x)
    aligned = keras.Model(inputs, backbones.aligned(spec, features, inputs))(x)
    for level, stride in backbones.strides(spec).items():
        y, expected = np.asarray(aligned[level]), np.asarray(original[level])
        assert y.shape[1:3] == (-(-99 // stride), -(-130 // stride))  # rounded up
        # Missing rows and columns are zeros on both sides; an odd one is at the end.
        top, left = ((n - m) // 2 for n, m in zip(y.shape[1:3], expected.shape[1:3], strict=True))
        bottom, right = top + expected.shape[1], left + expected.shape[2]
        np.testing.assert_array_equal(y[:, top:bottom, left:right], expected)
        assert np.count_nonzero(y) == np.count_nonzero(expected)


def test_maps_of_families_with_padding_are_aligned_as_they_are():
    inputs = keras.Input((None, None, 3))
    features = backbones.build("resnet18", inputs)
    assert backbones.aligned("resnet18", features, inputs) is features


def test_options_of_resnets():
    """Sizes that deeplab-pytorch and OCNet give, whose pools round up; the latter dilates whole stages."""
    for spec, options in (("resnet50_caffe", {}), ("resnet18_deep(ceil_pool=True)", {"dilate_first": True})):
        inputs = keras.Input((64, 96, 3))
        outputs = backbones.build(spec, inputs, 8, **options)
        assert outputs["c5"].shape[1:3] == (9, 13)
    dilations = [keras.Model(inputs, outputs).get_layer(f"layer4.{i}.conv1").dilation_rate[0] for i in range(2)]
    assert dilations == [4, 4]


def test_normalization_of_a_single_variant():
    assert backbones.normalization("efficientnet_v2_s") == "default"
    assert (
        backbones.normalization("efficientnet_v2_l") == "affine(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))"
    )
