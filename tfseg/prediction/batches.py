"""Puts images of one size together, so that the network computes several at once."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from tfseg.prediction.background import BUDGET


def of_equal_size(images: Iterable, limit: Callable[[tuple], int], budget: int = BUDGET) -> Iterator[list]:
    """Yields lists of images of one size; images of one size keep their order.

    Photos upright and across are often mixed, so that images of several sizes wait until their batch is full. When they have
    more than `budget` bytes, the sizes that have waited longest go first, in batches that are not full.

    Args:
        images: with `pixels`, an array.
        limit: the number of images in a batch by the shape of one.
        budget: bytes of images that may wait.
    """
    waiting = {}
    for image in images:
        shape = image.pixels.shape
        waiting.setdefault(shape, []).append(image)
        if len(waiting[shape]) >= limit(shape):
            yield waiting.pop(shape)
        while sum(one.pixels.nbytes for some in waiting.values() for one in some) > budget:
            yield waiting.pop(next(iter(waiting)))
    yield from waiting.values()


def limit(batch_size: int, crop_size: tuple[int, int]) -> Callable[[tuple], int]:
    """Makes the function of an image's shape to the images in a batch: up to `batch_size`, 1 or more.

    A batch has no more pixels than a batch of training crops, for which the memory was enough.
    """
    pixels = batch_size * crop_size[0] * crop_size[1]
    return lambda shape: max(1, min(batch_size, pixels // max(1, int(np.prod(shape[:2])))))
