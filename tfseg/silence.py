"""Hides the log messages of TensorFlow and other libraries that no user needs, and shows them if the program crashes.

TensorFlow's C++ code writes to the file descriptor of stderr, in part before its log level is read. Therefore this descriptor
is connected to a small process of our own: it passes on the lines that a user needs and stores the others. If the program
crashes (a fatal error in C++, the kernel's out-of-memory killer), it prints the stored lines too. It is a process and not a
thread, because a thread would end with the program, before it could print them.
"""

import collections
import contextlib
import logging as python_logging
import os
import pathlib
import re
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator

from absl import logging

ROOT = pathlib.Path(__file__).resolve().parents[1]
KEPT = 200  # lines of the libraries that are shown after a crash

# A line of absl ("E0000 00:00:1795628011.397573 ...") or of older TensorFlow ("2026-01-31 12:00:00.123456: E ...").
_LEVEL = re.compile(rb"(?:\d{4}-\d\d-\d\d [\d:.]+: )?([IWEF])(?:\d{4} [\d:.]+ | )\s*(?:\d+ )?[\w./\[\]-]+:\d+\] ")
# Messages at the level of errors that are harmless: a machine without a GPU, libraries that register themselves twice.
_NO_ERROR = re.compile(
    rb"failed call to cuInit|oneDNN supports DT_|CUDA_ERROR_NO_DEVICE|Unable to register cu\w+ factory|computation_placer|"
    rb"cudart_stub|Could not find cuda drivers|End of sequence"
)
# Lines without a level: the second half of a message.
_REST = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog|To enable the following instructions|"
    rb"Skipping registering GPU devices|rebuild TensorFlow with the appropriate compiler flags|^\s*\[\[\{\{node "
)
# Commands from the program to the process that filters its messages.
_ENDED, _SHOW, _COPY_TO = b"\0ended", b"\0show", b"\0copy to "


def is_noise(line: bytes) -> bool:
    """Whether a line of the C++ code is of no use to a user: notes, warnings, and errors that are harmless."""
    level = _LEVEL.match(line)
    if level:
        return level[1] in b"IW" or (level[1] == b"E" and bool(_NO_ERROR.search(line)))
    return bool(_REST.search(line))


def is_verbose(words: list[str]) -> bool:
    """Whether the command line asks for all messages (--verbosity of 1 or more). Needed before absl reads the flags."""
    found = re.findall(r"(?:^|\n)--?(?:v|verbosity)(?:=|\n)(-?\w+)", "\n".join(words))
    return bool(found) and found[-1] not in ("0", "-1", "-2", "-3", "info", "warning", "error", "fatal")


@contextlib.contextmanager
def kept() -> Iterator[Callable[[pathlib.Path], None]]:
    """Within the block, the libraries' notes and warnings are not shown; call it before TensorFlow is imported.

    Python's own stderr is not changed. If the block raises an exception other than SystemExit, the hidden lines of the C++
    code are shown. Yields a function that takes the path of a file, to which the shown lines of the C++ code are added too.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")  # notes are of no use, even after a crash
    _quiet_python()
    sys.stderr.flush()
    shown = os.dup(2)
    readable, writable = os.pipe()
    child = os.fork()
    if not child:
        os.close(writable)
        _pass_on(readable, shown)
    os.close(readable)
    before, sys.stderr = sys.stderr, os.fdopen(os.dup(shown), "w", buffering=1, errors="backslashreplace")
    os.dup2(writable, 2)
    os.close(writable)
    logging.get_absl_handler().python_handler.stream = sys.stderr
    ended = False
    try:
        yield lambda path: os.write(2, b"\n" + _COPY_TO + os.fsencode(path) + b"\n")
        ended = True
    except SystemExit:
        ended = True
        raise
    finally:
        sys.stderr.flush()
        os.write(2, b"\n" + (_ENDED if ended else _SHOW) + b"\n")
        if not ended:  # wait, so that the traceback comes after the hidden lines
            os.dup2(shown, 2)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child, 0)
            sys.stderr = before
        os.close(shown)


def _quiet_python():
    """Sets Python's loggers: our own messages without a prefix, only errors of other libraries, no Python warnings."""
    handler = logging.get_absl_handler().python_handler
    handler.setFormatter(Plain())
    handler.addFilter(is_ours)
    for name in ("tensorflow", "h5py", "jax", "orbax"):
        python_logging.getLogger(name).setLevel(python_logging.ERROR)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


def is_ours(record: python_logging.LogRecord) -> bool:
    """Whether a user should see a log record: all of our own, and others' errors."""
    path = pathlib.Path(record.pathname)
    ours = path.is_relative_to(ROOT) and "site-packages" not in path.parts
    return ours or record.levelno >= python_logging.ERROR


class Plain(python_logging.Formatter):
    """`message`, `Warning: message`, `Error: message`."""

    def format(self, record: python_logging.LogRecord) -> str:
        """The record as a line."""
        mark = "" if record.levelno <= python_logging.INFO else f"{record.levelname.capitalize()}: "
        return mark + super().format(record)


def _pass_on(readable, shown):
    """What the filtering process runs: it reads lines until the program and its children have ended, and never returns."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # It must live longer than the program, to pass on its last lines.
    low, high = sorted((readable, shown))
    # Closes all other files of the program: otherwise a lock of its caller, for example, would stay held.
    for first, end in ((0, low), (low + 1, high), (high + 1, os.sysconf("SC_OPEN_MAX"))):
        os.closerange(first, end)
    noise, ended, rest, copy = collections.deque(maxlen=KEPT), False, b"", None

    def show(lines):
        os.write(shown, b"".join(line + b"\n" for line in lines))
        if copy is not None:
            now = time.strftime("%Y-%m-%d %H:%M:%S  ").encode()
            with contextlib.suppress(OSError):  # a full disk must not keep the screen from showing it
                os.write(copy, b"".join(now + line + b"\n" for line in lines))

    with contextlib.suppress(OSError):
        while data := os.read(readable, 1 << 16):
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                if line in (_ENDED, _SHOW):
                    ended = line == _ENDED
                elif line.startswith(_COPY_TO):
                    with contextlib.suppress(OSError):
                        copy = os.open(line.removeprefix(_COPY_TO), os.O_WRONLY | os.O_APPEND)
                elif is_noise(line):
                    noise.append(line)
                elif line:
                    show([line])
        if rest:
            show([rest])
        if not ended and noise:
            show([b"TensorFlow had said before:", *noise])
    os._exit(0)
