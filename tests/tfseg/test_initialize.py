"""--init_from: weights that fit are loaded, and the log names the others."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from absl import logging

import models
from models import weights
from tfseg import checkpoint, config, initialize

SPEC = "unet(width=2)"
HEAD = "outc.conv"  # of the classes


def build(classes=3, spec=SPEC):
    return models.build(spec, classes)


def filled(model):
    """A model whose variables are all different."""
    generator = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(generator.uniform(0.1, 1.0, variable.shape))
    return model


def torch_state(model):
    """The state dict of a U-Net in PyTorch: its layers are convolutions, norms and transposed convolutions."""
    names = {
        "kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias",
        "moving_mean": "running_mean", "moving_variance": "running_var",
    }  # fmt: skip
    state = {}
    for layer in model.layers:
        for variable in layer.weights:
            array = variable.numpy()
            state[f"{layer.name}.{names[variable.name]}"] = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array
    return state


def write_safetensors(path, state):
    header, offset = {}, 0
    for key, array in state.items():
        header[key] = {"dtype": "F32", "shape": array.shape, "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(array.tobytes() for array in state.values()))


def source(kind, model, folder):
    """The model's weights as a file or workdir."""
    path = folder / f"weights{kind}"
    if kind == ".weights.h5":
        model.save_weights(path)
    elif kind == ".keras":
        model.save(path)
    elif kind == ".safetensors":
        write_safetensors(path, torch_state(model))
    elif kind == ".pth":
        torch = pytest.importorskip("torch", reason="needs the torch package")
        torch.save({k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in torch_state(model).items()}, path)
    else:
        path.mkdir()
        options = config.Config(model=SPEC, workdir=str(path))
        options.save(path / "flags")
        values = tf.train.Checkpoint(model=model)
        checkpoint.save(path, values, checkpoint.State(step=1, num_classes=model.output["logits"].shape[-1]), options)
    return str(path)


@pytest.fixture
def log(monkeypatch):
    lines = []
    monkeypatch.setattr(logging, "info", lambda text, *values: lines.append(text % values))
    return lines


KINDS = ["", ".keras", ".weights.h5", ".safetensors", ".pth"]


@pytest.mark.parametrize("kind", KINDS)
def test_all_but_the_head_of_another_class_count(kind, tmp_path, log):
    given, model = filled(build(classes=3)), build(classes=4)
    head = [v.numpy() for v in model.get_layer(HEAD).weights]
    initialize.transfer(model, source(kind, given, tmp_path))
    for layer in (layer for layer in model.layers if layer.weights):
        expected = head if layer.name == HEAD else given.get_layer(layer.name).get_weights()
        for variable, array in zip(layer.get_weights(), expected, strict=True):
            np.testing.assert_array_equal(variable, array)
    total = sum(bool(layer.weights) for layer in model.layers)
    summary, names = log[-2:]
    assert f"Filled {total - 1} of {total} layers" in summary
    assert "1 of other shapes, left as they are: outc.conv: 1x1x2x3 and 3 for 1x1x2x4 and 4" in summary
    assert "not in the source" not in summary
    assert "inc.double_conv.0" in names
    assert HEAD not in names


