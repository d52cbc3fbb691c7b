"""`peaks/NAME.json`: the peaks of the class maps of an image.

    {"width": 64, "height": 64, "rows": 64, "columns": 64,
     "scores": {"seven": 3.21, "one": -1.05},
     "peaks": [{"class": "seven", "id": 8, "value": 3.9, "cell": [12, 40], "pixel": [41, 13], "response": 0, "instance": 1}]}

`scores` are those of the classes: above 0 a class is more likely there than not. Peaks come by falling `value`, that of the
class map in `cell`, [row, column] of `rows` x `columns`. `pixel` is x and y of the pixel that the peak responds to most.
`response` is the number of its map in `responses/NAME.npz`, from 0, and `instance` the value of its mask in
`instances/NAME.png`. `id` is the class's id of --label_ids.
"""

import json

from tfseg.prediction.outputs import Output


def peaks() -> Output:
    """Refuses a network without class maps."""

    def draw(prediction, run):
        found, (height, width) = prediction.objects.peaks, prediction.label.shape
        rows, columns = found.class_maps.shape[:2]
        scores = {name: round(float(score), 4) for name, score in zip(run.names, found.scores, strict=True)}
        listed = [_row(number, peak, run) for number, peak in enumerate(found.listed)]
        about = {"width": width, "height": height, "rows": rows, "columns": columns, "scores": scores, "peaks": listed}
        return (json.dumps(about, indent=1) + "\n").encode()

    return Output("peaks", draw, ".json", needs_objects=True, check_run=check)


def check(run) -> None:
    """Raises ValueError if the network has no peaks."""
    if not run.finder.search:
        raise ValueError(
            "Expected a network with outputs `class_maps` and `class_scores` for --outputs of peaks. Received: one without. "
            "Take a run of peak_response, or leave peaks, responses and response_pictures out."
        )


def _row(number, peak, run):
    about = {"class": run.names[peak.kind], "id": int(run.ids[peak.kind]), "value": round(peak.value, 4)}
    return about | {"cell": peak.cell, "pixel": peak.place, "response": number, "instance": peak.instance}
