"""`instances/NAME.png`: a gray PNG of 16 bits, in which the pixels of an object have its number, and others 0.

What class and score a number has stands in `boxes/NAME.json`.
"""

from input_pipeline.source import files
from tfseg.prediction.outputs import Output


def instances() -> Output:
    """Refuses a network that finds no instances."""
    return Output(
        "instances",
        lambda prediction, run: files.encode_png(prediction.objects.ids),
        needs_objects=True,
        check_run=_check,
    )


def _check(run):
    if not (run.finder.with_ids or run.finder.search):
        raise ValueError(
            "Expected a network with an output `embedding` or `class_maps`, or with masks of its boxes, for "
            "--outputs=instances. Received: one without. Take a run with instances, or leave instances out."
        )
