"""Reads and writes files of PyTorch weights (.pth, .safetensors) as dicts of NumPy arrays."""

import pathlib
from collections.abc import Mapping

import numpy as np
import safetensors
import safetensors.numpy

from models.weights import pth

_SAFETENSORS = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?",
}  # fmt: skip
_WRAPPERS = ("state_dict", "model", "model_state")  # keys under which programs save the state dict among other things
_PLAIN = (bool, int, float, str, pth.Ignored, type(None))


def read(path):
    """Reads a `.pth` or `.safetensors` file into a dict of key -> numpy array."""
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"Expected a weights file. Received: {path}, which is not there.")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix in (".pth", ".pt", ".bin"):
        return _read_pth(path)
    raise ValueError(f"Expected a .pth or .safetensors file. Received: {path}.")


def write(path, state_dict):
    """Writes a dict of key -> numpy array to a `.safetensors` file, which `read` and PyTorch's tools can read."""
    path = pathlib.Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"Expected a .safetensors file to write. Received: {path}.")
    # The library writes the memory that an array begins in: of a column that would be the first row.
    safetensors.numpy.save_file({key: np.ascontiguousarray(array) for key, array in state_dict.items()}, path)


def _read_pth(path):
    state = pth.load(path)
    for wrapper in _WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    tensors = state if isinstance(state, Mapping) else {}
    tensors = {key: value for key, value in tensors.items() if not _is_plain(value)}
    if not tensors or not all(isinstance(value, pth.Tensor) for value in tensors.values()):
        raise ValueError(f"Expected a state dict, of tensors only. Received: {path} holding {type(state).__name__}.")
    try:
        return {key: value.numpy() for key, value in tensors.items()}
    except ValueError as error:
        raise ValueError(f"Expected a whole checkpoint of tensors. Received: {path}: {error}.") from error


def _is_plain(value):
    """Whether it is a number, a text or a list of these: milesial/Pytorch-UNet's state dicts have such an entry."""
    return all(isinstance(item, _PLAIN) for item in (value if isinstance(value, list | tuple) else [value]))


def _read_safetensors(path):
    try:
        entries = safetensors.deserialize(path.read_bytes())
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"Expected a whole .safetensors file. Received: {path}, cut off or not of this format: {error}. Download it again."
        ) from error
    return {key: _array(path, key, entry).reshape(entry["shape"]) for key, entry in entries}


def _array(path, key, entry):
    if entry["dtype"] == "BF16":  # the upper half of a float32; NumPy has no type for it
        return (np.frombuffer(entry["data"], "<u2").astype("<u4") << 16).view("<f4")
    if entry["dtype"] not in _SAFETENSORS:
        known = ", ".join(_SAFETENSORS)
        raise ValueError(f"Expected tensors of {known} or BF16. Received: {key} of {entry['dtype']} in {path}.")
    return np.frombuffer(entry["data"], _SAFETENSORS[entry["dtype"]])
