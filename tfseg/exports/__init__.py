"""Formats of an export. Each file holds one; every file here is a format that --format may name.

QUANTIZE: the values of --quantize that the format can do, "none" first.
PACKAGES: {module: name to install} of what writing and checking needs besides tensorflow.
FILE: the file of the network in the folder of the export; "" where it is the whole folder.
SIZE: of images. `any`: known only at run time; `fixed`: one, and one image at a time; `either`: --export_size may fix it.
def write(graph, path): writes the network; `graph` is a tfseg.export.Graph. A dict that it returns is added to export.json.
def load(path) -> run(images) -> {name: array}: opens it with its own runtime. It imports nothing else of tfseg, because the
    check of an export runs it in a process that has the runtime only.
def graph(path) -> (function of a tensor to the outputs by name, {name: shape}): only where the runtime is TensorFlow. `load`
    inside another graph would wait for ever for the thread that this graph runs on.
"""

import importlib.util
import sys
from types import ModuleType

from tfseg import spec as specs


def names() -> list[str]:
    """The formats."""
    return specs.names(__name__)


def find(name: str) -> ModuleType:
    """The module of a format; raises ValueError, with the known ones, for another name."""
    module = specs.find(__name__, name, names())
    specs.check_module(module, ["QUANTIZE", "PACKAGES", "FILE", "SIZE", "write", "load"])
    return module


def check(name: str, quantize: str) -> None:
    """Raises an error before the work if a format cannot be written here, or not with this --quantize."""
    module = find(name)
    if quantize not in module.QUANTIZE:
        can = [other for other in names() if quantize in find(other).QUANTIZE]
        raise ValueError(
            f"Expected --quantize to be one of {', '.join(module.QUANTIZE)} with --format={name}. Received: "
            f"--quantize={quantize}, which these formats have: {', '.join(can)}."
        )
    missing = [package for found, package in module.PACKAGES.items() if not installed(found)]
    if missing:
        raise ImportError(
            f"Expected the packages of --format={name}. Received: none of {', '.join(missing)}. "
            f"Install them: pip install {' '.join(missing)}"
        )


def installed(module: str) -> bool:
    """Whether a module can be imported, without importing it."""
    return module in sys.modules or importlib.util.find_spec(module) is not None
