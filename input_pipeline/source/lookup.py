"""Maps the values of a mask to train ids with a lookup table."""

import numpy as np

IGNORE = 255  # the only ignored id after preparation, in losses, metrics, statistics, padding and augmentation
_UNKNOWN = -1
_TABLE = 1 << 25  # entries of a lookup's table; ids that are spread further (no-data as -2147483648) are searched for


def color_text(code: int) -> str:
    """`(r, g, b)` of a colour's code."""
    return f"({code >> 16}, {code >> 8 & 255}, {code & 255})"


def color_code(rgb) -> np.ndarray:
    """Returns r<<16 | g<<8 | b of colours [..., 3]: one integer to look up."""
    r, g, b = np.moveaxis(np.asarray(rgb, np.int32), -1, 0)
    return r << 16 | g << 8 | b


class Lookup:
    """Maps raw ids (or colour codes) to train ids with one table. An id outside it is an error. Ids may be negative."""

    def __init__(self, train_ids: dict[int, int]):
        self.train_ids = dict(train_ids)
        self.known = sorted(train_ids)
        # The ends answer for everything beyond the table; ids below 0 are counted from its back, as NumPy does.
        self._ends = min(self.known[0] - 1, -1), max(self.known[-1] + 1, 0)
        self._dense = self._ends[1] - self._ends[0] <= _TABLE
        self._table = np.full(self._ends[1] - self._ends[0] + 1 if self._dense else len(self.known), _UNKNOWN, np.int16)
        for place, raw in enumerate(self.known):
            self._table[raw if self._dense else place] = train_ids[raw]

    def __call__(self, raw: np.ndarray, otherwise: int | None = None) -> np.ndarray:
        """Returns the train ids uint8 of `raw` (integers of any width); unknown ids are `otherwise`, or an error."""
        low, high = self._ends
        narrow = low >= -(1 << 31) and high < 1 << 31 and np.can_cast(raw.dtype, np.int32)
        codes = raw.astype(np.int32 if narrow else np.int64, copy=False)
        if self._dense:
            label = self._table[np.clip(codes, low, high)]
        else:
            place = np.minimum(np.searchsorted(self.known, codes), len(self.known) - 1)
            label = np.where(np.asarray(self.known)[place] == codes, self._table[place], _UNKNOWN)
        unknown = label == _UNKNOWN
        if unknown.any() and otherwise is None:
            raise UnknownIdsError(*np.unique(raw[unknown], return_counts=True))
        return np.where(unknown, otherwise, label).astype(np.uint8) if unknown.any() else label.astype(np.uint8)


class UnknownIdsError(ValueError):
    """Ids of a mask that the class table does not know: `.ids`, and how many pixels hold each: `.counts`."""

    def __init__(self, ids, counts):
        super().__init__(ids, counts)
        self.ids, self.counts = ids, counts
