"""Reads the frames of video files and cameras with OpenCV, and writes videos."""

import contextlib
import itertools
import pathlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import cv2
import numpy as np

EXTENSIONS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")
UNKNOWN_FPS = 30.0  # frames a second of a camera that does not say
MISSING = 0.01  # share of the frames in a file's header that may be missing: some headers only estimate them


class Frames(NamedTuple):
    """The frames of an open video."""

    reads: Iterator[
        Callable[[], np.ndarray | None]
    ]  # call them in order: RGB uint8 [height, width, 3], None after the end
    count: int  # as the header says; 0: unknown
    fps: float


@contextlib.contextmanager
def reading(source: str | int, max_frames: int = 0) -> Iterator[Frames]:
    """Opens a video file by its path, or a camera by its number.

    Args:
        source: path or number.
        max_frames: number of frames to read at most; 0: all.

    Raises:
        ValueError: if it cannot be opened; by a read, if frames of a file are missing.
    """
    capture = cv2.VideoCapture(source)
    try:
        if not capture.isOpened():
            what = "a camera of this number" if isinstance(source, int) else "a video that OpenCV can read"
            raise ValueError(f"Expected {what}. Received: {source}, which cannot be opened")
        count, fps = (capture.get(key) for key in (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FPS))
        count = int(count) if not isinstance(source, int) and 0 < count < 2**31 else 0
        ended = False

        def read(number):
            nonlocal ended
            if ended:
                return None
            whole, frame = capture.read()
            if whole:
                return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            ended = True
            if number == 0 or number < (1 - MISSING) * count - 1:
                raise ValueError(f"Expected {count or 'some'} frames. Received: {number}; the next cannot be read")
            return None

        def reads():
            for number in itertools.count():
                if ended or (max_frames and number == max_frames):
                    return
                yield lambda number=number: read(number)

        yield Frames(reads(), min(count, max_frames or count), fps if 0 < fps < 1000 else UNKNOWN_FPS)
    finally:
        capture.release()


@contextlib.contextmanager
def writing(path: pathlib.Path, fps: float, codec: str = "mp4v") -> Iterator[Callable[[np.ndarray], None]]:
    """Gives `add(frame)`, which takes frames of one size, RGB uint8 [height, width, 3].

    Codecs need even sizes: where a side is odd, its last row or column is repeated.

    Raises:
        OSError: if the file cannot be written, or does not hold all the frames in the end.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside, writer, count = path.with_name(f".writing-{path.name}"), None, 0

    def add(frame):
        nonlocal writer, count
        height, width = frame.shape[:2]
        frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if writer is None:
            writer = cv2.VideoWriter(str(aside), cv2.VideoWriter_fourcc(*codec), fps, frame.shape[1::-1])
            if not writer.isOpened():
                raise OSError(
                    f"Expected a video that OpenCV can write. Received: {path} with the codec {codec}, which it cannot. Use "
                    "--outputs='video(codec=\"MJPG\")', or another --output_dir."
                )
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        count += 1

    try:
        yield add
        if writer is None:
            return
        writer.release()
        # OpenCV says nothing when the disk is full.
        written = cv2.VideoCapture(str(aside))
        found = max(0, int(written.get(cv2.CAP_PROP_FRAME_COUNT)))
        written.release()
        if found != count:
            raise OSError(
                f"Expected {count} frames in {path}. Received: {found} after writing. Make room on the disk, and run the "
                "command again."
            )
        aside.replace(path)
    finally:
        if writer is not None:
            writer.release()
        aside.unlink(missing_ok=True)
