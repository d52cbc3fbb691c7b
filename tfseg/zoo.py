"""Trained weights in the folder `zoo`: `--init_from=zoo:<name>`.

For each name `zoo/index.json` has the file, its SHA-256, the network and its classes, so that a name is enough to
predict, evaluate, export or start a training. `tools/release.py` adds an entry from a run.
"""

import dataclasses
import hashlib
import json
import pathlib

import tfseg.spec as specs
from tfseg import config as config_lib

FOLDER = pathlib.Path(__file__).parents[1] / "zoo"
PREFIX = "zoo:"


@dataclasses.dataclass(frozen=True)
class Entry:
    """One network of the zoo, as `index.json` describes it."""

    file: str  # in the folder of the zoo
    sha256: str
    model: str  # spec for `models.build`
    normalization: str
    classes: list  # of the network, each [name, [red, green, blue], raw id]
    dataset: str  # that it was trained on, a spec
    data_license: str
    miou: float  # on `split` of the data set, 0..1
    split: str
    images: int  # in that split
    step: int  # of the training


def is_named(source: str) -> bool:
    """Whether an --init_from names a network of the zoo."""
    return source.startswith(PREFIX)


def entries() -> dict[str, Entry]:
    """All networks of the zoo by name.

    Raises:
        FileNotFoundError: if the folder is not there.
    """
    index = FOLDER / "index.json"
    if not index.is_file():
        raise FileNotFoundError(
            f"Expected trained weights in {index}. Received: no such file. `python -m tools.release` makes it from a run."
        )
    return {name: Entry(**fields) for name, fields in json.loads(index.read_text()).items()}


def find(source: str) -> Entry:
    """The entry that `zoo:<name>` names.

    Raises:
        ValueError: for an unknown name, listing the known ones.
    """
    return specs.choose(entries(), source.removeprefix(PREFIX), "--init_from=zoo: and the name of trained weights")


def path(source: str) -> pathlib.Path:
    """The file of weights that `zoo:<name>` names, after its SHA-256 was compared.

    Raises:
        FileNotFoundError: if the file is not there.
        ValueError: if the file is not the one of the index.
    """
    entry = find(source)
    file = FOLDER / entry.file
    if not file.is_file():
        raise FileNotFoundError(f"Expected the weights of {source} in {file}. Received: no such file.")
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != entry.sha256:
        raise ValueError(
            f"Expected the file of {source} with SHA-256 {entry.sha256}. Received: {file} with {found}. Fetch it again."
        )
    return file


def completed(config: config_lib.Config) -> config_lib.Config:
    """The options with the network of `--init_from=zoo:<name>` where --model is blank; other options stay as they are."""
    if config.model or not is_named(config.init_from):
        return config
    entry = find(config.init_from)
    return dataclasses.replace(config, model=entry.model, normalization=entry.normalization)
