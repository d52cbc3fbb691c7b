"""`overlays/NAME.png`: the colours of the classes over the image, as opaque as --opacity says."""

import numpy as np

from input_pipeline.source import files
from tfseg import pictures
from tfseg.prediction.outputs import Output, Prediction, Run, in_bands


def overlays(*, legend: bool = False) -> Output:
    """With `legend`, the names of the classes stand beneath each image."""
    return Output("overlays", lambda prediction, run: files.encode_png(picture(prediction, run, legend)))


def picture(prediction: Prediction, run: Run, legend: bool = False, all_classes: bool = False) -> np.ndarray:
    """The overlay: RGB uint8 [height, width, 3], as large as the image where there is no legend.

    The legend has all classes, or, of more than 30 and without `all_classes`, those that occur.
    """
    drawn = in_bands(
        lambda image, label: pictures.overlay(image, label, run.colors, run.opacity), prediction.image, prediction.label
    )
    if not legend:
        return drawn
    shown = range(len(run.names)) if all_classes or len(run.names) <= 30 else np.unique(prediction.label).tolist()
    return pictures.with_legend(drawn, [run.names[i] for i in shown], run.colors[list(shown)])
