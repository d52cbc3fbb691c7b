"""Writes <workdir>/log.txt: all output of a run with times, including the times that it was resumed.

Output from before the workdir is known (while options are checked) is kept in memory, and written as soon as it is known.
"""

import contextlib
import datetime
import logging as python_logging
import os
import pathlib
import re
import sys
import traceback
from collections.abc import Callable, Iterator

from tfseg import silence

_BAR = re.compile(r"\d%\||\?it/s|\x1b\[A")  # a progress bar, which is not copied to the file


class Transcript(python_logging.Handler):
    """The output of the program since its start: log records, and the lines that `listening` takes from streams."""

    def __init__(self, verbose: bool, copy_to: Callable | None):
        super().__init__()
        self._lines, self._file, self._copy_to = [], None, copy_to
        self.setFormatter(silence.Plain())
        if not verbose:
            self.addFilter(silence.is_ours)

    def emit(self, record: python_logging.LogRecord) -> None:
        """Takes a log record."""
        self.add(self.format(record))

    def add(self, text: str) -> None:
        """Takes lines of output, with the current time."""
        now = f"{datetime.datetime.now():%Y-%m-%d %H:%M:%S}"
        lines = [f"{now}  {line}\n" for line in text.splitlines() if line.strip()]
        if not self._file:
            self._lines += lines
            return
        # A full disk must not stop the run here: saving a checkpoint will fail with a better message.
        with contextlib.suppress(OSError, ValueError):
            self._file.writelines(lines)
            self._file.flush()

    def keep(self, path: pathlib.Path, header: str) -> None:
        """Appends the lines to this file from now on, after a header and the lines so far."""
        if self._file:
            return
        self._file = path.open("a", encoding="utf-8", errors="backslashreplace")
        before, self._lines = self._lines, []
        self._file.write(f"\n{'=' * 20} {datetime.datetime.now():%Y-%m-%d %H:%M:%S}  {header}\n")
        self._file.writelines(before)
        self._file.flush()
        if self._copy_to:
            self._copy_to(path)


class _Listening:
    """A text stream that copies its complete lines to the transcript."""

    def __init__(self, stream, transcript):
        self._stream, self._transcript, self._line = stream, transcript, ""

    def write(self, text):
        written = self._stream.write(text)
        *whole, self._line = (self._line + text).split("\n")
        for line in whole:
            line = line.rpartition("\r")[2]
            if not _BAR.search(line):
                self._transcript.add(line)
        return written

    def __getattr__(self, name):
        return getattr(self._stream, name)


_current: Transcript | None = None


@contextlib.contextmanager
def listening(verbose: bool = False, copy_to: Callable | None = None) -> Iterator[Transcript]:
    """Within the block, the transcript gets everything that is printed and logged, and the traceback of an exception.

    Args:
        verbose: whether it also gets what other libraries log.
        copy_to: a function that is called with the path of log.txt once it is known; see `silence.kept`.
    """
    global _current
    _current = transcript = Transcript(verbose, copy_to)
    before = sys.stdout, sys.stderr
    sys.stdout.reconfigure(line_buffering=True)  # also if stdout is a file, which is then always up to date
    sys.stdout, sys.stderr = (_Listening(stream, transcript) for stream in before)
    python_logging.getLogger().addHandler(transcript)
    try:
        yield transcript
    except SystemExit:
        raise
    except BaseException:
        transcript.add(traceback.format_exc())
        raise
    finally:
        python_logging.getLogger().removeHandler(transcript)
        sys.stdout, sys.stderr = before


def keep(workdir: pathlib.Path) -> None:
    """Keeps the transcript of this program in <workdir>/log.txt; does nothing outside of `listening` (notebooks, tests)."""
    if _current:
        _current.keep(workdir / "log.txt", f"{' '.join(sys.argv)}  (process {os.getpid()})")


def heard() -> bool:
    """Whether there is a transcript, which means that the program was started from the command line."""
    return _current is not None
