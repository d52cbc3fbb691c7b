"""Every network gives the numbers of its reference: one test for all files in `fill.folder()`.

`pytest tests/parity -k <module>` runs the files of one network: a test's name begins with its module.
"""

import inspect

import keras
import numpy as np
import pytest

import models
import tfseg.spec as specs
from models import backbones, weights
from tests import symbolic
from tests.parity import fill
from tfseg import profile

# Of a segmentation network that is tested in seconds: a default may have more, a variant not, unless it is the smallest.
DEFAULT_PARAMETERS, PARAMETERS = 60_000_000, 20_000_000


def modules(spec):
    """The names that a file with this spec may begin with: its module's; of a classifier its backbone's or the family's."""
    call = specs.parse(spec)
    if call.name != "classifier":
        return (call.name,)
    default = inspect.signature(specs.find("models", "classifier").build).parameters["backbone"].default
    name = specs.parse(call.kwargs.get("backbone", default)).name
    family = backbones.find(name)[1].__name__.rpartition(".")[2] if name in backbones.names() else name
    return name, family


def missing(spec):
    """The missing module that a spec needs, or ""."""
    if specs.parse(spec).name not in models.names():
        return f"models/{specs.parse(spec).name}.py"
    backbone = specs.parse(spec).kwargs.get("backbone")
    return "" if not backbone or specs.parse(backbone).name in backbones.names() else f"the backbone {backbone!r}"


def parameter(name, parity, smallest):
    """A test of one file. Its name begins with the module; it is marked slow or skipped if needed."""
    spec, marks = parity["spec"], []
    if not spec:
        reason = 'which network answers to it is said neither by its key "spec" nor by a specs*.json beside it'
        return pytest.param(name, marks=pytest.mark.skip(reason=f"{name}: {reason}"))
    *_, module = modules(spec)
    if absent := missing(spec):
        marks.append(pytest.mark.skip(reason=f"{name}: {absent} does not exist"))
    elif fill.folder() == fill.FOLDER and not fast(spec, parity["trainable_params"], name in smallest):
        marks.append(pytest.mark.slow)  # whoever names another folder wants its files run
    return pytest.param(name, marks=marks, id=name if name.startswith(module) else f"{module}-{name}")


def fast(spec, size, smallest):
    """Fast files: the smallest of each family of classifiers, and other networks with few parameters."""
    call = specs.parse(spec)
    if call.name == "classifier":
        return smallest
    return size <= (DEFAULT_PARAMETERS if smallest or not call.kwargs else PARAMETERS)


def smallest_of_each_module(files):
    """The names of the files with the fewest parameters."""
    sizes = {}
    for name, parity in files.items():
        if parity["spec"]:
            sizes.setdefault(modules(parity["spec"])[-1], []).append((parity["trainable_params"], name))
    return {min(members)[1] for members in sizes.values()}


