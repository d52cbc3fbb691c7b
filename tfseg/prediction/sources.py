"""Where the images of a prediction come from: files, a list, videos, a camera, or a split of the data set."""

import contextlib
import functools
import os
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

import input_pipeline
from input_pipeline import pipeline
from input_pipeline.source import files
from tfseg import config as config_lib
from tfseg import config_values, given_images, prepare
from tfseg.prediction import background, video


class Image(NamedTuple):
    """An image to predict."""

    name: str  # of its predictions
    source: str  # what a message calls it
    read: Callable[[], np.ndarray | None]  # RGB uint8 [height, width, 3]; None: the video has ended


class Stream(NamedTuple):
    """The images of a group, one at a time."""

    images: Iterable[Image]
    count: int  # 0: unknown
    threads: int  # how many may be read at the same time
    fps: float = 0.0  # of a video, frames a second


class Group(NamedTuple):
    """Images that are read in one way: those of all the files, or the frames of one video."""

    source: str  # what a message calls it
    names: Callable[[], Iterable[str]]  # of the predictions: of each image, or of the video
    open: Callable[[], contextlib.AbstractContextManager[Stream]]
    video: str = ""  # its name; "" for images
    live: bool = False  # whether Ctrl-C is its end


def find(config: config_lib.Config, output_dir: pathlib.Path) -> list[Group]:
    """The images of --images, or if it is blank those of --split: first all the images, then each video.

    Raises:
        FileNotFoundError: if --images matches nothing.
        ValueError: for a split or a camera that cannot be, and if a prediction might replace an image.
    """
    if not config.images:
        return [_of_split(config)]
    if config.images.startswith(config_values.CAMERA):
        return [_of_camera(config)]
    if config.images == config_values.LIST:
        found = given_images.listed(sys.stdin, output_dir)
    else:
        found = given_images.find(config.images, output_dir)
    videos = {name: path for name, path in found.items() if path.suffix.lower() in video.EXTENSIONS}
    images = {name: path for name, path in found.items() if name not in videos}
    groups = [_of_files(images, config.image_range)] if images else []
    return groups + [_of_video(name, str(path), config.max_frames) for name, path in videos.items()]


def _of_files(found, image_range):
    def read(path):
        return files.read_image(path, image_range)[1]  # in the same way as preparation

    images = (Image(name, str(path), functools.partial(read, path)) for name, path in found.items())
    stream = Stream(images, len(found), background.THREADS)
    return Group("", lambda: found, lambda: contextlib.nullcontext(stream))


def _of_split(config):
    """The images of --split, read from the records one after another."""
    prepared = prepare.records(config)
    if config.split not in prepared.splits:
        raise ValueError(f"Expected --images, or --split of {sorted(prepared.splits)}. Received: {config.split!r}.")
    encoded = prepared.encoded(config.split)

    def names():
        return (name.decode() for name in encoded.map(lambda example: example["id"]).as_numpy_iterator())

    decoded = pipeline.readable(encoded.map(input_pipeline.decode).prefetch(1).as_numpy_iterator(), prepared)
    images = (Image(e["id"].decode(), e["id"].decode(), functools.partial(dict.get, e, "image")) for e in decoded)
    stream = Stream(images, prepared.splits[config.split], 1)
    return Group(config.split, names, lambda: contextlib.nullcontext(stream))


def _of_video(name, path, max_frames):
    return Group(path, lambda: [name], lambda: _frames(name, path, path, max_frames), video=name)


def _of_camera(config):
    number = config.images.removeprefix(config_values.CAMERA)
    if not number.isdecimal():
        raise ValueError(f"Expected --images=camera:NUMBER, such as camera:0. Received: --images={config.images}.")
    name = f"camera{int(number)}"
    return Group(
        config.images,
        lambda: [name],
        lambda: _frames(name, config.images, int(number), config.max_frames),
        video=name,
        live=True,
    )


@contextlib.contextmanager
def _frames(name, called, source, max_frames) -> Iterator[Stream]:
    with video.reading(source, max_frames) as frames:
        images = (
            Image(os.path.join(name, f"{i:06d}"), f"{called}, frame {i}", read) for i, read in enumerate(frames.reads)
        )
        yield Stream(images, frames.count, 1, frames.fps)
