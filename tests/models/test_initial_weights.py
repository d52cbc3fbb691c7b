"""Every network starts like its reference: each tensor by the reference's rule; the rules are checked by hand-made numbers.

The facts lie in tests/reference/initial_weights, or in the folder `initial_weights` of the one that REFERENCE_DIR names:
{"networks": {name: {"spec": .., "entries": [[key of the state dict, rule, deviation, bound], ..]}}}, as a .json or .json.gz.
"""

import gzip
import json
import os
import pathlib

import keras
import numpy as np
import pytest

import models
import tfseg.spec as specs
from models import backbones, layers, weights
from tests import symbolic

OWN = pathlib.Path(__file__).parents[1] / "reference"
FOLDER = pathlib.Path(os.environ.get("REFERENCE_DIR") or OWN) / "initial_weights"

# Ports that differ from our network; the layers that both have start by the same rules.
WITNESSES = {"frrn_a_guanfuchen": 'frrn(variant="a")', "frrn_b_guanfuchen": 'frrn(variant="b")'}
ANOTHER_START = {
    "segnet_caffe": "segnet starts as pytorchcv's, whose names it has: uniform, and without Caffe's shift of 0.001"
}
# FCN's reference has zeros in the layers that it fills from a trained VGG16. From zeros the network would never learn.
COPIED = ("conv1_", "conv2_", "conv3_", "conv4_", "conv5_", "fc6.", "fc7.")
OUR_NAMES = ("deconvnet_caffe",)  # in place of the reference's
UNIFORM = ("torch_default", "kaiming_uniform", "uniform")
PARAMETERS = 50_000_000  # for a network that is built in a second


def facts():
    """{name: facts} of the networks that a spec of ours answers to."""
    path = next((p for p in (FOLDER / "initial_weights.json", FOLDER / "initial_weights.json.gz") if p.is_file()), None)
    if path is None:
        raise FileNotFoundError(f"Expected initial_weights.json or initial_weights.json.gz in {FOLDER}.")
    with (gzip.open if path.suffix == ".gz" else open)(path) as file:
        networks = json.load(file)["networks"]
    found = {name: {**network, "spec": network["spec"] or WITNESSES.get(name)} for name, network in networks.items()}
    return {name: network for name, network in found.items() if network["spec"]}


def absent(spec):
    """The missing module that a spec needs, or ""."""
    call = specs.parse(spec)
    backbone = call.kwargs.get("backbone", "resnet18")
    if call.name not in models.names():
        return f"models/{call.name}.py"
    return "" if backbone in backbones.names() else f"the backbone {backbone}"


def parameter(name, network):
    marks = []
    if missing := absent(network["spec"]):
        marks.append(pytest.mark.skip(reason=f"{name}: {missing} does not exist"))
    elif name in ANOTHER_START:
        marks.append(pytest.mark.skip(reason=f"{name}: {ANOTHER_START[name]}"))
    elif FOLDER.parent == OWN and network["parameters"] > PARAMETERS:
        marks.append(pytest.mark.slow)  # whoever names another folder wants its networks tested
    return pytest.param(name, marks=marks)


FACTS = facts()


@pytest.mark.parametrize("name", [parameter(name, network) for name, network in FACTS.items()])
def test_every_tensor_starts_as_the_reference(name):
    spec, rules = FACTS[name]["spec"], rule_of_each_key(FACTS[name]["entries"])
    model = symbolic.build(spec, 1000 if specs.parse(spec).name == "classifier" else 12)
    keras.utils.set_random_seed(0)
    # A number instead of every tensor, because only the keys are matched.
    renames = () if name in OUR_NAMES else None
    found, _ = weights.match(model, dict.fromkeys(rules, np.float32(0)), renames)
    without = [
        key for _, _, key, value in found if value is None and "running" not in key
    ]  # no Caffe net lists statistics
    assert not without or name in WITNESSES, f"no rule for {without}"
    assert len(without) < len(found) / 4
    wrong = {}
    for layer, variable, key, value in found:
        rule, deviation, bound = rules.get(key, ("", None, None))
        if name in WITNESSES and rule == "torch_default":  # some of its kernels have fewer inputs than ours
            bound = np.prod(layer.kernel.shape[:-1]) ** -0.5
            deviation = bound / 3**0.5
        if value is not None and (fault := check(key, symbolic.initial(variable), rule, deviation, bound)):
            wrong[key] = fault
    assert not wrong


def rule_of_each_key(entries):
    """{key: (rule, deviation, bound)}; a batch norm is written as one entry."""
    rules = {}
    for key, rule, deviation, bound in entries:
        if rule == "batch_norm":
            starts = {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1}
            rules |= {f"{key}.{entry}": (f"constant({value})", 0.0, None) for entry, value in starts.items()}
        else:
            rules[key] = rule, deviation, bound
    return rules


def check(key, values, rule, deviation, bound):
    """The fault of a tensor's initial values, or ""."""
    largest = np.abs(values).max()
    if "no filler" in rule or (rule == "constant(0)" and key.startswith(COPIED) and key.endswith(".weight")):
        return ""
    if rule.startswith("constant("):
        constant = np.float32(rule.removeprefix("constant(").rstrip(")"))
        return "" if np.all(values == constant) else f"{rule}: up to {largest}"
    if rule == "bilinear":
        return "" if np.isclose(values.std(), deviation, rtol=1e-4) else f"{rule}: {values.std()} for {deviation}"
    found = np.sqrt(np.mean(values**2))
    # The deviation of n normal draws varies by 0.71 / sqrt(n) of itself, that of uniform ones by 0.45 / sqrt(n).
    if abs(found / deviation - 1) > 5 * 0.71 / np.sqrt(values.size):
        return f"{rule}: deviation {found} for {deviation}"
    if not rule.startswith(UNIFORM):  # beyond sqrt(3) deviations, where a uniform rule ends
        return f"{rule}: it may be uniform" if values.size >= 1000 and largest < 2 * deviation else ""
    # The file has six digits.
    if largest > bound * (1 + 5e-6) or (values.size >= 1000 and largest < 0.99 * bound):
        return f"{rule}: up to {largest} for {bound}"
    return ""


