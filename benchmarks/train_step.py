"""Measures a training step: ours, ours without each optimization, plain Keras, and PyTorch. See docs/performance.md.

    python -m benchmarks.train_step

The variants take turns within one run, since the speed of a machine changes from minute to minute. Memory is measured
in a separate process. PyTorch is measured if `torch` and `segmentation_models_pytorch` are installed. The last line is
`train step ratio <ours/plain Keras, geometric mean over the networks> <ours/PyTorch, or ->`.
"""

import contextlib
import gc
import importlib.util
import math
import os
import statistics
import subprocess
import sys
import time

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

import models
from benchmarks import turns
from models.layers import convolution, normalization
from tfseg import losses, optimizers

CLASSES = 12
LEVERS = ("fused batch norm", "direct dilation", "XLA loss")
OURS, PLAIN, PYTORCH = "ours", "plain Keras", "PyTorch"
VARIANTS = (OURS, *(f"without {lever}" for lever in LEVERS), PLAIN)
PAIR = 'unet(backbone="resnet18")'  # beside smp.Unet("resnet18"), at the next size that this takes

flags.DEFINE_list("networks", ["enet", "erfnet", "unet"], "Compared with plain Keras.")
flags.DEFINE_list("size", ["360", "480"], "Height and width, pixels.")
flags.DEFINE_integer("batch_size", 4, "Images a step.")
flags.DEFINE_integer("turns", 5, "Turns of each variant; the median of the turns is reported.")
flags.DEFINE_integer("steps", 2, "Steps a turn.")
flags.DEFINE_integer("threads", os.cpu_count(), "CPU threads of an operation.")
flags.DEFINE_bool("memory", True, "Measure peak memory, each variant in a process of its own.")
flags.DEFINE_string("alone", "", "`<network>|<variant>`: take some steps and print this process' peak memory, MB.")
FLAGS = flags.FLAGS


def main(argv):
    """Measures every network and prints a table and the ratios."""
    del argv
    tf.config.threading.set_intra_op_parallelism_threads(FLAGS.threads)
    if FLAGS.alone:
        network, variant = FLAGS.alone.split("|")
        turn(network, variant, _size(network))()
        print(_peak_memory())
        return
    print(f"{FLAGS.batch_size} images of {'x'.join(FLAGS.size)}, {FLAGS.threads} threads, TensorFlow {tf.__version__}")
    print(
        f"| {'network':25} | {'variant':24} | s a step: median, min | of plain Keras | peak MB |\n|-|-|-|-|-|",
        flush=True,
    )
    ratios = [compare(network, VARIANTS) for network in FLAGS.networks]
    geometric = math.exp(statistics.mean(math.log(seconds[OURS] / seconds[PLAIN]) for seconds in ratios))
    to_pytorch = "-"
    if all(importlib.util.find_spec(name) for name in ("torch", "segmentation_models_pytorch")):
        seconds = compare(PAIR, (OURS, PLAIN, PYTORCH))
        to_pytorch = f"{seconds[OURS] / seconds[PYTORCH]:.3f}"
    print(f"train step ratio {geometric:.3f} {to_pytorch}")


def compare(network: str, variants: tuple[str, ...]) -> dict[str, float]:
    """Lets the variants of a network take turns and prints their rows. Returns the seconds of a step by variant."""
    keras.utils.clear_session()
    gc.collect()
    keras.utils.set_random_seed(0)  # only here, since every function is traced again after it
    with contextlib.ExitStack() as stack:
        takes = {}
        for variant in variants:
            if variant == PYTORCH:
                takes[variant] = stack.enter_context(pytorch_turn(_size(network)))
            else:
                takes[variant] = turn(network, variant, _size(network))
            takes[variant]()  # traces the function and allocates memory
        seconds = turns.take(takes, FLAGS.turns)
    medians = turns.medians(seconds)
    for variant, s in seconds.items():
        figures = f"{medians[variant]:.3f}, {min(s):.3f} | {medians[variant] / medians[PLAIN]:.3f}"
        memory = _memory_alone(network, variant) if FLAGS.memory else "-"
        print(f"| {network:25} | {variant:24} | {figures} | {memory} |", flush=True)
    return medians


