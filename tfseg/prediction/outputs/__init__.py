"""What --outputs names, `labels | overlays(legend=True)`: every file of this folder is an output.

A file has a function of its own name that takes the options and returns an `Output`.
"""

import dataclasses
import pathlib
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from input_pipeline.source import files
from tfseg import objects as objects_lib
from tfseg import spec as specs

OF_IMAGES, OF_VIDEOS = "labels | colors | overlays", "video"  # what a blank --outputs is
BAND = 256  # how many rows are drawn at once, so that drawing needs little memory


class Prediction(NamedTuple):
    """An image and what the network says of it."""

    name: str  # of its files, without extension
    source: str  # what a message calls the image
    number: int  # 0 is the first image of the run
    image: np.ndarray  # RGB uint8 [height, width, 3]
    label: np.ndarray  # uint16 [height, width], train ids
    probabilities: np.ndarray | None  # float16 [height, width, classes], if an output needs them
    maps: dict[str, np.ndarray]  # uncertainty by kind, uint8 [height, width]; empty without --monte_carlo
    found: dict = types.MappingProxyType({})  # {name: array} of `Finder.compute`, until the objects are made of it
    objects: objects_lib.Objects = objects_lib.Objects()  # where an output needs them


class Run(NamedTuple):
    """What all predictions of a run have in common."""

    classes: list[dict]  # the rows of classes.json
    ids: np.ndarray  # the value in a label map for each train id, uint8 or uint16 [classes]
    colors: np.ndarray  # RGB uint8 [classes, 3]
    opacity: float  # of the colours over an image, 0..1
    finder: objects_lib.Finder = objects_lib.NONE

    @property
    def names(self) -> list[str]:
        """The names of the classes."""
        return [row["name"] for row in self.classes]


@dataclasses.dataclass(frozen=True)
class Output:
    """Something that is written of every image.

    `draw(prediction, run)` runs in a thread. Without `collect` it returns the bytes of a file, one for each image. Otherwise
    several images share a file: `collect(path, run, fps)` is a context manager that gives `add(prediction, drawn)`, which is
    called in the order of the images.
    """

    place: str  # below --output_dir: a folder, or for `each="run"` the file
    draw: Callable[[Prediction, Run], Any]
    extension: str = ".png"
    each: str = "image"  # one file for each `image`, `video`, or `run`; `raster`: see rasters.py
    collect: Callable | None = None
    needs_probabilities: bool = False
    needs_objects: bool = False  # where the network finds some
    check_names: Callable[[list[str]], None] | None = None  # raises ValueError for names that it cannot use
    check_run: Callable[[Run], None] | None = None  # raises ValueError for classes that it cannot write
    options: dict = dataclasses.field(default_factory=dict)

    def path(self, folder: pathlib.Path, name: str) -> pathlib.Path:
        """The file of the image or video `name`."""
        return folder / self.place if self.each == "run" else folder / self.place / f"{name}{self.extension}"


def build(spec: str) -> list[Output]:
    """The outputs of a chain, e.g. `labels | overlays(legend=True)`.

    Raises:
        ValueError: for an unknown name or option, or a name that is given twice.
    """
    calls = specs.parse_chain(spec)
    if len({call.name for call in calls}) < len(calls):
        raise ValueError(f"Expected each output once. Received: --outputs={spec}.")
    found = [specs.apply(specs.function(__name__, call.name), call) for call in calls]
    if len(found) > 1 and any(output.each == "raster" for output in found):
        raise ValueError(
            f"Expected geotiff alone: it reads images by windows, and the others need the whole image. Received: --outputs="
            f"{spec}."
        )
    return found


def names() -> list[str]:
    """The names that --outputs takes."""
    return specs.names(__name__)


def of_objects(finder: objects_lib.Finder) -> list[str]:
    """The outputs that are written of images beside OF_IMAGES, by the objects that the network finds."""
    return [
        *(["boxes"] if finder.reads else []),
        *(["instances"] if finder.with_ids or finder.search else []),
        *(["peaks", "responses", "response_pictures"] if finder.search else []),
    ]


def in_bands(draw: Callable, *arrays: np.ndarray) -> np.ndarray:
    """Draws a picture of arrays of equal height, BAND rows at a time."""
    starts = range(0, len(arrays[0]), BAND)
    return np.concatenate([draw(*(array[start : start + BAND] for array in arrays)) for start in starts])


def uncertainty(kind: str) -> Output:
    """A kind of uncertainty as a gray PNG; with --monte_carlo these are written beside the others."""
    return Output(f"uncertainty/{kind}", lambda prediction, run: files.encode_png(prediction.maps[kind]))
