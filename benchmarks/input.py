"""Images a second of the training stream: beside decoding alone, beside a torch DataLoader, and without each lever.

    python -m benchmarks.input --camvid=../shared/data/camvid

`--camvid` is CamVid's folder (train, trainannot, ...); frames of 2048x1024 are made of its images. The case `large` is a crop
of 512x1024 from those, the others one of 360x480. The chain is scale 0.5..2, flip, brightness and contrast. All variants of a
case take turns within one run, since a machine's speed changes from minute to minute. The DataLoader runs in --torch_python,
which needs torch, albumentations==2.0.8 and opencv-python-headless (`pip install .[bench]`); elsewhere its ratios are `-`.

The last line is `input ratio <camvid png / DataLoader> <large jpeg / DataLoader> <share of decoding alone> <memory /
DataLoader from RAM>`; the share is CamVid PNG's.
"""

import contextlib
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from unittest import mock

import cv2
import tensorflow as tf
from absl import app, flags, logging

import input_pipeline
from input_pipeline import pipeline, records, sampling
from input_pipeline.ops import color

CHAIN = 'affine(scale=(0.5, 2.0), scales="uniform", flip=True) | brightness(0.2) | contrast(0.2)'
WARPED = CHAIN.replace("affine(", "affine(rotation=0.01, ")  # enough for the general warp
OURS, DECODING, LOADER = "ours", "decoding alone", "DataLoader"
SKIP = 12  # batches before each turn that do not count: more than wait in the buffers
CROP, LARGE_CROP, LARGE = (360, 480), (512, 1024), (1024, 2048)

flags.DEFINE_string("camvid", None, "CamVid's folder.", required=True)
flags.DEFINE_integer("batch_size", 4, "Images a batch.")
flags.DEFINE_integer("turns", 3, "Turns of each variant; the median is reported.")
flags.DEFINE_float("seconds", 2.0, "About how long a turn takes.")
flags.DEFINE_integer("frames", 24, "Large frames.")
flags.DEFINE_integer("workers", 2, "Of the DataLoader.")
flags.DEFINE_string("torch_python", sys.executable, "Python with torch and albumentations.")
flags.DEFINE_bool("levers", True, "Also time the stream without each lever.")
flags.DEFINE_integer(
    "memory_images", 0, "Instead: take so many images and print the memory of this process on the way."
)
FLAGS = flags.FLAGS


