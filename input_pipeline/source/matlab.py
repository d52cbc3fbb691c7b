"""Reads arrays from MATLAB files of version 5 to 7. Files of version 7.3 are HDF5, which h5py reads."""

from pathlib import Path

import numpy as np
import scipy.io


def read(path: Path) -> dict[str, np.ndarray | dict]:
    """Returns the real numeric arrays of a MATLAB file by name. A structure is a dictionary of its arrays.

    Cells, texts, sparse arrays and arrays of structures are left out.

    Raises:
        ValueError: if the file is of another kind, or cut.
    """
    if path.read_bytes()[126:128] != b"IM":  # a file of another kind gets another message than a cut one
        raise ValueError(f"Expected a MATLAB level 5 file, little endian. Received: {path}, which is none.")
    try:
        # Structures as arrays with named fields, without the variables that scipy adds.
        found = scipy.io.loadmat(path, mat_dtype=False, verify_compressed_data_integrity=True)
    except Exception as error:  # on damaged bytes scipy raises many kinds of exceptions
        raise ValueError(
            f"Expected a whole MATLAB level 5 file. Received: {path}: {error}. Download it again."
        ) from error
    return _numeric({name: value for name, value in found.items() if not name.startswith("__")})


def _numeric(values):
    kept = {name: _value(value) for name, value in values.items()}
    return {name: value for name, value in kept.items() if value is not None}


def _value(value):
    """A numeric array unchanged, a structure as a dictionary, None for anything else."""
    if not isinstance(value, np.ndarray):
        return None
    if value.dtype.names and value.size == 1:
        return _numeric({name: value[name].item() for name in value.dtype.names})
    return value if value.dtype.kind in "iuf" else None
