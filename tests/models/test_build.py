"""`models.build` with an architecture of one layer, whose file is on the package's path."""

import inspect
import sys

import keras
import numpy as np
import pytest

import models
import tfseg.spec as specs
from models import backbones

TINY = """
from models import layers

SIZE_MULTIPLE = 4
AUX_WEIGHTS = {"aux_0": 0.4}
RENAMES = (("^backbone", "encoder"),)


def build(inputs, num_classes, *, width=1):
    x = layers.conv(inputs, num_classes * width, 3, "conv")
    assert inputs.shape[1] is None or inputs.shape[1] % 4 == 0
    return {"logits": layers.conv(x, num_classes, 1, "head"), "aux_0": layers.max_pool(x, 4)}
"""


@pytest.fixture(autouse=True)
def tiny(tmp_path, monkeypatch):
    (tmp_path / "tiny.py").write_text(TINY)
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])
    yield
    sys.modules.pop("models.tiny", None)


def test_names():
    assert {"enet", "erfnet", "unet", "tiny"} <= set(models.names())
    assert "layers" not in models.names()


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("enett", {}, "Expected a name in models/: .*erfnet"),
        ("tiny(depth=2)", {}, r"Expected tiny\(width\)"),
        ('enet(variant="torch7")', {}, "davidtvs, lua"),
        ('unet(upsampling="nearest")', {}, "transposed, bilinear"),
        ("tiny", {"num_classes": 0}, "num_classes"),
        ("tiny", {"input_shape": (None, None)}, "input_shape"),
        ("tiny", {"normalization": "imagenet"}, "affine"),
        ("tiny", {"normalization": "affine(order='bgra')"}, "order"),
        ("tiny", {"normalization": "affine(gain=2.0)"}, "Expected affine"),
        ("tiny", {"normalization": "affine(mean=(1.0, 2.0))"}, "mean and std of 3 channels"),
        ("tiny", {"normalization": "affine(std=(1.0, 2.0, 0.0))"}, "std not 0"),
        ("tiny", {"input_shape": (None, None, 4)}, "normalization=None"),
        ("tiny", {"weights": "tiny.npz"}, r"'imagenet' or a \.weights\.h5, \.keras"),
    ],
)
def test_refuses(spec, options, message):
    with pytest.raises(ValueError, match=message):
        models.build(spec, **{"num_classes": 3, **options})


def test_weights_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.keras"):
        models.build("tiny", 3, weights=tmp_path / "none.keras")


def test_weights(tmp_path):
    model = models.build("tiny", 3)
    model.save_weights(tmp_path / "tiny.weights.h5")
    model.save(tmp_path / "tiny.keras")
    for file in ("tiny.weights.h5", "tiny.keras"):
        again = models.build("tiny", 3, weights=str(tmp_path / file))
        for ours, theirs in zip(again.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match="conv"):
        models.build("tiny(width=2)", 3, weights=tmp_path / "tiny.weights.h5")


def test_normalization():
    pixels = np.array([[[[123.675, 116.28, 103.53], [255.0, 0.0, 51.0]]]], np.float32)

    def normalized(normalization, x=pixels):
        model = models.build("tiny", 1, normalization=normalization)
        layer = next((layer for layer in model.layers if layer.name == "normalization"), None)
        return x if layer is None else np.asarray(layer(x))

    expected = [[[[0, 0, 0], [131.325 / 58.395, -116.28 / 57.12, -52.53 / 57.375]]]]
    np.testing.assert_allclose(normalized("default"), expected, atol=1e-6)
    assert normalized(None) is pixels
    assert normalized("none") is pixels
    swapped = normalized("affine(order='bgr', mean=(1.0, 0.0, 55.0), std=(50.0, 1.0, 2.0))")
    np.testing.assert_allclose(swapped[0, 0, 1], [1.0, 0.0, 100.0])


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_integer_and_float_pixels_agree(policy):
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = models.build("tiny", 3)
    finally:
        keras.config.set_dtype_policy(previous)
    x = np.random.default_rng(0).integers(0, 256, (2, 7, 9, 3), np.uint8)
    logits = model(x)["logits"]
    assert logits.dtype == "float32"
    np.testing.assert_array_equal(logits, model(x.astype(np.float32))["logits"])


def test_other_channels():
    model = models.build("tiny", 3, (None, None, 5), normalization=None)
    assert model(np.zeros((1, 16, 24, 5), np.float32))["logits"].shape == (1, 16, 24, 3)


