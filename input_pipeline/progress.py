"""Shows the progress of a long loop: tqdm's bar in a terminal, or a line from time to time in a log file.

In a file, tqdm's bar would be one long line of carriage returns. Its rate would long be dominated by the first update.
"""

import sys
import time
from collections.abc import Iterable, Iterator

from tqdm import tqdm

SECONDS = 30.0  # between two lines


def over(items: Iterable, title: str, total: int, unit: str) -> Iterator:
    """Yields the items and shows the progress on stderr. `unit` is the plural of what is counted: "images"."""
    with bar(title, total, unit) as shown:
        for item in items:
            yield item
            shown.update()


def bar(title: str, total: int, unit: str, initial: int = 0, leave: bool = False):
    """A `tqdm` in a terminal, otherwise `Lines`, which has those methods of a tqdm that we use."""
    if sys.stderr.isatty():
        return tqdm(total=total or None, initial=initial, desc=title, unit=f" {unit}", mininterval=0.5, leave=leave)
    return Lines(title, total, unit, initial)


class Lines:
    """Writes `train  1200 of 13000 steps, 4.1 steps/s, 0:48:03 left, loss=0.4312`, at most every SECONDS, to stderr.

    The rate and the time left come from the time since the last line, without the time that `unpause` takes out. For the
    first line, time starts after the first update, which may have compiled something.
    """

    def __init__(self, title: str, total: int, unit: str, initial: int = 0):
        """A `total` of 0 is unknown: then there is no time left to show."""
        self.title, self.total, self.unit, self.n = title, total, unit, initial
        self._shown = self._since = self._updated = None  # at the last line, or after the first update: n, and its time
        self._postfix = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def update(self, n: int = 1) -> None:
        """Counts `n` more, and writes a line if it is time for one."""
        self.n += n
        self._updated = time.monotonic()
        if self._since is None:
            self._shown, self._since = self.n, self._updated
        elif self._updated - self._since >= SECONDS:
            self._show()

    def unpause(self) -> None:
        """Takes the time since the last update out of the rate, since it was used for something else, such as evaluation."""
        if self._since is not None:
            now = time.monotonic()
            self._since, self._updated = self._since + now - self._updated, now

    def set_postfix(self, values: dict) -> None:
        """Further numbers for the lines, e.g. {"loss": "0.4312"}."""
        self._postfix = "".join(f", {name}={value}" for name, value in values.items())

    def write(self, text: str) -> None:
        """Prints a line between the others."""
        print(text, flush=True)

    def close(self) -> None:
        """Does nothing: whatever is finished logs this itself."""

    def _show(self):
        seconds = self._updated - self._since
        rate = (self.n - self._shown) / seconds
        left = int(max(0, self.total - self.n) / rate)
        clock = f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02}"
        done = f"{self.n} of {self.total}" if self.total else f"{self.n}"
        ahead = f", {clock} left" if self.total else ""
        text = f"{self.title}  {done} {self.unit}, {rate:.3g} {self.unit}/s{ahead}{self._postfix}"
        print(text, file=sys.stderr, flush=True)
        self._shown, self._since = self.n, self._updated
