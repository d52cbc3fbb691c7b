"""--mode=profile: measures what a network costs: parameters, multiply-accumulates, latency, memory.

python main.py --mode=profile --model="enet | erfnet | unet" --crop_size=360,480 --output_dir=costs
python main.py --mode=profile --model=all
python main.py --mode=profile --profile=input --flagfile=configs/camvid_enet.flags    # see profile_input.py
"""

import csv
import multiprocessing
import pathlib
import resource
import time

import cv2
import keras
import numpy as np
import tensorflow as tf
from absl import logging
from tqdm import tqdm

import models
import tfseg.spec as specs
from models import backbones
from tfseg import config as config_lib
from tfseg import pictures, profile_input, tables

SECONDS, RUNS, WARM_UP = 3.0, (5, 100), 2  # Time for a network, fewest and most runs, runs before.
CLASSES = {"classifier": 1000}
COLUMNS = ("model", "parameters", "gmacs", "p50_ms", "p90_ms", "p99_ms", "images_per_s", "peak_mb")


def profile(config: config_lib.Config) -> list[dict]:
    """Profiles the networks of --model (`a | b(..)`, or `all`) on one image of --crop_size; returns a row for each.

    Prints a table; with --output_dir also writes profile.csv and profile.png (latency against parameters). Each network
    runs in its own process, so that the peak memory is that of this network; it includes the memory of TensorFlow itself.
    """
    if config.profile == "input":
        return [profile_input.profile(config)]
    if not config.model:
        raise ValueError("Expected --model: `a | b(..)`, or `all`. Received: none.")
    names = all_specs() if config.model == "all" else [str(call) for call in specs.parse_chain(config.model)]
    rows, failed = [], []
    for name in tqdm(names, "profile", unit="network"):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            try:
                rows.append(pool.apply(measure, (name, config.num_classes, config.crop_size)))
            except ValueError as error:  # The spec is wrong, or the image is too small for the network.
                failed.append(f"{name}: {str(error).splitlines()[0]}")
    height, width = config.crop_size
    if not rows:
        raise ValueError(f"Expected networks that take {height}x{width}. Received: {'; '.join(failed)}.")
    print(f"One image of {height}x{width}, {tf.config.list_logical_devices()[-1].device_type}:")
    print(table(rows))
    if config.output_dir:
        folder = pathlib.Path(config.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "profile.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        cv2.imwrite(str(folder / "profile.png"), pictures.costs_picture(rows, label)[..., ::-1])
        print(f"Written to {folder}: profile.csv, profile.png")
    if failed:
        logging.warning("Not measured:\n%s", "\n".join(failed))
    return rows


def all_specs() -> list[str]:
    """Every network with its default options, and every backbone as a classifier."""
    networks = [name for name in models.names() if name != "classifier"]
    return [*networks, *(f"classifier(backbone={name!r})" for name in backbones.names())]


def measure(spec: str, num_classes: int, size: tuple[int, int]) -> dict:
    """Measures one row: parameters, 1e9 multiply-accumulates, milliseconds, images per second, peak memory in MB.

    Args:
        spec: the network.
        num_classes: 0 means 1000 for a classifier, otherwise 19 (Cityscapes).
        size: (height, width) of the image, pixels.
    """
    classes = num_classes or CLASSES.get(specs.parse(spec).name, 19)
    model = models.build(spec, classes, (*size, None))
    run = tf.function(lambda image: model(image, training=False)["logits"], autograph=False)
    image = tf.random.uniform([1, *size, model.input.shape[-1]], maxval=255.0)
    for _ in range(WARM_UP):
        run(image).numpy()
    times, begin = [], time.perf_counter()
    while len(times) < RUNS[0] or (len(times) < RUNS[1] and time.perf_counter() - begin < SECONDS):
        start = time.perf_counter()
        run(image).numpy()
        times.append(1e3 * (time.perf_counter() - start))
    p50, p90, p99 = np.percentile(times, (50, 90, 99))
    values = (spec, parameters(model), multiply_accumulates(model) / 1e9, p50, p90, p99, 1e3 / p50, _peak_memory())
    return dict(zip(COLUMNS, values, strict=True))


def parameters(model: keras.Model) -> int:
    """The number of trainable parameters."""
    return int(sum(np.prod(variable.shape) for variable in model.trainable_variables))


def multiply_accumulates(model: keras.Model) -> int:
    """The multiply-accumulates of convolutions, transposed convolutions and matrix products for one image.

    The model must have a fixed input size. Zeros of padding are counted. Resizing, pooling, norms, activations and biases are
    not, and auxiliary heads are not either, since only training runs them.
    """
    total = 0
    if isinstance(model.output, dict) and "logits" in model.output:
        model = keras.Model(model.inputs, model.output["logits"])
    # A layer that is called several times, as in a recurrent network, is computed as often.
    for layer in (node.operation for nodes in model._nodes_by_depth.values() for node in nodes):
        kernel = getattr(layer, "kernel", None)
        if isinstance(layer, keras.layers.Conv2DTranspose):  # Every input pixel is multiplied with the whole kernel.
            total += np.prod(layer.input.shape[1:3]) * np.prod(kernel.shape)
        elif isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
            total += np.prod(layer.output.shape[1:3]) * np.prod(kernel.shape)
        elif isinstance(layer, keras.layers.SeparableConv2D):
            places = np.prod(layer.output.shape[1:3])
            total += places * (np.prod(layer.depthwise_kernel.shape) + np.prod(layer.pointwise_kernel.shape))
        elif isinstance(layer, keras.layers.Dense):
            total += np.prod(layer.output.shape[1:-1]) * np.prod(kernel.shape)
        elif hasattr(layer, "multiply_accumulates"):  # a layer of ours that computes its own convolution and counts it
            total += layer.multiply_accumulates()
        elif type(layer).__name__ == "Matmul":  # keras.ops.matmul of two tensors, in attention
            total += np.prod(layer.output.shape[1:]) * layer.input[0].shape[-1]
    return int(total)


def table(rows: list[dict]) -> str:
    """The rows as aligned text."""
    header = ("model", "parameters", "GMAC", "p50 ms", "p90", "p99", "img/s", "peak MB")
    forms = ("{}", "{:,}", "{:.3f}", "{:.1f}", "{:.1f}", "{:.1f}", "{:.1f}", "{:.0f}")
    cells = [[form.format(row[key]) for form, key in zip(forms, COLUMNS, strict=True)] for row in rows]
    return tables.text(header, cells)


def label(row: dict) -> str:
    """The name of a network in the picture; that of a classifier is its backbone."""
    call = specs.parse(row["model"])
    return call.kwargs.get("backbone", row["model"]) if call.name == "classifier" else row["model"]


def _peak_memory():
    """Peak memory in MB: of the GPU if there is one, otherwise of this process."""
    if tf.config.list_logical_devices("GPU"):
        return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
