"""`probabilities/NAME.npz`: the probability of each class at each pixel."""

import io

import numpy as np

from tfseg.prediction.outputs import Output


def probabilities(*, compress: bool = True) -> Output:
    """`np.load(path)["probabilities"]` is float16 [height, width, classes]; without `compress` it is written faster."""

    def draw(prediction, run):
        file = io.BytesIO()
        (np.savez_compressed if compress else np.savez)(file, probabilities=prediction.probabilities)
        return file.getvalue()

    return Output("probabilities", draw, ".npz", needs_probabilities=True)
