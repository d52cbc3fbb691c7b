"""J and F: how well the objects of a sequence were followed.

Perazzi, Pont-Tuset, McWilliams, Van Gool, Gross, Sorkine-Hornung, A Benchmark Dataset and Evaluation Methodology for Video
Object Segmentation, CVPR 2016. J is the IoU of an object, F the F1 of its outline. The first and the last frame of a sequence
do not count. An outline is here the object's pixels with a 4-neighbour outside of it, and a pixel of one outline is met if one
of the other lies within the tolerance; the benchmark draws its outlines between pixels, so its F differs a little.
"""

from collections.abc import Sequence

import numpy as np

from input_pipeline import IGNORE
from tfseg.metrics.boundary_f1 import edges, near

TOLERANCE = 0.008  # of the picture's diagonal, rounded up to pixels


def region(mask: np.ndarray, true: np.ndarray, valid: np.ndarray) -> float:
    """J: intersection over union of two masks, 1 if both are empty; all bool [height, width]."""
    union = ((mask | true) & valid).sum()
    return float((mask & true & valid).sum() / union) if union else 1.0


def outline(mask: np.ndarray, true: np.ndarray, valid: np.ndarray) -> float:
    """F: 2 PR / (P + R) of the outlines of two masks, 1 if both have none; all bool [height, width]."""
    tolerance = float(np.ceil(TOLERANCE * np.hypot(*mask.shape)))
    given, wanted = edges(mask, valid), edges(true, valid)
    if not given.any() or not wanted.any():
        return float(given.any() == wanted.any())
    precision = near(given, wanted, tolerance) / given.sum()
    recall = near(wanted, given, tolerance) / wanted.sum()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def of_sequence(ids: Sequence[np.ndarray], true: Sequence[np.ndarray | None]) -> dict:
    """The scores of a sequence: the mean over the frames, then over the objects.

    Args:
        ids: of the objects in each frame, 0 for none, integers [height, width].
        true: the same, 255 where a pixel does not count; None for a frame without them.

    Returns:
        {"J": 0..1, "F": 0..1, "J_and_F": their mean, "objects": {id: {"J": .., "F": ..}}}, of the objects in the first mask.

    Raises:
        ValueError: if no frame between the first and the last has true ids, or the first has no object.
    """
    objects = [] if true[0] is None else [int(k) for k in np.unique(true[0]) if k not in (0, IGNORE)]
    pairs = [pair for pair in list(zip(ids, true, strict=True))[1:-1] if pair[1] is not None]
    if not objects or not pairs:
        raise ValueError(
            "Expected true ids of the first frame, with an object, and of one or more between the first and the last. "
            f"Received: {len(objects)} objects, and {len(pairs)} frames."
        )
    found = {}
    for k in objects:
        masks = [(given == k, wanted == k, wanted != IGNORE) for given, wanted in pairs]
        found[k] = {name: float(np.mean([score(*m) for m in masks])) for name, score in (("J", region), ("F", outline))}
    return {**mean_of(list(found.values())), "objects": found}


def mean_of(scores: Sequence[dict]) -> dict:
    """The means of J and F over objects or over sequences, each with the same weight, and the mean of both."""
    j, f = (float(np.mean([one[name] for one in scores])) for name in ("J", "F"))
    return {"J": j, "F": f, "J_and_F": (j + f) / 2}
