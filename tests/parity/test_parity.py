"""Every network gives its reference's numbers: one test for all, of the files that lie beside it."""

import json

import keras
import numpy as np
import pytest

import models
import tfseg.spec as specs
from models import backbones, weights
from tests.parity import fill
from tfseg import profile

SPECS = json.loads((fill.FOLDER / "specs.json").read_text())
FILES = {path.name.removesuffix(".json.gz"): path for path in sorted(fill.FOLDER.glob("*.json.gz"))}


# Of a segmentation network that is tested in seconds: a default may have more, a variant not, unless it is the smallest.
DEFAULT_PARAMETERS, PARAMETERS = 60_000_000, 20_000_000


def _fast_first(names):
    """Of one family of classifiers the smallest is fast, of other networks also those of few parameters."""
    sizes = {name: fill.read(FILES[name])["trainable_params"] for name in names}
    smallest = {}
    for name in names:
        smallest.setdefault(_family(name), []).append((sizes[name], name))
    first = {min(members)[1] for members in smallest.values()}
    return [pytest.param(n, marks=[] if _fast(n, sizes[n], n in first) else [pytest.mark.slow]) for n in names]


def _fast(name, size, smallest):
    call = specs.parse(SPECS[name])
    if call.name == "classifier":
        return smallest
    preferred = smallest or not call.kwargs
    return size <= (DEFAULT_PARAMETERS if preferred else PARAMETERS)


def _family(name):
    """The module: of a classifier its backbone's."""
    call = specs.parse(SPECS[name])
    return backbones.find(call.kwargs["backbone"])[1].__name__ if call.name == "classifier" else call.name


NAMES = _fast_first(FILES)


@pytest.mark.parametrize("name", NAMES)
def test_reference(name):
    parity = fill.read(FILES[name])
    networks = {}
    for case in parity["cases"]:
        # Where the reference returns its own resolution, the network's own output is compared.
        native = tuple(case["output_shape"][1:3]) not in ((case["h"], case["w"]), ())
        if native not in networks:
            networks[native] = _network(SPECS[name], parity, native)
        outputs = np.asarray(networks[native](fill.image(case))["logits"])
        check(outputs, case)
        keras.backend.clear_session()


@pytest.mark.parametrize("name", NAMES)
def test_size(name):
    parity = fill.read(FILES[name])
    model = models.build(
        SPECS[name], parity["num_classes"], (*parity["gmacs_size"], 3), normalization=None, native_resolution=True
    )
    unused = sum(np.prod(shape) for key, shape, kind in parity["state"] if key in parity["unused"] and _trained(kind))
    trainable = sum(np.prod(v.shape) for v in model.trainable_variables)
    assert trainable in (parity["trainable_params"], parity["trainable_params"] - unused)
    np.testing.assert_allclose(profile.multiply_accumulates(model), parity["gmacs"] * 1e9, rtol=1e-5)


def check(outputs, case):
    """Within 20 times the float32 noise of the reference for 99.9 % of the sampled values, and for their statistics."""
    assert list(outputs.shape) == case["output_shape"]
    if case["values"] is None:  # held out
        assert np.isfinite(outputs).all()
        return
    tolerance = max(20 * case["float32_noise"], 1e-5)
    error = np.abs(fill.samples(outputs) - case["values"]) / case["std"]
    # Max-unpooling puts a value elsewhere where two inputs of a pool nearly tie.
    assert np.mean(error <= tolerance) >= 0.999, f"{error.max()=} {np.median(error)=} {tolerance=}"
    y = outputs.astype(np.float64)
    for statistic in ("mean", "std", "min", "max"):
        assert abs(getattr(y, statistic)() - case[statistic]) / case["std"] <= tolerance, statistic


def _network(spec, parity, native):
    model = models.build(spec, parity["num_classes"], normalization=None, native_resolution=native)
    try:
        weights.load(model, fill.state_dict(parity))
    except ValueError:  # the unused heads may be missing, all of them
        weights.load(model, fill.state_dict(parity, drop=parity["unused"]))
    return model


def _trained(kind):
    return kind not in ("running_mean", "running_var") and not kind.startswith(("fixed", "alias"))