def kernel_and_bias(function, channels=8):
    keras.utils.set_random_seed(0)
    x = keras.Input((10, 11, channels))
    kernel, bias = keras.Model(x, function(x)).layers[-1].get_weights()
    return kernel, bias


# PyTorch's default is uniform within 1 / sqrt(fan_in), of the kernel and of the bias.
@pytest.mark.parametrize(
    ("function", "limit"),
    [
        (lambda x: layers.conv(x, 128, (7, 1), "y"), 56**-0.5),  # 7 x 1 taps of 8 channels
        (lambda x: layers.conv(x, 128, 3, "y", groups=4), 18**-0.5),  # 3 x 3 taps of 8 / 4 channels
        (lambda x: layers.depthwise_conv(x, 5, "y", multiplier=8), 25**-0.5),  # 5 x 5 taps of 1 channel
        (lambda x: layers.transposed_conv(x, 128, 2, "y"), 512**-0.5),  # 2 x 2 taps of the 128 outputs
        (lambda x: layers.dense(x, 256, "y"), 8**-0.5),
    ],
)
def test_torch_default(function, limit):
    kernel, bias = kernel_and_bias(function)
    for values in (kernel, bias):
        assert 0.9 * limit < np.abs(values).max() <= limit
    np.testing.assert_allclose(kernel.std(), limit / 3**0.5, rtol=0.05)


# A deviation of sqrt(2 / fan_out): all 64 output channels, for any number of groups, times the taps.
@pytest.mark.parametrize(
    ("function", "fan_out"),
    [
        (lambda x: layers.conv(x, 64, 3, "y"), 9 * 64),
        (lambda x: layers.conv(x, 64, 3, "y", groups=4), 9 * 64),
        (lambda x: layers.depthwise_conv(x, 7, "y", multiplier=8), 49 * 64),
    ],
)
def test_kaiming_normal_by_fan_out(function, fan_out):
    with layers.initial_weights(layers.kaiming_normal("fan_out", bias=0.5)):
        kernel, bias = kernel_and_bias(function)
    np.testing.assert_allclose(kernel.std(), (2 / fan_out) ** 0.5, rtol=0.06)
    assert (bias == 0.5).all()


def test_other_rules():
    kernel, bias = kernel_and_bias(lambda x: layers.conv(x, 64, 3, "y", initial=layers.kaiming_uniform("fan_in")))
    # 9 x 8 = 72 inputs: within sqrt(6 / 72) = 0.2887; the bias keeps PyTorch's 1 / sqrt(72) = 0.1179.
    assert 0.285 < np.abs(kernel).max() <= 0.2887
    assert 0.1 < np.abs(bias).max() <= 0.1179
    kernel, bias = kernel_and_bias(lambda x: layers.dense(x, 512, "y", initial=layers.normal(0.01, bias=0.0)))
    np.testing.assert_allclose(kernel.std(), 0.01, rtol=0.05)
    assert not bias.any()
    kernel, _ = kernel_and_bias(lambda x: layers.dense(x, 512, "y", initial=layers.uniform(0.25)))
    assert 0.245 < np.abs(kernel).max() <= 0.25
    kernel, bias = kernel_and_bias(lambda x: layers.conv(x, 64, 3, "y", initial=layers.zeros))
    assert not kernel.any()
    assert not bias.any()
    with pytest.raises(ValueError, match=r"Expected mode 'fan_in' or 'fan_out'\. Received: mode='fan'"):
        layers.conv(keras.Input((4, 4, 3)), 3, 3, "y", initial=layers.kaiming_normal("fan"))


def test_the_innermost_block_counts_for_convolutions_and_norms_only():
    @layers.initial_weights(layers.normal(0.01, bias=1.0, shift=0.5))
    def network(x):
        x = layers.conv_norm(x, 8, 3, "outer", bias=True)
        with layers.initial_weights(layers.zeros):
            x = layers.conv_norm(x, 8, 3, "inner", bias=True)
        x = layers.conv(x, 64, 3, "after")
        x = layers.transposed_conv(x, 64, 2, "transposed")
        return layers.dense(x, 64, "dense")

    keras.utils.set_random_seed(0)
    x = keras.Input((8, 8, 4))
    model = keras.Model(x, network(x))
    start = {layer.name: layer.get_weights() for layer in model.layers}
    assert (start["outer.0"][1] == 1).all()
    assert (start["outer.1"][1] == 0.5).all()
    assert not start["inner.0"][0].any()
    assert not start["inner.1"][1].any()
    np.testing.assert_allclose(start["after"][0].std(), 0.01, rtol=0.05)
    # PyTorch's: within 1 / sqrt(2 x 2 x 64) = 0.0625 and 1 / sqrt(64) = 0.125.
    assert 0.06 < np.abs(start["transposed"][0]).max() <= 0.0625
    assert 0.12 < np.abs(start["dense"][0]).max() <= 0.125
    kernel, _ = kernel_and_bias(lambda x: layers.conv(x, 64, 3, "y"))
    assert np.abs(kernel).max() <= 72**-0.5  # the blocks are left