def test_pads_to_the_size_that_the_reference_takes_and_crops():
    x = np.random.default_rng(0).uniform(0, 255, (1, 13, 18, 3)).astype(np.float32)
    model = models.build("tiny", 3)
    native = models.build("tiny", 3, native_resolution=True)
    native.set_weights(model.get_weights())
    outputs = model(x)
    assert outputs["aux_0"].shape == (1, 4, 5, 3)
    # The zeros are where a reference pads: around the normalised image. They equal the mean colour of the pixels.
    padded = np.full((1, 16, 20, 3), models.IMAGENET_MEAN, np.float32)
    padded[:, :13, :18] = x
    np.testing.assert_allclose(outputs["logits"], native(padded)["logits"][:, :13, :18], atol=1e-4)
    assert native(x)["logits"].shape == (1, 13, 18, 3)


def test_the_reference_refuses_such_a_size_too():
    with pytest.raises(ValueError, match="shape"):
        models.build("erfnet", 3, (73, 105, 3), native_resolution=True)


def test_carries_what_training_and_loading_need():
    model = models.build("tiny", 3)
    assert model.aux_weights == {"aux_0": 0.4}
    assert model.renames == (("^backbone", "encoder"),)


def test_unknown_backbone():
    with pytest.raises(ValueError, match="Expected a backbone"):
        backbones.build("resnet9000", keras.Input((None, None, 3)))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("SIZE_MULTIPLE", "SIZE_MULTPLE", r"tiny\.py\. Received: SIZE_MULTPLE.*Did you mean 'SIZE_MULTIPLE'\?"),
        ("AUX_WEIGHTS", "AUX_WEIGHT", r"tiny\.py\. Received: AUX_WEIGHT,.*Did you mean 'AUX_WEIGHTS'\?"),
        ("RENAMES", "RENAMINGS", r"Did you mean 'RENAMES'\?"),
        ("def build", "def biuld", r"Expected build in .*tiny\.py\. Received: a file with .*biuld"),
        (
            '"aux_0": 0.4',
            '"aux0": 0.4',
            r"Expected AUX_WEIGHTS of .*tiny\.py to weigh aux_0\. Received: \{'aux0': 0\.4\}",
        ),
        ("RENAMES", 'FULL_SIZE = ("logitts",)\nRENAMES', r"Expected FULL_SIZE of .*tiny\.py .*Received: \['logitts'\]"),
        ("RENAMES", 'AUX_RESOLUTION = "ouput"\nRENAMES', r"Expected AUX_RESOLUTION 'label' or 'output' in .*'ouput'"),
    ],
)
def test_a_mistyped_declaration_is_refused(tmp_path, old, new, message):
    assert TINY.count(old) == 1
    (tmp_path / "tiny.py").write_text(TINY.replace(old, new))
    with pytest.raises(ValueError, match=message):
        models.build("tiny", 3)


@pytest.mark.parametrize("name", models.names())
def test_declarations_of_every_architecture(name):
    architecture = specs.find("models", name, models.names())
    specs.check_module(architecture, ["build"], models.HOOKS)
    # They are called with the options of `build`, so they must take the same options.
    options = list(inspect.signature(architecture.build).parameters)[2:]
    for function in ("renames", "backbone_of", "last_step", "size_multiple"):
        if hasattr(architecture, function):
            assert list(inspect.signature(getattr(architecture, function)).parameters) == options, function


FAMILY = """
VARIANTS = {"plain": ()}


def channels(variant):
    return {"c1": 1, "c2": 1, "c3": 1, "c4": 1, "c5": 1}


def build(inputs, variant, output_stride=32):
    return dict.fromkeys(channels(variant), inputs)


def head(features, num_classes, variant):
    return features["c5"]
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("VARIANTS", "VARIANT", r"plain_family\.py\. Received: VARIANT,.*Did you mean 'VARIANTS'\?"),
        ("def head", "def top", r"Expected head in .*plain_family\.py\. Received: a file with .*top"),
        ("VARIANTS", 'NORMALISATION = "none"\nVARIANTS', r"Did you mean 'NORMALIZATION'\?"),
        ('"plain"', '"resnet18"', r"Expected one backbone called resnet18\..*plain_family\.py.*resnet\.py"),
    ],
)
def test_a_mistyped_declaration_of_a_backbone_is_refused(tmp_path, monkeypatch, old, new, message):
    file = tmp_path / "families" / "plain_family.py"
    file.parent.mkdir()
    monkeypatch.setattr(backbones, "__path__", [*backbones.__path__, str(file.parent)])
    file.write_text(FAMILY)
    try:
        assert "plain" in backbones.names()
        sys.modules.pop("models.backbones.plain_family")
        file.write_text(FAMILY.replace(old, new))
        with pytest.raises(ValueError, match=message):
            backbones.find("resnet18")
    finally:
        sys.modules.pop("models.backbones.plain_family")
