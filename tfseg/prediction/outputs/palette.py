"""`palette/NAME.png`: ids as in `labels`, which picture viewers show in the colours of the classes."""

import io
from collections.abc import Mapping

import numpy as np
from PIL import Image

from tfseg.prediction.outputs import Output


def palette() -> Output:
    """Refuses ids above 255, which a palette PNG cannot hold."""

    def draw(prediction, run):
        table = dict(zip(run.ids.tolist(), run.colors.tolist(), strict=True))
        return encoded(run.ids[prediction.label], table)

    return Output("palette", draw, check_run=_check)


def encoded(ids: np.ndarray, colors: Mapping[int, tuple[int, int, int]]) -> bytes:
    """A palette PNG.

    Args:
        ids: uint8 [height, width].
        colors: RGB 0..255 by id; other ids are black.
    """
    image = Image.fromarray(ids)  # mode L, of which `putpalette` makes P
    image.putpalette([value for i in range(256) for value in colors.get(i, (0, 0, 0))])
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _check(run):
    if run.ids.dtype != np.uint8:
        raise ValueError(
            f"Expected ids of 0..255 for --outputs=palette. Received: ids up to {run.ids.max()}. Use labels and colors, or "
            "--label_ids=train."
        )