def main(argv):
    """Times every case, prints a table and the ratios."""
    del argv
    logging.set_verbosity(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        if FLAGS.memory_images:
            memory(root)
            return
        print(
            f"batch {FLAGS.batch_size}, {len(tf.config.list_logical_devices('CPU'))} CPU device, TensorFlow {tf.__version__}"
        )
        print(f"| {'case':13} | {'variant':24} | images/s: median, max | of ours |\n|-|-|-|-|", flush=True)
        source = pathlib.Path(FLAGS.camvid)
        png = compare("camvid png", source, root, "", CROP, levers=_levers() if FLAGS.levers else {})
        compare("camvid jpeg", source, root, "jpeg(quality=95)", CROP)
        ram = compare("camvid memory", source, root, "", CROP, cache="memory")
        large = make_large(source, root)
        jpeg = compare(
            "large jpeg", large / "jpeg", root, "", LARGE_CROP, levers=_jpeg_levers() if FLAGS.levers else {}
        )
        compare("large png", large / "png", root, "", LARGE_CROP)
        ratios = [f"{x[OURS] / x[LOADER]:.2f}" if x[LOADER] else "-" for x in (png, jpeg, ram)]
        print(f"input ratio {ratios[0]} {ratios[1]} {png[OURS] / png[DECODING]:.2f} {ratios[2]}")


def compare(name, source, root, image_format, crop, cache="none", levers=None):
    """Lets the variants of a case take turns; prints their rows. Returns images a second by variant."""
    options = {"image_format": image_format} if image_format else {}
    prepared = input_pipeline.prepare("camvid", str(source), str(root / f"cache {name}"), **options)
    files = source
    if image_format:  # the DataLoader reads the same JPEG files that are in the records
        files = root / name
        for folder in ("train", "trainannot"):
            shutil.copytree(source / folder, files / folder)
        for example in prepared.encoded("train").as_numpy_iterator():
            stem = pathlib.Path(example["id"].decode()).stem
            (files / f"train/{stem}.png").unlink()
            (files / f"train/{stem}.jpg").write_bytes(example["image"])
    streams = {OURS: lambda: stream(prepared, crop, cache=cache), DECODING: lambda: decoding(prepared)}
    streams |= {key: lambda make=make: make(prepared, crop) for key, make in (levers or {}).items()}
    rates = {variant: [] for variant in (*streams, LOADER)}
    with contextlib.ExitStack() as stack:
        turns = {variant: Turns(iter(make())) for variant, make in streams.items()}
        loader = stack.enter_context(DataLoader(files, crop, "memory" if cache == "memory" else "file"))
        for _ in range(FLAGS.turns):
            for variant, turn in (turns | {LOADER: loader}).items():
                rates[variant].append(turn.take())
    medians = {variant: statistics.median(found) for variant, found in rates.items()}
    for variant, found in rates.items():
        figures = f"{medians[variant]:.1f}, {max(found):.1f} | {medians[variant] / medians[OURS]:.2f}"
        print(f"| {name:13} | {variant:24} | {figures} |", flush=True)
    return medians


def stream(prepared, crop, chain=CHAIN, **options):
    """The training stream."""
    return pipeline.training(prepared, augment=chain, crop_size=crop, batch_size=FLAGS.batch_size, seed=0, **options)


def decoding(prepared):
    """The same records, decoded and put into batches as they are."""
    threads = tf.data.AUTOTUNE
    return (
        prepared.serialized("train")
        .repeat()
        .map(lambda r: records.decode(records.parse(r, prepared.features)), threads)
        .map(lambda x: (x["image"], x["label"]))
        .batch(FLAGS.batch_size, drop_remainder=True)
        .prefetch(2)
        .with_options(pipeline._options(pipeline._cores()))
    )


class Turns:
    """Turns of an iterator over batches: `take` returns images a second."""

    def __init__(self, batches):
        self._batches, self._count = batches, None
        next(self._batches)  # traces, and fills a cache as far as it has been read

    def take(self):
        """One turn."""
        if self._count is None:
            self._count = max(10, round(FLAGS.seconds * self._rate(25) / FLAGS.batch_size))
        return self._rate(self._count)

    def _rate(self, count):
        for _ in range(SKIP):
            next(self._batches)
        start = time.perf_counter()
        for _ in range(count):
            next(self._batches)
        return count * FLAGS.batch_size / (time.perf_counter() - start)


class DataLoader:
    """Turns of a torch DataLoader in a process of its own; 0 images a second where it cannot run."""

    def __init__(self, files, crop, source):
        numbers = map(str, (*crop, FLAGS.batch_size, FLAGS.workers, source))
        command = [FLAGS.torch_python, "-m", "benchmarks.torch_input", files / "train", files / "trainannot", *numbers]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._count = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait()

    def take(self):
        """One turn."""
        if not self._count:
            self._count = max(10, round(FLAGS.seconds * self._rate(25) / FLAGS.batch_size))
        return self._rate(self._count)

    def _rate(self, count):
        try:
            self._process.stdin.write(f"{count}\n")
            self._process.stdin.flush()
            return float(self._process.stdout.readline() or 0)
        except BrokenPipeError:
            return 0.0


def make_large(source: pathlib.Path, root: pathlib.Path) -> pathlib.Path:
    """Writes CamVid's layout with frames of 2048x1024, as `png` and as `jpeg`; returns the folder of both."""
    for split, count in (("train", FLAGS.frames), ("val", 1)):
        for path in sorted((source / split).glob("*.png"))[:count]:
            image = cv2.resize(cv2.imread(str(path)), LARGE[::-1], interpolation=cv2.INTER_CUBIC)
            label = cv2.imread(str(source / f"{split}annot" / path.name), cv2.IMREAD_UNCHANGED)
            label = cv2.resize(label, LARGE[::-1], interpolation=cv2.INTER_NEAREST)
            for kind, suffix in (("png", ".png"), ("jpeg", ".jpg")):
                for folder, name, picture in ((split, path.stem + suffix, image), (f"{split}annot", path.name, label)):
                    (root / "large" / kind / folder).mkdir(parents=True, exist_ok=True)
                    cv2.imwrite(str(root / "large" / kind / folder / name), picture)
    return root / "large"


def _levers():
    """What is made without each lever, and with the other ways of keeping images."""

    def patched(target, name, value):
        def make(prepared, crop):
            with mock.patch.object(target, name, value):  # for as long as the graphs are traced
                return stream(prepared, crop)

        return make

    return {
        "general warp": lambda prepared, crop: stream(prepared, crop, WARPED),
        "colour op by op": patched(color, "POINTWISE", ()),
        "TensorFlow's own pool": patched(pipeline, "_options", lambda threads: tf.data.Options()),
        "--cache=memory": lambda prepared, crop: stream(prepared, crop, cache="memory"),
        "--cache=disk": lambda prepared, crop: stream(prepared, crop, cache="disk"),
        "--augment_device=device": lambda prepared, crop: stream(prepared, crop, augment_device="device"),
        "no colour": lambda prepared, crop: stream(prepared, crop, CHAIN.partition("|")[0]),
        "crop only": lambda prepared, crop: stream(prepared, crop, ""),
    }


def _jpeg_levers():
    label = records.decode_label

    def whole(prepared, crop):
        first = mock.Mock(side_effect=lambda x: label({**x, "image": sampling.decoded(x["image"])}))
        with mock.patch.object(records, "decode_label", first):
            return stream(prepared, crop)

    return {
        "whole image decoded": whole,
        "--cache=memory": lambda prepared, crop: stream(prepared, crop, cache="memory"),
    }


def memory(root):
    """Prints resident memory of this process over --memory_images images of CamVid's stream."""
    prepared = input_pipeline.prepare("camvid", FLAGS.camvid, str(root))
    batches, taken, start = iter(stream(prepared, CROP)), 0, time.perf_counter()
    print("| images | epochs | resident MB | images/s |\n|-|-|-|-|")
    while taken < FLAGS.memory_images:
        for _ in range(1000 // FLAGS.batch_size):
            next(batches)
        taken += 1000 // FLAGS.batch_size * FLAGS.batch_size
        resident = int(re.search(r"VmRSS:\s+(\d+) kB", pathlib.Path("/proc/self/status").read_text())[1]) / 1000
        epochs, rate = taken / prepared.splits["train"], taken / (time.perf_counter() - start)
        print(f"| {taken} | {epochs:.1f} | {resident:.0f} | {rate:.1f} |", flush=True)


if __name__ == "__main__":
    app.run(main)
