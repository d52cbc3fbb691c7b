"""Reads the reference numbers of `beyond`: the project's own, or those in the folder that REFERENCE_DIR names."""

import gzip
import json
import os
import pathlib

OWN = pathlib.Path(__file__).parents[2] / "reference"


def files(name):
    """The contents of every file whose name begins with `name`, .json or .json.gz, of the first folder that has any."""
    for folder in (os.environ.get("REFERENCE_DIR") or OWN, OWN):
        if paths := sorted((pathlib.Path(folder) / "beyond").glob(f"{name}*.json*")):
            return [_read(path) for path in paths]
    raise FileNotFoundError(f"Expected {name}.json.gz or {name}.json in {OWN / 'beyond'}.")


def own(name):
    """The contents of the project's own file, whatever REFERENCE_DIR says."""
    return _read(OWN / "beyond" / f"{name}.json.gz")


def _read(path):
    return json.loads(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_text())
