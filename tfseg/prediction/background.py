"""Reads ahead and writes behind in threads. What waits in memory is bounded in bytes, and no error is lost.

Threads are enough: decoders, encoders and files release Python's lock.
"""

import collections
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from typing import Any

BUDGET = 256 << 20  # bytes of images that may wait to be computed, and as many that may wait to be written
THREADS = max(2, min(8, os.cpu_count() or 2))
QUEUE = 4  # items for each thread that wait at most, however small they are
_END = object()


def ahead(
    function: Callable, items: Iterable, size: Callable[[Any], int], threads: int = THREADS, budget: int = BUDGET
) -> Iterator:
    """Yields function(item) for each item, in order. Threads compute the next ones while the caller uses one.

    Args:
        function: runs in a thread; its exceptions are raised here.
        items: taken one at a time, in this thread. With one thread the calls are made in the order of the items.
        size: bytes of a result.
        threads: number of calls at a time.
        budget: bytes of results that may wait. The size of a result that is not there yet is taken to be that of the
            largest one of late; one result may wait whatever its size.
    """
    items, waiting, expected = iter(items), collections.deque(), budget
    with futures.ThreadPoolExecutor(threads) as pool:
        try:
            while True:
                while not waiting or (len(waiting) < QUEUE * threads and (len(waiting) + 1) * expected <= budget):
                    if (item := next(items, _END)) is _END:
                        break
                    waiting.append(pool.submit(function, item))
                if not waiting:
                    return
                result = waiting.popleft().result()
                expected = max(size(result), (0 if expected == budget else expected) // 2, 1)
                yield result
        finally:
            pool.shutdown(cancel_futures=True)


class Behind:
    """Runs functions in threads, and hands their results to `finish` in order and in the caller's thread.

    `submit` waits while more than `budget` bytes are on their way. An exception of a function is raised by `submit`, by `drain`
    or at the end of the `with` block, whichever comes first.
    """

    def __init__(self, finish: Callable[[Any], None], threads: int = THREADS, budget: int = BUDGET):
        self._finish, self._threads, self._budget = finish, threads, budget
        self._pool = futures.ThreadPoolExecutor(threads)
        self._waiting, self._bytes = collections.deque(), 0

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.drain()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def submit(self, size: int, function: Callable, *args) -> None:
        """Runs function(*args) in a thread; `size` is the number of bytes that are held until it has run."""
        while self._waiting and (
            self._bytes + size > self._budget
            or len(self._waiting) >= QUEUE * self._threads
            or self._waiting[0][0].done()
        ):
            self._first()
        self._waiting.append((self._pool.submit(function, *args), size))
        self._bytes += size

    def drain(self) -> None:
        """Waits until everything has run and is finished."""
        while self._waiting:
            self._first()

    def _first(self):
        future, size = self._waiting.popleft()
        self._bytes -= size
        self._finish(future.result())