def turn(network: str, variant: str, size: tuple[int, int]):
    """Builds a network and its step. Returns a function that takes some steps and returns the seconds of one step."""
    off = LEVERS if variant == PLAIN else [lever for lever in LEVERS if variant == f"without {lever}"]
    with _without(off):
        model = models.build(network, CLASSES)
    if variant == PLAIN:
        function = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
        optimizer = keras.optimizers.Adam(5e-4)
        optimizer.build(model.trainable_variables)
    else:
        (term,) = losses.build("cross_entropy")
        totals = term.function if "XLA loss" in off else tf.function(term.function, jit_compile=True)
        optimizer = optimizers.build("adam", optimizers.Schedule("constant", 5e-4, 1), model)

        def function(label, logits):
            total, count = totals(logits, label)
            return tf.math.divide_no_nan(total, count)

    @tf.function
    def step(image, label):
        with tf.GradientTape() as tape:
            outputs = model(image, training=True)
            weighted = {"logits": 1.0, **model.aux_weights}
            loss = tf.add_n([weight * function(label, outputs[name]) for name, weight in weighted.items()])
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients)
        return loss, tf.linalg.global_norm(gradients)

    random = np.random.default_rng(0)
    image = tf.constant(random.uniform(0, 255, (FLAGS.batch_size, *size, 3)), tf.float32)
    label = random.integers(0, CLASSES, (FLAGS.batch_size, *size), np.uint8)
    label[:, :10] = 255
    label = tf.constant(label)

    def take():
        start = time.perf_counter()
        for _ in range(FLAGS.steps):
            loss, norm = step(image, label)
        if not np.isfinite(loss.numpy() + norm.numpy()):  # also waits for the step to end
            raise FloatingPointError(f"Expected a finite loss. Received: {loss} of {network}, {variant}.")
        return (time.perf_counter() - start) / FLAGS.steps

    return take


@contextlib.contextmanager
def pytorch_turn(size: tuple[int, int]):
    """The same as `turn` for smp.Unet("resnet18"), in a separate process that sleeps between its turns."""
    with _pytorch(size, FLAGS.turns + 1) as worker:
        yield lambda: float(worker.ask("go"))


@contextlib.contextmanager
def _without(levers):
    """Replaces our layers by Keras' own while a network is built."""
    before = normalization.BatchNormalization, convolution.Conv2D
    if "fused batch norm" in levers:
        normalization.BatchNormalization = keras.layers.BatchNormalization
    if "direct dilation" in levers:
        convolution.Conv2D = keras.layers.Conv2D
    try:
        yield
    finally:
        normalization.BatchNormalization, convolution.Conv2D = before


def _size(network):
    height, width = map(int, FLAGS.size)
    multiple = 32 if network == PAIR else 1  # smp only accepts such sizes
    return -(-height // multiple) * multiple, -(-width // multiple) * multiple


def _peak_memory():
    """Peak memory of this process in MB: of the GPU if there is one, otherwise resident memory."""
    if tf.config.list_physical_devices("GPU"):
        return round(tf.config.experimental.get_memory_info("GPU:0")["peak"] / 1e6)
    return turns.peak_memory()


def _memory_alone(network, variant):
    if variant == PYTORCH:
        with _pytorch(_size(network), 1) as worker:
            worker.ask("go")
            return worker.read()
    options = [f"--{name}={','.join(map(str, np.atleast_1d(FLAGS[name].value)))}" for name in ("size", "batch_size")]
    options += [f"--threads={FLAGS.threads}", f"--steps={FLAGS.steps}", f"--alone={network}|{variant}"]
    command = [sys.executable, "-m", "benchmarks.train_step", *options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]


def _pytorch(size, count):
    numbers = (*size, FLAGS.batch_size, CLASSES, FLAGS.threads, FLAGS.steps, count)
    return turns.Worker([sys.executable, "-m", "benchmarks.pytorch_step", *numbers])


if __name__ == "__main__":
    app.run(main)
