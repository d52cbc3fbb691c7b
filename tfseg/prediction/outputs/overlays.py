"""`overlays/NAME.png`: the colours of the classes over the image, as opaque as --opacity says, and the objects."""

import numpy as np

from input_pipeline.source import files
from tfseg import pictures
from tfseg.objects import Objects
from tfseg.prediction.outputs import Output, Prediction, Run, in_bands


def overlays(*, legend: bool = False, objects: bool = True) -> Output:
    """With `legend`, the names of the classes stand beneath each image. `objects` are boxes and instances, if there are any."""

    def draw(prediction, run):
        shown = prediction if objects else prediction._replace(objects=Objects())
        return files.encode_png(picture(shown, run, legend))

    return Output("overlays", draw, needs_objects=objects)


def picture(prediction: Prediction, run: Run, legend: bool = False, all_classes: bool = False) -> np.ndarray:
    """The overlay: RGB uint8 [height, width, 3], as large as the image where there is no legend.

    An instance has a colour of its own, a box that of its class. The legend has all classes, or, of more than 30 and without
    `all_classes`, those that occur.
    """
    objects = prediction.objects
    if objects.ids is None:
        drawn = in_bands(
            lambda image, label: pictures.overlay(image, label, run.colors, run.opacity),
            prediction.image,
            prediction.label,
        )
    else:
        drawn = pictures.with_instances(prediction.image, prediction.label, objects, run.colors, run.opacity)
    if objects.listed:
        drawn = pictures.with_objects(drawn, objects, run.names, run.colors)
    if not legend:
        return drawn
    shown = range(len(run.names)) if all_classes or len(run.names) <= 30 else np.unique(prediction.label).tolist()
    return pictures.with_legend(drawn, [run.names[i] for i in shown], run.colors[list(shown)])
