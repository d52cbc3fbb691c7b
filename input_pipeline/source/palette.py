"""Chooses colours for classes that have none. They are easy to tell apart and differ from the colours with other meanings."""

import functools
from collections.abc import Sequence

import numpy as np

BACKGROUND = ("background", "bg", "void", "other", "others", "unlabeled", "unlabelled", "nothing")
GRAYS = ((128, 128, 128), (168, 168, 168), (92, 92, 92))  # for classes with the names above, which nobody looks for
COUNT = 255  # the number of possible train ids
_TAKEN = (
    (0, 0, 0),
    (255, 255, 255),
    (255, 0, 255),
    *GRAYS,
)  # black: ignored pixels; white: their stripes; magenta: ids that are not in the table
_STEPS = (0, 26, 51, 77, 102, 128, 153, 179, 204, 230, 255)  # the values of a channel that are tried
_RECENT = 4  # a colour must differ most from the colours of so many classes before it


def colors_of(names: Sequence[str]) -> list[tuple[int, int, int]]:
    """The colours of classes: gray for the background; the others differ much from each other and from gray.

    A colour depends on the place of its class in the table, so renaming other classes does not change it.
    """
    grays, colors = list(GRAYS), []
    for index, name in enumerate(names):
        plain = name.casefold().strip("_- ") in BACKGROUND
        colors.append(grays.pop(0) if plain and grays else color_of(index))
    return colors


def color_of(index: int) -> tuple[int, int, int]:
    """The colour of train id `index`, 0..254, for a class that the table gives no colour."""
    return _palette()[index % COUNT]


def voc_color(index: int) -> tuple[int, int, int]:
    """PASCAL VOC's colour of an id, 0..255: the id's bits spread over r, g and b, highest first; 0 is black."""
    color = [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            color[channel] |= (index >> (3 * bit + channel) & 1) << (7 - bit)
    return tuple(color)


@functools.cache
def _palette():
    """COUNT colours; each is the one that differs most from all before it, and the first of several that differ equally.

    Only integers are used. The colours are part of the key of prepared records, so rounding must not change them.
    """
    steps = np.array(_STEPS)
    tried = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    luma = tried @ (299, 587, 114)  # ITU-R BT.601, in thousandths
    # No dark, pale or gray colours.
    tried = tried[(tried.max(1) >= 102) & (luma >= 45_000) & (luma <= 215_000) & (tried.max(1) - tried.min(1) >= 77)]
    nearest = np.min([_distance(tried, color) for color in _TAKEN], 0)
    colors = []
    for _ in range(COUNT):
        score = nearest.copy()
        for color in colors[-_RECENT:]:
            score = np.minimum(score, _distance(tried, color) // 2)  # half the square: must differ 1.4 times as much
        best = int(np.argmax(score))
        colors.append(tuple(tried[best].tolist()))
        nearest = np.minimum(nearest, _distance(tried, tried[best]))
    return tuple(colors)


def _distance(colors, other):
    """Squared differences between colours [n, 3] and one other, roughly as people see them.

    Source: https://www.compuphase.com/cmetric.htm.
    """
    red, (r, g, b) = (colors[:, 0] + other[0]) // 2, (colors - np.asarray(other)).T
    return ((512 + red) * r * r >> 8) + 4 * g * g + ((767 - red) * b * b >> 8)
