"""`responses/NAME.npz`: the peak response maps of an image, and its class maps."""

import io

import numpy as np

from tfseg.prediction.outputs import Output
from tfseg.prediction.outputs.peaks import check


def responses(*, compress: bool = True) -> Output:
    """With `file = np.load(path)`, `file["responses"]` is float32 [peaks, height, width], in the order of `peaks/NAME.json`.

    Each has the sum 1. `file["class_maps"]` is float32 [rows, columns, classes]. Without `compress` it is written faster.
    """

    def draw(prediction, run):
        file, found = io.BytesIO(), prediction.objects.peaks
        arrays = {"responses": found.responses, "class_maps": found.class_maps}
        (np.savez_compressed if compress else np.savez)(file, **arrays)
        return file.getvalue()

    return Output("responses", draw, ".npz", needs_objects=True, check_run=check)
