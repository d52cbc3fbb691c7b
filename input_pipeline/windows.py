"""Windows of a sequence: the label maps of some past frames, packed into one picture, from which the next one is predicted.

An example of a window has the label of its last frame, and as its image the label maps of the `steps` frames before. So it
passes through records, caches and batches as any other example does, and no map is changed on the way: the image is always PNG.
The 24 bits of a pixel, R + 256 G + 65536 B, are divided among the maps, the lowest for the oldest: 8 bits each for up to 3, 6
for 4, 4 for 6, 2 for 9. All ones are IGNORE. A network unpacks them (models/layers/past_maps.py, which must agree).

What would mix or change values is refused or left out: only an augmentation that copies pixels fits (`ops.check_copies`), and
what lies outside of an image is OUTSIDE.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from input_pipeline.source.files import IGNORE

OUTSIDE = (255.0, 255.0, 255.0)  # a pixel without a label in all maps
BITS = 24  # of a pixel
MOST = 24  # maps in a window


def check(steps: int, classes: int = 0) -> int:
    """The number of maps in a window; raises ValueError if there are too many, or too many classes for their bits."""
    if not isinstance(steps, int) or isinstance(steps, bool) or not 1 <= steps <= MOST:
        raise ValueError(f"Expected a window of 1 to {MOST} past label maps. Received: {steps!r}.")
    if classes > _top(steps):
        raise ValueError(
            f"Expected at most {_top(steps)} classes: the {steps} label maps of a window have {_bits(steps)} bits each. "
            f"Received: {classes}. Take fewer steps."
        )
    return steps


def pack(maps: Sequence[np.ndarray]) -> np.ndarray:
    """Label maps as a picture.

    Args:
        maps: uint8 [height, width] each, the oldest first: train ids and IGNORE.

    Returns:
        uint8 [height, width, 3].

    Raises:
        ValueError: if their sizes differ, or if an id needs more bits than a map has.
    """
    if len({labels.shape for labels in maps}) > 1:
        sizes = ", ".join(f"{labels.shape[1]} x {labels.shape[0]}" for labels in maps)
        raise ValueError(f"Expected label maps of one size in a window. Received: {sizes} (width x height)")
    bits, top = _bits(len(maps)), _top(len(maps))
    packed = np.zeros(maps[0].shape, np.uint32)
    for step, labels in enumerate(maps):
        ids = np.where(labels == IGNORE, top, labels).astype(np.uint32)
        if np.any(ids > top) or np.any((ids == top) & (labels != IGNORE)):
            check(len(maps), int(labels[labels != IGNORE].max()) + 1)
        packed |= ids << np.uint32(bits * step)
    return np.stack([packed >> shift & 255 for shift in (0, 8, 16)], -1).astype(np.uint8)


def unpack(image: np.ndarray | tf.Tensor, steps: int) -> tf.Tensor:
    """The label maps of a picture [.., height, width, 3] of integers 0..255: int32 [.., height, width, steps], with IGNORE."""
    image = tf.cast(image, tf.int32)
    packed = image[..., 0] + 256 * image[..., 1] + 65536 * image[..., 2]
    base = 1 << _bits(steps)
    ids = tf.stack([packed // base**step % base for step in range(steps)], -1)
    return tf.where(ids == base - 1, IGNORE, ids)


def shown(image: np.ndarray, steps: int, colors: np.ndarray) -> np.ndarray:
    """What people are shown of an example's image [height, width, 3]: the last map in the `colors` of the classes, or itself.

    Ids that are no class, and IGNORE, are black. With `steps` of 0 the image is a picture.
    """
    if not steps:
        return image
    table = np.zeros([IGNORE + 1, 3], np.uint8)
    table[: len(colors)] = colors
    return table[unpack(np.asarray(image), steps)[..., -1].numpy()]


def _bits(steps):
    return min(8, BITS // steps)


def _top(steps):
    """The value of a pixel without a label."""
    return (1 << _bits(steps)) - 1
