import json

import keras
import numpy as np
import pytest

from models import layers, weights


@keras.saving.register_keras_serializable(package="tfseg_tests")
class Scale(keras.layers.Layer):
    """A layer of our own with one variable, as a bare torch.nn.Parameter."""

    def build(self, input_shape):
        self.gamma = self.add_weight(shape=(input_shape[-1],), name="gamma")

    def call(self, x):
        return x * self.gamma


@pytest.fixture
def model():
    inputs = keras.Input((8, 8, 4))
    x = layers.conv(inputs, 6, (3, 1), "stem.0.conv")
    x = layers.batch_norm(x, "stem.0.bn")
    x = layers.prelu(x, "stem.0.act", per_channel=False)
    x = layers.depthwise_conv(x, 3, "depthwise", multiplier=2, bias=False)
    x = layers.prelu(x, "act")
    x = layers.spatial_dropout(x, 0.1)
    x = layers.conv(x, 6, 3, "grouped", groups=3)
    x = layers.transposed_conv(x, 5, 2, "up", bias=False)
    x = Scale(name="layer_scale")(x)
    x = keras.layers.LayerNormalization(name="norm")(x)
    x = keras.layers.Dense(3, name="head.fc")(x)
    return keras.Model(inputs, x)


def state_dict():
    """The state dict that the torch modules of that model would have."""
    shapes = {
        "stem.0.conv.weight": (6, 4, 3, 1),
        "stem.0.conv.bias": (6,),
        "stem.0.bn.weight": (6,),
        "stem.0.bn.bias": (6,),
        "stem.0.bn.running_mean": (6,),
        "stem.0.bn.running_var": (6,),
        "stem.0.act.weight": (1,),
        "depthwise.weight": (12, 1, 3, 3),
        "act.weight": (12,),
        "grouped.weight": (6, 4, 3, 3),
        "grouped.bias": (6,),
        "up.weight": (6, 5, 2, 2),
        "layer_scale": (5, 1, 1),
        "norm.weight": (5,),
        "norm.bias": (5,),
        "head.fc.weight": (3, 5),
        "head.fc.bias": (3,),
    }
    generator = np.random.default_rng(0)
    return {key: generator.uniform(0.1, 1.0, shape).astype(np.float32) for key, shape in shapes.items()}


def test_state_dict_is_what_load_takes(model, tmp_path):
    state = state_dict()
    weights.load(model, state)
    found = weights.state_dict(model)
    assert found.keys() == state.keys()
    for key, array in state.items():
        np.testing.assert_array_equal(np.squeeze(found[key]), np.squeeze(array), key)
        assert key == "layer_scale" or found[key].shape == array.shape, key
    weights.write(tmp_path / "model.safetensors", found)
    again = weights.read(tmp_path / "model.safetensors")
    for key, array in found.items():
        np.testing.assert_array_equal(again[key], array, key)


def test_load_puts_every_entry_in_its_layout(model):
    state = state_dict()
    weights.load(model, {**state, "stem.0.bn.num_batches_tracked": np.array(7)})
    conv, depthwise = model.get_layer("stem.0.conv").kernel.numpy(), model.get_layer("depthwise").kernel.numpy()
    up, grouped = model.get_layer("up").kernel.numpy(), model.get_layer("grouped").kernel.numpy()
    assert conv[2, 0, 1, 5] == state["stem.0.conv.weight"][5, 1, 2, 0]
    assert depthwise[2, 1, 4, 1] == state["depthwise.weight"][4 * 2 + 1, 0, 2, 1]
    assert up[0, 1, 3, 5] == state["up.weight"][5, 3, 0, 1]
    assert grouped[2, 1, 3, 5] == state["grouped.weight"][5, 3, 2, 1]
    np.testing.assert_array_equal(model.get_layer("head.fc").kernel, state["head.fc.weight"].T)
    norm = model.get_layer("stem.0.bn")
    for variable, entry in (("gamma", "weight"), ("moving_mean", "running_mean"), ("moving_variance", "running_var")):
        np.testing.assert_array_equal(getattr(norm, variable), state[f"stem.0.bn.{entry}"])
    assert float(np.squeeze(model.get_layer("stem.0.act").alpha)) == state["stem.0.act.weight"]
    np.testing.assert_array_equal(np.squeeze(model.get_layer("act").alpha), state["act.weight"])
    np.testing.assert_array_equal(model.get_layer("layer_scale").gamma, state["layer_scale"].squeeze())