@pytest.mark.parametrize("kind", KINDS)
def test_all_where_all_fits_as_load_does(kind, tmp_path, log):
    given, model, loaded = filled(build()), build(), build()
    path = source(kind, given, tmp_path)
    initialize.transfer(model, path)
    initialize.load(loaded, path)
    for a, b, c in zip(model.weights, given.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
        np.testing.assert_array_equal(a.numpy(), c.numpy())
    assert "left" not in log[-2]


@pytest.mark.parametrize("kind", [".weights.h5", ".safetensors"])
def test_a_part_and_more_than_the_network(kind, tmp_path, log):
    """The transposed convolutions of one form are not in the other; its first layers are."""
    given, model = filled(build()), build(spec='unet(upsampling="bilinear", width=2)')
    initialize.transfer(model, source(kind, given, tmp_path))
    got, expected = (m.get_layer("inc.double_conv.0").kernel.numpy() for m in (model, given))
    np.testing.assert_array_equal(got, expected)
    assert "of the source left over: up1.up" in log[-2]


def test_a_bare_backbone_in_torch_under_its_own_names(tmp_path, log):
    """LinkNet's reference calls ResNet's layer1 `encoder1`; a file of the ResNet alone says `layer1`, as our layers do."""
    given, model = filled(build(spec="linknet")), build(spec="linknet")
    backbone = {layer.name for layer in initialize.backbone_layers(given)}
    state = {key: array for key, array in torch_state(given).items() if key.rpartition(".")[0] in backbone}
    write_safetensors(tmp_path / "resnet18.safetensors", state | {"fc.weight": np.zeros((10, 512), "float32")})
    initialize.transfer(model, str(tmp_path / "resnet18.safetensors"))
    for name in backbone:
        for got, expected in zip(model.get_layer(name).get_weights(), given.get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(got, expected)
    assert f"Filled {len(backbone)} of " in log[-2]
    assert "1 of the source left over: fc.weight" in log[-2]


def test_a_bare_backbone_in_torch_under_its_reference_names(tmp_path, monkeypatch):
    """As facebook/dinov2-small, which knows nothing of the network that has `backbone.` before its names."""
    x = keras.Input((3,))
    model = keras.Model(x, keras.layers.Dense(2, name="fc")(x))
    model.renames, model.backbone = ((r"^", "backbone."), (r"\.fc$", ".embeddings.fc")), "a backbone"
    monkeypatch.setattr(initialize.backbones, "renames", lambda spec: ((r"^fc$", "embeddings.fc"),))
    state = {"embeddings.fc.weight": np.eye(2, 3), "embeddings.fc.bias": np.arange(2.0), "pooler.weight": np.ones(3)}
    weights.write(tmp_path / "backbone.safetensors", state)
    initialize.transfer(model, str(tmp_path / "backbone.safetensors"))
    np.testing.assert_array_equal(model.layers[-1].kernel, np.eye(3, 2))
    np.testing.assert_array_equal(model.layers[-1].bias, [0.0, 1.0])


def test_a_layer_with_a_variable_less_is_of_another_shape(tmp_path, log):
    """A norm without its scale: by order alone its offset would become the other's scale."""
    inputs = keras.Input((4, 4, 2))

    def norms(scale):
        x = keras.layers.BatchNormalization(name="first")(inputs)
        return keras.Model(inputs, keras.layers.BatchNormalization(name="second", scale=scale)(x))

    given, model = filled(norms(scale=False)), norms(scale=True)
    initialize.transfer(model, source(".weights.h5", given, tmp_path))
    np.testing.assert_array_equal(model.get_layer("first").gamma.numpy(), given.get_layer("first").gamma.numpy())
    np.testing.assert_array_equal(model.get_layer("second").gamma.numpy(), [1, 1])
    assert "1 of other shapes, left as they are: second: 2 and 2 and 2 for 2 and 2 and 2 and 2" in log[-2]


@pytest.mark.parametrize("kind", ["", ".keras", ".weights.h5", ".safetensors"])
def test_nothing_that_fits_is_an_error(kind, tmp_path):
    path = source(kind, filled(build()), tmp_path)
    inputs = keras.Input((4, 4, 2))
    model = keras.Model(inputs, keras.layers.Conv2D(1, 1, name="elsewhere")(inputs), name="other")
    with pytest.raises(ValueError, match=r"Expected weights for a layer of 'other'.*1 not in the source.*elsewhere"):
        initialize.transfer(model, path)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("nowhere.keras", FileNotFoundError, "Received: no such file or folder"),
        ("cut.keras", ValueError, "Expected a whole .keras file"),
        ("cut.weights.h5", ValueError, "Expected a whole .h5 file"),
        ("cut.safetensors", ValueError, "Expected a whole .safetensors file"),
        ("text.txt", ValueError, "Expected a .pth or .safetensors file"),
    ],
)
def test_what_is_no_source(name, error, message, tmp_path):
    if name != "nowhere.keras":
        (tmp_path / name).write_bytes(b"cut")
    with pytest.raises(error, match=message):
        initialize.transfer(build(), str(tmp_path / name))
