"""`boxes/NAME.json`: the objects of an image with their classes, scores and boxes.

    {"width": 256, "height": 192,
     "objects": [{"class": "car", "id": 8, "score": 0.9312, "box": [10.5, 80.0, 61.25, 112.75]},
                 {"class": "car", "id": 8, "score": 0.8977, "box": [10.0, 80.0, 61.0, 113.0],
                  "instance": 1, "pixels": 1204}]}

`id` is the class's id of --label_ids. `box` is x1, y1, x2, y2: the left, upper, right and lower edge in pixels, where 0, 0 is
the upper left corner of the image and width, height its lower right one. First come the boxes of the network, by falling score.
Then come its instances: one is the pixels of the value `instance` in `instances/NAME.png`, and its box is around them.
"""

import json

from tfseg.prediction.outputs import Output


def boxes() -> Output:
    """Refuses a network that finds no objects."""

    def draw(prediction, run):
        height, width = prediction.label.shape
        about = {"width": width, "height": height, "objects": [_row(one, run) for one in prediction.objects.listed]}
        return (json.dumps(about, indent=1) + "\n").encode()

    return Output("boxes", draw, ".json", needs_objects=True, check_run=check)


def check(run) -> None:
    """Raises ValueError if the network finds no objects."""
    if not (run.finder.reads or run.finder.search):
        raise ValueError(
            "Expected a network with an output `detection`, `embedding` or `class_maps` for --outputs=boxes. Received: one "
            "without. Take a run with boxes or instances, or leave boxes out."
        )


def _row(one, run):
    row = {"class": run.names[one.kind], "id": int(run.ids[one.kind]), "score": round(one.score, 4)}
    row["box"] = [round(edge, 2) for edge in one.box]
    return row | ({"instance": one.instance, "pixels": one.pixels} if one.instance else {})
