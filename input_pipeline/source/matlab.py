"""Arrays in MATLAB level 5 files (version 5 to 7; 7.3 is HDF5). Source: MAT-File Format, The MathWorks."""

import struct
import zlib
from pathlib import Path

import numpy as np

# What a number is stored as, by its code; 14 is a matrix, 15 a compressed element.
_STORED = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"}
_MATRIX, _COMPRESSED = 14, 15
_STRUCTURE = 2  # of the classes of a matrix


def read(path: Path) -> dict[str, np.ndarray | dict]:
    """Returns the real numeric arrays of a MATLAB level 5 file by name; those of a structure as a dictionary of its own.

    Cells, texts, sparse arrays and arrays of structures are left out.

    Raises ValueError where the file is none or is cut.
    """
    data = path.read_bytes()
    if data[126:128] != b"IM":
        raise ValueError(f"Expected a MATLAB level 5 file, little endian. Received: {path}, which is none.")
    found = {}
    try:
        for code, body in _elements(data[128:]):
            if code == _COMPRESSED:
                ((code, body),) = _elements(zlib.decompress(body))
            if code == _MATRIX:
                name, value = _matrix(body)
                found |= {} if value is None else {name: value}
    except (KeyError, ValueError, struct.error, zlib.error) as error:
        raise ValueError(f"Expected a whole MATLAB level 5 file. Received: {path}: {error}.") from error
    return found


def _matrix(body):
    """Returns the name of a matrix and its values, None where it is left out."""
    if not len(body):  # an empty field
        return "", None
    (_, flags), (_, shape), (_, name), *parts = _elements(body)
    shape, value = np.frombuffer(shape, "<i4"), None
    if 6 <= flags[0] <= 15:  # the numeric classes
        stored, values = parts[0]
        value = np.frombuffer(values, _STORED[stored]).reshape(shape, order="F")
    elif flags[0] == _STRUCTURE and (shape == 1).all():
        (_, width), (_, names), *fields = parts
        width = int.from_bytes(width, "little")
        keys = [bytes(names[i : i + width]).split(b"\0")[0].decode() for i in range(0, len(names), width)]
        values = {key: _matrix(field)[1] for key, (_, field) in zip(keys, fields, strict=True)}
        value = {key: v for key, v in values.items() if v is not None}
    return bytes(name).decode(), value


def _elements(data):
    """Yields (code, bytes) of each element; a small one keeps its size beside its code, others are padded to 8 bytes."""
    at = 0
    while at < len(data):
        code, size = struct.unpack_from("<II", data, at)
        small, at = code >> 16, at + (4 if code >> 16 else 8)
        code, size = (code & 0xFFFF, small) if small else (code, size)
        if at + size > len(data):
            raise ValueError("it is cut")
        yield code, data[at : at + size]
        at += 4 if small else size + (0 if code == _COMPRESSED else -size % 8)
