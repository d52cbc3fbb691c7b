"""The numbers that a parity file stands for: weights from their keys, the input and the sampled outputs from seeds.

A parity file says what a public reference network computes when every entry of its state dict is drawn as here, from a
generator seeded with the CRC of the entry's name. Its key "spec" says which of our networks must compute the same, and its
name begins with the name of that network's module. `tools/write_parity.py` writes such files.

The files lie beside this module, or in the folder that the environment variable PARITY_DIR names. There a file may lack its
spec, which a `specs*.json` in the same folder then gives: {name of the file: spec}.
"""

import functools
import gzip
import json
import math
import os
import pathlib
import zlib

import numpy as np

FOLDER = pathlib.Path(__file__).parent


def folder():
    """The folder with the files that this run reads."""
    return pathlib.Path(os.environ.get("PARITY_DIR") or FOLDER)


@functools.cache
def read_all(folder=FOLDER):
    """Read once: {name of a file, without its suffix: its content}; `content["spec"]` is None if it is not known."""
    if not folder.is_dir():
        raise FileNotFoundError(f"Expected a folder of parity files. Received: {folder}, which is none.")
    tables = sorted(folder.glob("specs*.json"))
    specs = {name: spec for path in tables for name, spec in json.loads(path.read_text()).items()}
    found = {}
    for path in sorted({*folder.glob("*.json"), *folder.glob("*.json.gz")} - {*tables}):
        name = path.name.removesuffix(".gz").removesuffix(".json")
        found[name] = {"spec": specs.get(name), **read(path)}
    return found


def read(path):
    """The content of a .json or .json.gz file."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        return json.load(file)


def state_dict(parity, drop=()):
    """Key -> float32 array in PyTorch's layout, without the keys of `drop`."""
    arrays = {}
    for key, shape, kind in parity["state"]:
        if key in drop:
            continue
        if kind.startswith("alias:"):  # the tensor of another entry, registered twice
            arrays[key] = arrays[kind.removeprefix("alias:")]
        elif kind == "fixed":  # a constant that no rule gives
            arrays[key] = np.asarray(parity["fixed_values"][key], np.float32).reshape(shape)
        else:
            arrays[key] = draw(key, tuple(shape), kind, parity["gain"])
    # What the reference draws anew at every call was fixed for the file.
    for extra in parity.get("extra_inputs", {}).values():
        if extra["then"] != "divide by the L2 norm over axis 1":
            raise ValueError(f"Expected a known step after the draw. Received: {extra['then']!r} of {extra['key']!r}.")
        array = draw(extra["key"], tuple(extra["shape"]), extra["kind"], parity["gain"])
        arrays[extra["key"]] = array / np.linalg.norm(array, axis=1, keepdims=True)
    return arrays


def draw(key, shape, kind, gain=1.0):
    """One entry of a state dict."""
    generator = np.random.default_rng(zlib.crc32(key.encode()))
    match kind:
        case "running_mean" | "bias":
            array = 0.1 * generator.standard_normal(shape)
        case "running_var" | "norm_weight" | "scale":
            array = generator.uniform(0.5, 1.5, shape)
        case "prelu":
            array = generator.uniform(0.1, 0.4, shape)
        case "conv" | "linear":
            array = generator.standard_normal(shape) * (math.sqrt(2.0 / math.prod(shape[1:])) * gain)
        case "deconv":  # the taps that reach one pixel at stride 2
            taps = shape[0] * math.prod(shape[2:]) / 4.0
            array = generator.standard_normal(shape) * (math.sqrt(2.0 / taps) * gain)
        case "fixed_bilinear":
            array = _bilinear(shape)
        case "fixed_zeros" | "fixed_ones":
            array = np.full(shape, kind == "fixed_ones")
        case _:
            raise ValueError(f"Expected a kind with a rule. Received: {kind!r} of {key!r}.")
    return array.astype(np.float32)


def _bilinear(shape):
    """The tent that doubles (or more) a resolution, from channel i to channel i, or one for each group."""
    size = shape[2]
    half = (size + 1) // 2
    center = half - 1.0 if size % 2 else half - 0.5
    tent = 1.0 - np.abs(np.arange(size) - center) / half
    array = np.zeros(shape)
    for i in range(min(shape[:2]) if shape[1] > 1 else shape[0]):
        array[i, i if shape[1] > 1 else 0] = np.outer(tent, tent)
    return array


def image(case):
    """The input of a case, [1, height, width, 3]."""
    shape = (1, case["h"], case["w"], 3)
    return np.random.default_rng(case["seed"]).standard_normal(shape).astype(np.float32)


def samples(outputs, count=2048, seed=1):
    """The values that a case lists: `count` of them in order, or all if there are fewer."""
    flat = np.asarray(outputs, np.float64).reshape(-1)
    if flat.size <= count:
        return flat
    return flat[np.sort(np.random.default_rng(seed).choice(flat.size, count, replace=False))]
