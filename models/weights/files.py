"""Files of PyTorch weights (.pth, .safetensors) as dicts of NumPy arrays."""

import json
import pathlib
from collections.abc import Mapping

import numpy as np

_SAFETENSORS = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?",
}  # fmt: skip


def read(path):
    """Reads a `.pth` (needs torch) or `.safetensors` file into a dict of key -> numpy array."""
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"Expected a weights file. Received: {path}, which is not there.")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix in (".pth", ".pt", ".bin"):
        return _read_pth(path)
    raise ValueError(f"Expected a .pth or .safetensors file. Received: {path}.")


def _read_pth(path):
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"Expected the torch package, to read {path.name}. Received: none. "
            "`pip install torch`, or save the weights as .safetensors."
        ) from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its unpickler and its zip reader raise
        raise ValueError(
            f"Expected a whole checkpoint of tensors. Received: {path}, which torch refuses: {error}"
        ) from error
    for wrapper in ("state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ValueError(f"Expected a state dict, of tensors only. Received: {path} holding {type(state).__name__}.")
    if all(key.startswith("module.") for key in state):  # saved from torch.nn.DataParallel
        state = {key.removeprefix("module."): value for key, value in state.items()}
    return {key: (value.float() if value.dtype == torch.bfloat16 else value).numpy() for key, value in state.items()}


def _read_safetensors(path):
    """Eight bytes of header length, a JSON header {key: {dtype, shape, data_offsets}}, then the little-endian data."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or len(data) < 8 + length:
        raise ValueError(
            f"Expected a whole .safetensors file. Received: {path}, cut off in its header ({len(data)} bytes)."
        )
    try:
        header = json.loads(data[8 : 8 + length])
    except ValueError as error:
        raise ValueError(
            f"Expected a .safetensors file. Received: {path}, whose header is no JSON: {error}."
        ) from error
    header.pop("__metadata__", None)
    body, state = memoryview(data)[8 + length :], {}
    for key, entry in header.items():
        begin, end = entry["data_offsets"]
        if end > len(body):
            missing = f"cut off: {key} ends at byte {8 + length + end} of {len(data)}"
            raise ValueError(f"Expected a whole .safetensors file. Received: {path}, {missing}.")
        raw = body[begin:end]
        if entry["dtype"] == "BF16":  # the upper half of a float32
            array = (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
        elif entry["dtype"] in _SAFETENSORS:
            array = np.frombuffer(raw, _SAFETENSORS[entry["dtype"]])
        else:
            raise ValueError(
                f"Expected one of {', '.join(_SAFETENSORS)}, BF16. Received: {key} of {entry['dtype']} in {path}."
            )
        state[key] = array.reshape(entry["shape"])
    return state
