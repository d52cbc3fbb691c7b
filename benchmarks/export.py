"""Inference at 360x480: the live network, what `export.py` makes of it in each runtime, and PyTorch. See docs/performance.md.

    python -m benchmarks.export --torch_python=/path/to/python

Each variant of a network runs in a process of its own (`export_turn.py`), which sleeps until its turn comes: a turn is some
single images, or a batch. PyTorch is eager and channels last, where segmentation_models_pytorch (`pip install .[compare]`) has
the network and --torch_python has that package. It takes only sizes that divide by 32, so all variants of these networks have
the next such size. A round of turns in which other programs kept a processor busy is taken again. Where that does not help, the
seconds are printed, but no ratio, and the exit status is 1.

The last line is `export ratio <best export / PyTorch> <SavedModel / PyTorch> <int8 / float32 TensorFlow Lite>`: how many times
faster the first is at batch 1. The first two are geometric means over the networks that PyTorch has; the best export of each is
the fastest one in float32. The third is that of EfficientNet-Lite0's network.
"""

import contextlib
import functools
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags, logging

import models
from benchmarks import turns
from benchmarks.export_turn import CLASSES
from tfseg import export, exports, inference, inference_graph

LITE = 'deeplab_v3plus(backbone="efficientnet_lite0")'
NETWORKS = {  # and the same of segmentation_models_pytorch: the network and its encoder
    "enet": "",
    "erfnet": "",
    "edanet": "",
    'bisenet(backbone="resnet18")': "",
    'unet(backbone="resnet18")': "Unet|resnet18",
    LITE: "DeepLabV3Plus|tu-efficientnet_lite0",
    'deeplab_v3plus(backbone="resnet50")': "DeepLabV3Plus|resnet50",
}
SAVED, FLOAT, INT8, PYTORCH = "SavedModel", "TFLite float32", "TFLite int8", "PyTorch"
VARIANTS = {  # (variant of export_turn.py, format that it reads, --quantize)
    "live": ("live", "", ""),
    SAVED: ("saved_model", "saved_model", "none"),
    "frozen and folded": ("frozen", "", ""),
    FLOAT: ("tflite", "tflite", "none"),
    INT8: ("tflite", "tflite", "int8"),
    "ONNX Runtime": ("onnx", "onnx", "none"),
    "OpenVINO": ("openvino", "openvino", "none"),
}
FLOATS = (SAVED, FLOAT, "ONNX Runtime", "OpenVINO")  # exports that compute in float32

flags.DEFINE_multi_string("network", list(NETWORKS), "Spec; may be repeated.")
flags.DEFINE_list("size", ["360", "480"], "Height and width, pixels.")
flags.DEFINE_integer("batch", 8, "Images of a batch, for the throughput.")
flags.DEFINE_integer("turns", 5, "Turns of each variant; the median is reported.")
flags.DEFINE_integer("steps", 3, "Single images of a turn.")
flags.DEFINE_integer("threads", 1, "CPU threads of an operation.")
flags.DEFINE_string("torch_python", sys.executable, "Python with torch and segmentation_models_pytorch.")
flags.DEFINE_float("others", 0.1, "Most cores that other programs may keep busy during a round.")
FLAGS = flags.FLAGS


def main(argv):
    """Measures every network and prints a table and the ratios."""
    del argv
    logging.set_verbosity(logging.WARNING)
    print(
        f"{FLAGS.threads} of {os.cpu_count()} threads, TensorFlow {tf.__version__}; x: times as fast as SavedModel\n"
        f"| {'network, size':47} | {'variant':17} | ms at batch 1: median, min | x | images/s at batch {FLAGS.batch} | x "
        "| first answer s | peak MB |\n|-|-|-|-|-|-|-|-|",
        flush=True,
    )
    found = {network: compare(network) for network in FLAGS.network}
    if None in found.values():
        busy = ", ".join(network for network, seconds in found.items() if seconds is None)
        print(
            f"Expected at most {FLAGS.others} cores in use by other programs. Received: more, during most rounds of {busy}. "
            "Run it again when the machine is idle."
        )
        print("export ratio - - -")
        sys.exit(1)
    pairs = [seconds for seconds in found.values() if PYTORCH in seconds]
    best = [seconds[PYTORCH] / min(seconds[variant] for variant in FLOATS if variant in seconds) for seconds in pairs]
    saved = [seconds[PYTORCH] / seconds[SAVED] for seconds in pairs]
    lite = [found[LITE][FLOAT] / found[LITE][INT8]] if LITE in found and INT8 in found[LITE] else []
    print(f"export ratio {geometric_mean(best)} {geometric_mean(saved)} {geometric_mean(lite)}")


