"""The numbers that a parity file stands for: weights from their keys, the input and the sampled outputs from seeds.

A parity file says what a public reference network computes when every entry of its state dict is drawn as here, from a
generator seeded with the CRC of the entry's name. `specs.json` says which of our networks answers to which file.
"""

import gzip
import json
import math
import pathlib
import zlib

import numpy as np

FOLDER = pathlib.Path(__file__).parent


def read(path):
    with gzip.open(path) as file:
        return json.load(file)


def state_dict(parity, drop=()):
    """Key -> float32 array in PyTorch's layout, without the keys of `drop`."""
    arrays = {}
    for key, shape, kind in parity["state"]:
        if key in drop:
            continue
        if kind.startswith("alias:"):  # the tensor of another entry, registered twice
            arrays[key] = arrays[kind.removeprefix("alias:")]
        else:
            arrays[key] = draw(key, tuple(shape), kind, parity["gain"])
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
    """The values that a case lists: `count` of them in their order, or all where there are no more."""
    flat = np.asarray(outputs, np.float64).reshape(-1)
    if flat.size <= count:
        return flat
    return flat[np.sort(np.random.default_rng(seed).choice(flat.size, count, replace=False))]