def test_depthwise_convolution_computes_what_torch_computes(model):
    state = state_dict()
    weights.load(model, state)
    x = np.random.default_rng(1).standard_normal((1, 3, 3, 6)).astype(np.float32)
    got = model.get_layer("depthwise")(x)[0, 1, 1].numpy()
    expected = [(x[0, :, :, channel // 2] * state["depthwise.weight"][channel, 0]).sum() for channel in range(12)]
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_load_renames(model):
    model.renames = ((r"^stem\.", "backbone.features."), (r"\.conv$", ".c"))
    state = state_dict()
    renamed = {}
    for key, array in state.items():
        renamed[key.replace("stem.", "backbone.features.").replace("0.conv.", "0.c.")] = array
    weights.load(model, renamed)
    np.testing.assert_array_equal(model.get_layer("stem.0.conv").bias, state["stem.0.conv.bias"])


def test_load_ignores_what_only_training_in_torch_needs(model):
    """The counter of torch's batch norm, and the sums of CSAILVision/semantic-segmentation-pytorch's synchronised one."""
    entries = ("num_batches_tracked", "_tmp_running_mean", "_tmp_running_var", "_running_iter")
    weights.load(model, {**state_dict(), **{f"stem.0.bn.{entry}": np.ones(6, np.float32) for entry in entries}})


def test_load_joins_what_is_one_linear_layer_of_ours():
    x = keras.Input((4,))
    model = keras.Model(x, keras.layers.Dense(6, name="attention.self.qkv")(x))
    parts = {name: np.full((2, 4), i, np.float32) for i, name in enumerate(("query", "key", "value"))}
    state = {f"attention.self.{name}.weight": part for name, part in parts.items()}
    state |= {f"attention.self.{name}.bias": part[:, 0] for name, part in parts.items()}
    weights.load(model, state)
    kernel, bias = model.layers[-1].get_weights()
    np.testing.assert_array_equal(kernel, np.tile([0, 0, 1, 1, 2, 2], (4, 1)))
    np.testing.assert_array_equal(bias, [0, 0, 1, 1, 2, 2])
    with pytest.raises(ValueError, match="variables without a key"):
        weights.load(model, {key: value for key, value in state.items() if ".key." not in key})


def test_load_ignores_constants_and_losses(model):
    spare = ("stem.relative_position_index", "stem.attn_mask", "embeddings.position_ids")
    losses = ("criterion.empty_weight", "sem_loss.criterion.weight", "decode_head.loss_decode.class_weight")
    weights.load(model, {**state_dict(), **dict.fromkeys((*spare, *losses), np.ones(3))})
    with pytest.raises(ValueError, match=r"1 keys without a variable: glossary\.weight"):
        weights.load(model, {**state_dict(), "glossary.weight": np.ones(3)})


@pytest.mark.parametrize("start", ["module.", "model.", "network.encoder."])
def test_load_leaves_out_what_all_keys_begin_with(model, start):
    """torch.nn.DataParallel, XuJiacong/PIDNet, PyTorch Lightning; a loss beside the network does not hide it."""
    state = {start + key: array for key, array in state_dict().items()}
    model.unused = (r"^mask_token$",)
    weights.load(model, {**state, "criterion.weight": np.ones(3), f"{start}mask_token": np.ones(3)})
    np.testing.assert_array_equal(model.get_layer("head.fc").bias, state[f"{start}head.fc.bias"])
    np.testing.assert_array_equal(model.get_layer("layer_scale").gamma, state[f"{start}layer_scale"].squeeze())
    with pytest.raises(ValueError, match="variables without a key"):  # another key does not have it
        weights.load(model, {**state, "other.weight": np.ones(3)})


def test_load_keeps_a_beginning_that_the_network_has_too():
    x = keras.Input((2,))
    model = keras.Model(x, keras.layers.Dense(2, use_bias=False, name="model.fc")(x))
    weights.load(model, {"model.fc.weight": np.eye(2)})
    np.testing.assert_array_equal(model.get_layer("model.fc").kernel, np.eye(2))


def test_load_splits_what_are_several_linear_layers_of_ours():
    """torch.nn.MultiheadAttention has queries, keys and values one below the other, NVlabs' SegFormer keys and values."""
    x = keras.Input((2,))
    model = keras.Model(x, [keras.layers.Dense(2, name=f"attn.{name}")(x) for name in "qkv"])
    parts = {name: np.full((2, 2), i, np.float32) for i, name in enumerate("qkv")}
    for stacked in ({"in_proj_": "qkv"}, {"q.": "q", "kv.": "kv"}):
        state = {}
        for entry, names in stacked.items():
            state[f"attn.{entry}weight"] = np.concatenate([parts[name] for name in names])
            state[f"attn.{entry}bias"] = np.concatenate([parts[name][0] + 5 for name in names])
        for layer in model.layers[1:]:
            layer.set_weights([np.full((2, 2), -1), np.full(2, -1)])
        weights.load(model, state)
        for name, part in parts.items():
            kernel, bias = model.get_layer(f"attn.{name}").get_weights()
            np.testing.assert_array_equal(kernel, part)
            np.testing.assert_array_equal(bias, part[0] + 5)


def test_load_takes_a_linear_layer_for_a_1x1_convolution_and_the_other_way_round():
    x = keras.Input((4, 4, 3))
    model = keras.Model(x, keras.layers.Dense(2, name="dense")(layers.conv(x, 5, 1, "conv")))
    linear, convolution = np.arange(15, dtype=np.float32).reshape(5, 3), np.arange(10, dtype=np.float32).reshape(2, 5)
    state = {"conv.weight": linear, "dense.weight": convolution[:, :, None, None]}
    weights.load(model, state | {"conv.bias": np.zeros(5), "dense.bias": np.zeros(2)})
    np.testing.assert_array_equal(model.get_layer("conv").kernel[0, 0], linear.T)
    np.testing.assert_array_equal(model.get_layer("dense").kernel, convolution.T)


def test_load_keeps_what_a_layer_says_that_checkpoints_lack(model):
    layer, state = model.get_layer("layer_scale"), state_dict()
    del state["layer_scale"]
    before = layer.get_weights()
    layer.optional = ("gamma",)
    weights.load(model, state)
    np.testing.assert_array_equal(layer.get_weights(), before)
    np.testing.assert_array_equal(model.get_layer("norm").beta, state["norm.bias"])


def test_load_takes_a_tensor_that_is_registered_twice(model):
    model.aliases = ((r"^query\.", "head."),)
    state = state_dict()
    again = {key.replace("head.", "query."): array.copy() for key, array in state.items() if key.startswith("head.")}
    weights.load(model, {**state, **again})
    np.testing.assert_array_equal(model.get_layer("head.fc").bias, state["head.fc.bias"])
    with pytest.raises(ValueError, match=r"1 keys without a variable: query\.fc\.bias\."):  # it is another tensor
        weights.load(model, {**state, **again, "query.fc.bias": again["query.fc.bias"] + 1})


def test_load_names_what_is_left_over_and_changes_nothing(model):
    before = model.get_weights()
    state = state_dict()
    del state["stem.0.bn.running_var"]
    state["head.fc.weight"] = np.zeros((4, 5))
    state.update({f"aux.{i}.weight": np.zeros(1) for i in range(12)})
    with pytest.raises(ValueError, match="Expected a state dict") as error:
        weights.load(model, state)
    message = str(error.value)
    assert "stem.0.bn.moving_variance (as stem.0.bn.running_var)" in message
    assert "12 keys without a variable: aux.0.weight" in message
    assert "and 2 more" in message
    assert "head.fc.weight: (5, 4) for (5, 3)" in message
    for ours, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_transposed_kernel_of_the_same_size_is_refused():
    inputs = keras.Input((None, None, 4))
    square = keras.Model(inputs, layers.conv(inputs, 4, (3, 1), "conv", bias=False))
    with pytest.raises(ValueError, match=r"conv\.weight: \(1, 3, 4, 4\) for \(3, 1, 4, 4\)"):
        weights.load(square, {"conv.weight": np.zeros((4, 4, 1, 3))})


def write_safetensors(path, arrays):
    """The format: header length, JSON header, data."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for key, (dtype, shape, raw) in arrays.items():
        header[key] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def test_safetensors(tmp_path):
    path = tmp_path / "weights.safetensors"
    numbers = np.array([[1.5, -2.0, 3.25]])
    halves = (numbers.astype("<f4").view("<u4") >> 16).astype("<u2")  # exact in bfloat16
    write_safetensors(
        path,
        {
            "a": ("F32", [1, 3], numbers.astype("<f4").tobytes()),
            "b": ("BF16", [3], halves.tobytes()),
            "c": ("F16", [3, 1], numbers.astype("<f2").tobytes()),
            "steps": ("I64", [], np.int64(7).tobytes()),
        },
    )
    state = weights.read(path)
    np.testing.assert_array_equal(state["a"], numbers)
    np.testing.assert_array_equal(state["b"], numbers[0])
    np.testing.assert_array_equal(state["c"], numbers.T)
    assert state["steps"] == 7
    assert set(state) == {"a", "b", "c", "steps"}
    whole = path.read_bytes()
    for length in (0, 5, 40, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="cut off"):
            weights.read(path)
    path.write_bytes((4).to_bytes(8, "little") + b"{..}")
    with pytest.raises(ValueError, match="not of this format"):
        weights.read(path)
    # One that lies about its data: two tensors on the same bytes.
    header = json.dumps({key: {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]} for key in "ab"}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"0")
    with pytest.raises(ValueError, match=r"whole \.safetensors file"):
        weights.read(path)
    write_safetensors(path, {"a": ("F8_E4M3", [1], b"0")})
    with pytest.raises(ValueError, match="F8_E4M3"):
        weights.read(path)


def test_other_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.pth"):
        weights.read(tmp_path / "none.pth")
    (tmp_path / "weights.npz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"\.pth or \.safetensors"):
        weights.read(tmp_path / "weights.npz")