def geometric_mean(ratios: list[float]) -> str:
    """As it is printed: `-` if there are none."""
    return f"{math.exp(statistics.mean(map(math.log, ratios))):.2f}" if ratios else "-"


def compare(network: str) -> dict[str, float] | None:
    """Lets the variants of a network take turns and prints their rows.

    Returns:
        The seconds of one image by variant, or None if the machine was busy.
    """
    partner = NETWORKS.get(network, "")
    size = tuple(-(-int(side) // 32) * 32 if partner else int(side) for side in FLAGS.size)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        sources = written(network, size, pathlib.Path(folder))
        if partner and has_pytorch():
            sources[PYTORCH] = ("pytorch", partner)
        workers, starts = {}, {}
        for variant, source in sources.items():
            workers[variant], starts[variant] = started(*source, size)
            stack.enter_context(workers[variant])
        takes = {
            (variant, images): functools.partial(turn, worker, images)
            for variant, worker in workers.items()
            for images in (1, FLAGS.batch)
        }
        for take in takes.values():  # a batch of another size is traced, or gets its memory
            take()
        machine = turns.Machine(list(workers.values()))
        taken = turns.take_quietly(takes, FLAGS.turns, machine, FLAGS.others, tries=3 * FLAGS.turns)
        quiet = taken is not None
        taken = taken or turns.take(takes, 1)
    medians = turns.medians(taken)

    def faster(variant, images):
        return f"{medians[SAVED, images] / medians[variant, images]:.2f}" if quiet else "busy"

    for variant in workers:
        one, many = taken[variant, 1], medians[variant, FLAGS.batch]
        latency = f"{1000 * statistics.median(one):.1f}, {1000 * min(one):.1f} | {faster(variant, 1)}"
        throughput = f"{FLAGS.batch / many:.2f} | {faster(variant, FLAGS.batch)}"
        name = f"{network} {size[0]}x{size[1]}"
        print(f"| {name:47} | {variant:17} | {latency} | {throughput} | {starts[variant]} |", flush=True)
    return {variant: medians[variant, 1] for variant in workers} if quiet else None


def written(network: str, size: tuple[int, int], folder: pathlib.Path) -> dict[str, tuple[str, str]]:
    """Writes the exports of a network. Returns (variant of export_turn.py, what it opens) for each variant that there is."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    model = models.build(network, CLASSES)
    scores = inference.build("whole", inference_graph.Frozen(inference_graph.simplified(model)))
    noise = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
    sources = {}
    for variant, (kind, form, quantize) in VARIANTS.items():
        if not form:
            sources[variant] = (kind, network)
            continue
        graph = export.Graph(
            name=model.name,
            trained=model,
            network=lambda images: (scores(images), {}),
            outputs=() if form == "saved_model" else ("logits",),
            inference="whole",
            size=size if exports.find(form).SIZE == "fixed" else None,
            quantize=quantize,
            image_range="",
            max_pixels=2**26,
            samples=lambda: list(noise),
            representative=lambda: ((image, None) for image in noise),
        )
        path = folder / variant / exports.find(form).FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            exports.check(form, quantize)
            exports.find(form).write(graph, path)
            sources[variant] = (kind, str(path))
        except (ValueError, ImportError) as error:
            print(f"| {network} | {variant} | left out: {str(error).splitlines()[0]} |", flush=True)
    return sources


@functools.cache
def has_pytorch() -> bool:
    """Whether --torch_python has what PyTorch's turns need."""
    command = [FLAGS.torch_python, "-c", "import torch, segmentation_models_pytorch"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def started(variant: str, source: str, size: tuple[int, int]) -> tuple[turns.Worker, str]:
    """A process for the turns of a variant; the seconds from its start to its first answer, and its peak memory, MB."""
    python = FLAGS.torch_python if variant == "pytorch" else sys.executable
    # What TensorFlow's and PyTorch's kernels use besides the threads that they are told.
    environment = os.environ | {"OMP_NUM_THREADS": str(FLAGS.threads), "TF_CPP_MIN_LOG_LEVEL": "2"}
    start = time.perf_counter()
    command = [python, "-m", "benchmarks.export_turn", variant, source, *size, FLAGS.threads]
    worker = turns.Worker(command, env=environment)
    memory = worker.read()
    return worker, f"{time.perf_counter() - start:.1f} | {memory}"


def turn(worker: turns.Worker, images: int) -> float:
    """The seconds of a batch."""
    return float(worker.ask(f"{images} {FLAGS.steps if images == 1 else 1}"))


if __name__ == "__main__":
    app.run(main)