FILES = fill.read_all(fill.folder())
SMALLEST = smallest_of_each_module(FILES)
NAMES = [parameter(name, parity, SMALLEST) for name, parity in FILES.items()]
# Counting needs no values of weights, so no network is too large for it.
COUNTED = [pytest.param(*p.values, id=p.id, marks=[m for m in p.marks if m.name != "slow"]) for p in NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_reference(name):
    parity = FILES[name]
    networks = {}
    for case in parity["cases"]:
        # If the reference returns its own resolution, the network's own output is compared.
        native = tuple(case["output_shape"][1:3]) not in ((case["h"], case["w"]), ())
        if native not in networks:
            networks[native] = _network(parity, native)
        outputs = np.asarray(networks[native](fill.image(case))["logits"])
        check(outputs, case)
        keras.backend.clear_session()


@pytest.mark.parametrize("name", COUNTED)
def test_size(name):
    parity = FILES[name]
    model = symbolic.build(
        parity["spec"],
        parity["num_classes"],
        (*parity["gmacs_size"], 3),
        normalization=None,
        native_resolution=True,
    )
    lacking = lacks(model, parity)
    expected = parity["trainable_params"] - sum(np.prod(shape) for _, shape, kind in lacking if _trained(kind))
    assert sum(np.prod(v.shape) for v in model.trainable_variables) == expected
    # If the reference runs its auxiliary heads in evaluation too, they were counted; `profile` leaves them out.
    everything = keras.Model(model.inputs, list(model.output.values()))
    counted = [profile.multiply_accumulates(m) for m in (model, everything)]
    counted.append(counted[-1] + repeated(model, parity))
    counted.append(counted[0] - attention(model))
    # The files round 10^9 to six decimals.
    same = np.isclose(counted, parity["gmacs"] * 1e9, rtol=1e-5, atol=500).any()
    # Which of the convolutions that we lack it runs, and at which resolution, a file does not say.
    less = any(len(shape) == 4 for _, shape, _ in lacking) and counted[1] < parity["gmacs"] * 1e9
    assert same or less, f"{counted=} {parity['gmacs']=}"


def test_our_own_files_hold_their_spec_and_begin_with_its_module():
    for name, parity in fill.read_all().items():
        assert parity["spec"], f'{name}.json.gz: expected the key "spec", such as \'unet(upsampling="bilinear")\''
        assert not missing(parity["spec"]), f"{name}.json.gz: {missing(parity['spec'])} does not exist"
        begins = " or ".join(dict.fromkeys(modules(parity["spec"])))
        assert name.startswith(modules(parity["spec"])), f"{name}.json.gz: expected a name that begins with {begins}"


def check(outputs, case):
    """Within 20 times the float32 noise of the reference for 99.9 % of the sampled values, and for their statistics."""
    assert list(outputs.shape) == case["output_shape"]
    if case["values"] is None:  # held out
        assert np.isfinite(outputs).all()
        return
    tolerance = max(20 * case["float32_noise"], 1e-5)
    error = np.abs(fill.samples(outputs) - case["values"]) / case["std"]
    # Max-unpooling puts a value at another place if two inputs of a pool are nearly equal.
    assert np.mean(error <= tolerance) >= 0.999, f"{error.max()=} {np.median(error)=} {tolerance=}"
    y = outputs.astype(np.float64)
    for statistic in ("mean", "std", "min", "max"):
        assert abs(getattr(y, statistic)() - case[statistic]) / case["std"] <= tolerance, statistic


def lacks(model, parity):
    """The entries of the state's unused part, such as auxiliary heads, that none of our variables answers to."""
    found, _ = weights.match(model, dict.fromkeys((key for key, *_ in parity["state"]), np.float32(0)))
    ours = {key for _, _, key, _ in found}
    # The buffers "_tmp_running_mean" and "_tmp_running_var" of a synchronised batch norm are called weights in the files.
    unused = {key for key in parity["unused"] if "._tmp_running_" not in key}
    return [entry for entry in parity["state"] if entry[0] in unused and entry[0] not in ours]


def repeated(model, parity):
    """The multiply-accumulates of convolutions that a reference registers twice, and runs twice on the same input."""
    aliases = [kind for _, shape, kind in parity["state"] if kind.startswith("alias:") and len(shape) == 4]
    names = {kind.removeprefix("alias:").removesuffix(".weight") for kind in aliases}
    convolutions = [layer for layer in model.layers if layer.name in names]
    return sum(np.prod(layer.output.shape[1:3]) * np.prod(layer.kernel.shape) for layer in convolutions)


def attention(model):
    """The multiply-accumulates of attention's two products. PyTorch's counter does not see its fused kernel on a CPU."""
    found = [layer for layer in model.layers if type(layer).__name__ == "DotProductAttention"]
    return sum(layer.multiply_accumulates() for layer in found)


def _network(parity, native):
    model = models.build(parity["spec"], parity["num_classes"], normalization=None, native_resolution=native)
    try:
        weights.load(model, fill.state_dict(parity))
    except ValueError:  # all of the unused heads may be missing
        weights.load(model, fill.state_dict(parity, drop=parity["unused"]))
    return model


def _trained(kind):
    return kind not in ("running_mean", "running_var") and not kind.startswith(("fixed", "alias"))
