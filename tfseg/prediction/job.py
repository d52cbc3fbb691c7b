"""The work of --mode=predict: reads ahead, computes batches, draws and writes behind, and remembers what failed."""

import contextlib
import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import cv2
import numpy as np
import tensorflow as tf

from input_pipeline import progress
from input_pipeline.source import files
from tfseg import config as config_lib
from tfseg.prediction import background, batches, folders, outputs, rasters, sources

OUT_OF_MEMORY = ("out of memory", "oom when", "failed to allocate", "alloc_failed", "insufficient memory")
FAULTS = (MemoryError, cv2.error, *files.FAULTS)  # of an image: the others are predicted


class _Read(NamedTuple):
    """An image in memory."""

    number: int
    image: sources.Image
    pixels: np.ndarray


@dataclasses.dataclass
class Job:
    """What is done so far: the files that are written, and the images that cannot be predicted.

    `compute` makes label maps, probabilities, uncertainty and what objects are made of, from images, RGB uint8 [batch, height,
    width, 3]; see predict.py.
    """

    config: config_lib.Config
    run: outputs.Run
    compute: Callable
    written: list[pathlib.Path] = dataclasses.field(default_factory=list)
    failed: dict[int, str] = dataclasses.field(default_factory=dict)  # why, by the number of the image
    seen: int = 0  # images that were read or could not be
    done: int = 0  # images that are written
    clock: tuple[int, float] | None = None  # images done, and the time, when the first batch was computed

    def predict(self, plan: list[tuple[sources.Group, list[outputs.Output]]]) -> None:
        """Predicts the images and frames of all groups."""
        with contextlib.ExitStack() as of_run, progress.bar("predict", 0, "images") as bar:
            each = {output.place: output for _, some in plan for output in some if output.each == "run"}
            shared = {place: of_run.enter_context(self._collected(output, "")) for place, output in each.items()}
            for group, some in plan:
                with contextlib.ExitStack() as opened:
                    try:
                        stream = opened.enter_context(group.open())
                    except FAULTS as error:
                        self._fail(self._next(), group.source, error)
                        continue
                    bar.total = (bar.total or 0) + stream.count or None
                    self._predict_group(group, stream, some, shared, bar)

    def predict_rasters(self, plan: list[tuple[sources.Group, list[outputs.Output]]]) -> None:
        """Predicts each raster block by block."""
        ((group, (output,)),) = plan
        last = None  # the pixels that were computed last

        def labels(pixels):
            nonlocal last
            last = pixels
            found, *_ = self.compute(pixels[np.newaxis])
            self._start_clock()
            return found[0].numpy()

        with group.open() as stream, progress.bar("predict", 0, "blocks") as bar:
            before = 0  # blocks of the rasters before
            for image in stream.images:

                def told(blocks, before=before):
                    bar.total = before + blocks
                    bar.update()

                number, path = self._next(), self._path(output, image.name)
                source, options = pathlib.Path(image.source), {"image_range": self.config.image_range, **output.options}
                try:
                    rasters.write(source, path, labels, self.config.inference, self.run, told, **options)
                except (MemoryError, ValueError, tf.errors.OpError) as error:
                    self._fail(number, image.source, error, None if isinstance(error, ValueError) else last)
                    continue
                self.written.append(path)
                self.done += 1
                before = bar.n

    def say_result(self, places: list[str], about: tuple[str, ...] = ("legend.png", "classes.json")) -> None:
        """Prints how many images are predicted, and where; `about` are files that explain them.

        Raises:
            ValueError: if some images are not predicted.
        """
        seconds = time.monotonic() - self.clock[1] if self.clock else 0
        rate = f", {(self.done - self.clock[0]) / seconds:.3g} images/s" if seconds > 0 and self.done > 1 else ""
        shown = dict.fromkeys(
            place.split("/")[0] + ("" if place.endswith((".json", ".zip")) else "/") for place in places
        )
        shown = [f"{place} ({self.config.label_ids} ids)" if place == "labels/" else place for place in shown]
        print(
            f"{self.done} of {self.seen} images predicted in {self.config.output_dir}: "
            f"{', '.join([*shown, *about])}{rate}"
        )
        if self.failed:
            lines = "\n  ".join(self.failed[number] for number in sorted(self.failed))
            raise ValueError(
                f"Expected images that can be read and predicted. Received: {len(self.failed)} of {self.seen} that cannot; the "
                f"others are predicted:\n  {lines}"
            )

    def _predict_group(self, group, stream, some, shared, bar):
        with contextlib.ExitStack() as of_group:
            own = {
                o.place: of_group.enter_context(self._collected(o, group, stream.fps))
                for o in some
                if o.each == "video"
            }
            finish = functools.partial(self._finish, group, some, shared | own, bar)
            one = self.config.monte_carlo or (self.run.finder.search and any(o.needs_objects for o in some))
            limit = batches.limit(1 if one else self.config.batch_size, self.config.crop_size)
            with background.Behind(finish) as behind:
                try:
                    for batch in batches.of_equal_size(self._read(stream, bar), limit):
                        for prediction in self._predictions(batch, bar):
                            held = [prediction.image, prediction.probabilities, *prediction.found.values()]
                            size = sum(array.nbytes for array in held if array is not None)
                            behind.submit(size, self._draw, prediction, some)
                except KeyboardInterrupt:
                    if not group.live:
                        raise
                    print(f"Stopped by Ctrl-C after {self.seen} frames of {group.source}; what is computed is written.")

    def _read(self, stream, bar) -> Iterator[_Read]:
        """The images of a stream that can be read."""

        def read(image):
            try:
                return image, image.read(), None
            except FAULTS as error:
                return image, None, error

        def size(result):
            return 0 if result[1] is None else result[1].nbytes

        for image, pixels, error in background.ahead(read, stream.images, size, stream.threads):
            if error:
                self._fail(self._next(), image.source, error)
                bar.update()
            elif pixels is not None:
                yield _Read(self._next(), image, pixels)

    def _predictions(self, batch, bar) -> Iterator[outputs.Prediction]:
        """Computes a batch; if that fails, each of its images alone, so that only those that cannot be computed fail."""
        try:
            images = np.stack([one.pixels for one in batch]) if len(batch) > 1 else batch[0].pixels[np.newaxis]
            found = tf.nest.map_structure(lambda tensor: tensor.numpy(), self.compute(images))
        except FAULTS as error:
            if len(batch) > 1:
                for one in batch:
                    yield from self._predictions([one], bar)
            else:
                self._fail(batch[0].number, batch[0].image.source, error, batch[0].pixels)
                bar.update()
            return
        self._start_clock()
        for i, (number, image, pixels) in enumerate(batch):
            label, probabilities, maps, objects = tf.nest.map_structure(lambda values, i=i: values[i], found)
            probabilities = probabilities if len(probabilities) else None
            yield outputs.Prediction(image.name, image.source, number, pixels, label, probabilities, maps, objects)

    def _draw(self, prediction, some):
        """Draws the outputs and writes the files of this image alone; runs in a thread."""
        try:
            if prediction.found:
                objects = self.run.finder.objects(prediction.found, prediction.label)
                prediction = prediction._replace(objects=objects, found={})
            drawn = {output.place: output.draw(prediction, self.run) for output in some}
        except FAULTS as error:
            return prediction, {}, error
        for output in some:
            if not output.collect:  # an error here, of a full disk for example, ends the program
                folders.write(self._path(output, prediction.name), drawn.pop(output.place))
        return prediction, drawn, None

    def _finish(self, group, some, adders, bar, result):
        """Puts what was drawn of an image into the files that several images share."""
        prediction, drawn, error = result
        bar.update()
        if error:
            self._fail(prediction.number, prediction.source, error, prediction.image)
            return
        for place, data in drawn.items():
            adders[place](prediction, data)
        output = next((output for output in some if output.place == "labels"), some[0])
        path = self._path(output, group.video if output.each == "video" else prediction.name)
        if not self.written or self.written[-1] != path:
            self.written.append(path)
        self.done += 1

    def _collected(self, output, group, fps=0.0):
        return output.collect(self._path(output, group.video if group else ""), self.run, fps)

    def _path(self, output, name):
        return output.path(pathlib.Path(self.config.output_dir), name)

    def _next(self):
        self.seen += 1
        return self.seen - 1

    def _start_clock(self):
        if self.clock is None:  # the first batch also makes the graph
            self.clock = self.done, time.monotonic()

    def _fail(self, number, source, error, pixels=None):
        self.failed[number] = f"{source}: {_reason(error, pixels, self.config.inference)}"


def _reason(error, image, spec):
    """The reason why an image was not predicted (None: it could not be read)."""
    little = isinstance(error, (MemoryError, tf.errors.ResourceExhaustedError))
    if not little and not any(words in str(error).lower() for words in OUT_OF_MEMORY):
        if image is None:
            return files.reason(error)
        return f"Expected an image that the network can take. Received: {image.shape}: {files.message(error)}"
    if image is None:
        return "Expected enough memory to read it. Received: too little. Make the image smaller"
    advice = "Use --inference='sliding_window(size=(512, 512))'"
    if "sliding_window" in spec:
        advice = f"Use a smaller window than --inference={spec!r}"
    height, width = image.shape[:2]
    return f"Expected enough memory for {width} x {height} pixels (width x height). Received: too little. {advice}"
