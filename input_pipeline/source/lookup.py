"""Raw values of masks to train ids, by one table."""

import numpy as np

IGNORE = 255  # the only ignore id after conversion: losses, metrics, statistics, padding and warps all know this one
_UNKNOWN = -1


def color_text(code: int) -> str:
    """`(r, g, b)` of a colour's code."""
    return f"({code >> 16}, {code >> 8 & 255}, {code & 255})"


def color_code(rgb) -> np.ndarray:
    """Returns r<<16 | g<<8 | b of colours [..., 3]: one integer to look up."""
    r, g, b = np.moveaxis(np.asarray(rgb, np.int32), -1, 0)
    return r << 16 | g << 8 | b


class Lookup:
    """Raw ids (or colour codes) to train ids, by one table; an id outside it is an error."""

    def __init__(self, train_ids: dict[int, int]):
        self.train_ids = dict(train_ids)
        self.known = sorted(train_ids)
        # The first and the last entry answer for everything beyond the table, which may hold ids below 0.
        self._first = min(self.known) - 1
        self._table = np.full(max(self.known) - self._first + 2, _UNKNOWN, np.int16)
        for raw, train_id in train_ids.items():
            self._table[raw - self._first] = train_id

    def __call__(self, raw: np.ndarray, otherwise: int | None = None) -> np.ndarray:
        """Returns the train ids uint8 of `raw` (integers of any width); unknown ids are `otherwise`, or an error."""
        wide = np.int32 if raw.dtype.itemsize < 4 or raw.dtype == np.int32 else np.int64
        places = raw.astype(wide, copy=False)
        # Clipped before it is moved, so that nothing overflows.
        label = self._table[np.clip(places, self._first, self._first + len(self._table) - 1) - self._first]
        unknown = label == _UNKNOWN
        if unknown.any() and otherwise is None:
            raise UnknownIdsError(*np.unique(raw[unknown], return_counts=True))
        return np.where(unknown, otherwise, label).astype(np.uint8) if unknown.any() else label.astype(np.uint8)


class UnknownIdsError(ValueError):
    """Ids of a mask that the class table does not know: `.ids`, and how many pixels hold each: `.counts`."""

    def __init__(self, ids, counts):
        super().__init__(ids, counts)
        self.ids, self.counts = ids, counts
