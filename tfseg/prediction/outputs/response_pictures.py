"""`response_pictures/NAME.png`: the image, and beside it what each of the strongest peaks responds to."""

from input_pipeline.source import files
from tfseg import pictures
from tfseg.prediction.outputs import Output
from tfseg.prediction.outputs.peaks import check


def response_pictures(*, most: int = 7, width: int = 192) -> Output:
    """At most `most` peaks; each picture is `width` pixels wide."""
    if most < 1 or width < 16:
        raise ValueError(f"Expected most of 1 or more and width of 16 or more pixels. Received: {most=}, {width=}.")

    def draw(prediction, run):
        found = prediction.objects.peaks
        titles = [f"{run.names[peak.kind]} {peak.value:.2f}" for peak in found.listed[:most]]
        return files.encode_png(pictures.responses(prediction.image, found.responses[:most], titles, width))

    return Output("response_pictures", draw, needs_objects=True, check_run=check)
