"""`colors/NAME.png`: the classes in their colours, RGB."""

from input_pipeline.source import files
from tfseg import pictures
from tfseg.prediction.outputs import Output, in_bands


def colors() -> Output:
    """The label map in colour."""

    def draw(prediction, run):
        return files.encode_png(in_bands(lambda part: pictures.colorize(part, run.colors), prediction.label))

    return Output("colors", draw)
