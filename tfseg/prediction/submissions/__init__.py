"""What --submission names: every file of this folder is a benchmark, and says how its server wants the label maps.

A file has a function of its own name that takes the options and returns a `Format`.
"""

import contextlib
import dataclasses
import zipfile
from collections.abc import Callable

import cv2
import numpy as np

import input_pipeline
from input_pipeline.source import files
from tfseg import spec as specs
from tfseg.prediction import folders
from tfseg.prediction.outputs import Output, palette

DATE = (1980, 1, 1, 0, 0, 0)  # of the files in the archive: the same predictions give the same archive


@dataclasses.dataclass(frozen=True)
class Format:
    """How a benchmark wants its label maps: PNG files of the ids in its class table, in a zip archive."""

    dataset: str  # whose class table has the ids
    place: Callable[
        [str], str
    ]  # path in the archive for the name of an image, "" for a name that the server does not know
    example: str  # of a name
    size: tuple[int, int] | None = None  # height and width of each map; None: those of the image
    palette: bool = False  # whether the PNG has the colours of the classes


def build(spec: str) -> Output:
    """The output `submission_<name>.zip` of a spec, e.g. `voc(competition=5)`.

    Raises:
        ValueError: for an unknown name or option.
    """
    call = specs.parse(spec)
    form = specs.apply(specs.function(__name__, call.name), call)
    table = input_pipeline.classes(form.dataset)

    def draw(prediction, run):
        ids = _ids(run, table, form)[prediction.label]
        if form.size and ids.shape != form.size:
            ids = cv2.resize(ids, form.size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        return palette.encoded(ids, {c.raw: c.color for c in table}) if form.palette else files.encode_png(ids)

    return Output(
        f"submission_{call.name}.zip",
        draw,
        "",
        "run",
        lambda path, run, fps: _written(path, form),
        check_names=lambda names: _check_names(names, call.name, form),
        check_run=lambda run: _ids(run, table, form),
    )


def names() -> list[str]:
    """The names that --submission takes."""
    return specs.names(__name__)


@contextlib.contextmanager
def _written(path, form):
    with folders.whole(path) as aside, zipfile.ZipFile(aside, "w") as archive:  # PNG files do not shrink further
        yield lambda prediction, data: archive.writestr(zipfile.ZipInfo(form.place(prediction.name), DATE), data)


def _ids(run, table, form):
    """The benchmark's id for each train id, uint8 [classes]; classes are matched by their names."""
    known = {c.name: c.raw for c in table}
    if unknown := [name for name in run.names if name not in known]:
        raise ValueError(
            f"Expected, for --submission, a run with the classes of {form.dataset}: {', '.join(known)}. Received: "
            f"{', '.join(unknown[:10])}{', ...' if unknown[10:] else ''}, which are none of them."
        )
    return np.array([known[name] for name in run.names], np.uint8)


def _check_names(names, submission, form):
    """Raises ValueError unless each image has a place of its own in the archive."""
    places = {}
    for name in names:
        place = form.place(name)
        if not place:
            raise ValueError(
                f"Expected, for --submission={submission}, images with names such as {form.example}. Received: {name}."
            )
        if place in places:
            raise ValueError(f"Expected one image for {place}. Received: {places[place]} and {name}.")
        places[place] = name
