"""Embeddings of pixels to instances: mean shift, as De Brabandere et al. use it (arXiv:1708.02551, section 2.2)."""

import numpy as np

SHIFTS = 50  # a mean that still moves after so many steps is taken as it is; a few are usual


def mean_shift(embedding: np.ndarray, *, bandwidth: float, smallest: int = 1, most: int = 200) -> np.ndarray:
    """Numbers the clusters of the pixels of one class.

    The first pixel that is in no cluster is the seed. The mean of the pixels within `bandwidth` of it, among those in no
    cluster, takes its place, until it stays; those within `bandwidth` of the last mean are a cluster. This is repeated. As the
    seed is the first in the order, the result is a function of the embedding alone.

    Args:
        embedding: float [pixels, dimensions].
        bandwidth: distance, above 0. At delta_d of the loss it separates clusters that the loss has pushed 2 delta_d apart.
        smallest: clusters of fewer pixels are dropped.
        most: clusters at most, so that the time has a limit for an embedding that is not trained; what is left is in none.

    Returns:
        int32 [pixels]: 0 for none, then 1, 2, .. in the order of the clusters' first pixels.
    """
    if not (bandwidth > 0 and smallest >= 1 and most >= 1):
        raise ValueError(
            f"Expected bandwidth above 0, smallest and most of 1 or more. Received: {bandwidth=}, {smallest=}, {most=}."
        )
    found, left = np.zeros(len(embedding), np.int32), np.arange(len(embedding))
    x, number = np.asarray(embedding, np.float64), 0
    for _ in range(most):
        if not len(left):
            break
        rest = x[left]
        members = _within(rest, rest[0], bandwidth)
        if not members.any():  # not a number
            left = left[1:]
            continue
        for _ in range(SHIFTS):
            moved = _within(rest, rest[members].mean(0), bandwidth)
            if np.array_equal(moved, members):
                break
            members = moved
        # The seed leaves too, so that each turn takes at least one pixel. It may lie beyond the bandwidth of the last mean.
        if members.sum() >= smallest:
            number += 1
            found[left[members]] = number
        members[0] = True
        left = left[~members]
    return _in_order(found)


def _within(x, centre, bandwidth):
    return ((x - centre) ** 2).sum(1) < bandwidth**2


def _in_order(numbers):
    """Renumbers clusters by their first pixels."""
    names, first = np.unique(numbers, return_index=True)
    order = [name for _, name in sorted(zip(first, names, strict=True)) if name]
    table = np.zeros(numbers.max(initial=0) + 1, np.int32)
    table[order] = np.arange(1, len(order) + 1)
    return table[numbers]
