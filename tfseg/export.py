"""--mode=export: a run's network for other programs. python export.py --workdir=<run> --output_dir=<folder> --format=<format>

The formats are the files of `tfseg/exports/`. All but Keras' hold only what inference needs (`inference_graph`), with the
moving average of the weights if the run kept one. They compute what evaluation computes. This is checked before the export is
put in its place: its own runtime reads it again in another process (`export_check`).

The signatures of a SavedModel, which needs TensorFlow only (`serving`):

    serving_default(image_bytes: string [batch])              JPEG, PNG, BMP, GIF or WebP files; one size in a batch
    predict_images(images: uint8 [batch, height, width, 3])   RGB images
    -> classes: uint8 (uint16 of more than 256 classes) [batch, height, width], confidence: float32 [batch, height, width]
        of a network with cells also boxes, box_scores, box_classes, box_count, and of one with masks box_masks; see
        `objects.Finder.located`
    png(image_bytes) -> png_bytes: string [batch]             the classes as gray PNG files
    boxes(image_bytes) -> the boxes alone
    embedding(images) -> classes, confidence, embedding: float32 [batch, height, width, dimensions]
    probabilities(images), logits(images)                     float32 [batch, height, width, classes]; if --outputs names them

`export.json` describes the export: classes (train id, the class table's own id (`raw`), name, colour), sizes, score, options,
environment. In a SavedModel it lies in `assets.extra/`, beside `classes.json` and TensorFlow Serving's warm-up requests.
"""

import dataclasses
import functools
import json
import pathlib
import shutil
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf
from absl import logging

import input_pipeline
from tfseg import config as config_lib
from tfseg import (
    config_values,
    environment,
    evaluate,
    export_check,
    exports,
    inference,
    inference_graph,
    network,
    objects,
    preflight,
    prepare,
    serving,
)
from tfseg.prediction import folders, labels

SAMPLES = 8  # images that the export is checked on
CALIBRATION = 64  # images that the ranges of 8-bit activations are taken from


@dataclasses.dataclass(frozen=True)
class Graph:
    """What a format writes."""

    name: str  # of the architecture
    trained: keras.Model  # as it was trained, with auxiliary outputs
    # images -> (float32 [batch, height, width, classes], {name: other output}), with constants as weights
    network: Callable
    outputs: tuple[str, ...]  # `serving.OUTPUTS`
    inference: str  # the spec that gives the scores
    size: tuple[int, int] | None  # of images, if it is fixed
    quantize: str
    image_range: str
    max_pixels: int
    samples: Callable[[], list[np.ndarray]]  # images uint8 [height, width, 3]
    representative: Callable[
        [], Iterator[tuple[np.ndarray, np.ndarray]]
    ]  # images of the train split, of `size`, and labels
    finder: objects.Finder = objects.NONE  # of the boxes and instances
    calibration: str = "minmax"  # `quantization.calibrated` of int8
    keep_float: tuple[str, ...] = ()  # layers that int8 keeps in float, or ("auto",)

    def compute(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """The outputs of images, uint8 or float [batch, height, width, 3]."""
        return serving.outputs(self.network(image)[0], self.outputs)

    def save(self, folder: pathlib.Path, image: tf.TensorSpec) -> None:
        """Writes a SavedModel of `compute` alone, which converters read."""
        module = tf.Module()
        module.compute = tf.function(self.compute, input_signature=[image])
        tf.saved_model.save(module, str(folder), {"serving_default": module.compute})


def export(config: config_lib.Config) -> float:
    """Writes a run's best checkpoint in --format; returns its largest difference to the live model, in logits.

    Raises:
        ValueError: if the folder is not empty (without --overwrite), if an option does not fit the format, or if the export
            computes something else.
        ImportError: if a package that the format needs is not installed.
        OSError: if it cannot be written.
    """
    if not (config.output_dir and (config.workdir or config.init_from)):
        raise ValueError(
            "Expected --output_dir, and --workdir of a run or --init_from of weights. Received: "
            f"--output_dir={config.output_dir!r} --workdir={config.workdir!r} --init_from={config.init_from!r}."
        )
    preflight.check_inference(config)
    preflight.check_objects(config)
    exports.check(config.format, config.quantize)
    outputs(config)
    keep_float(config)
    _fixed_size(config)
    target = pathlib.Path(config.output_dir).resolve()  # a link to a folder stays one
    target = target / str(config.model_version) if config.model_version else target
    filled = target.exists() and (target.is_file() or any(target.iterdir()))
    if filled and not (config.overwrite and _is_export(target)):
        raise ValueError(
            f"Expected an empty --output_dir, or with --overwrite one that holds an export. Received: {target}, with files."
        )
    aside = target.with_name(target.name + ".writing")
    shutil.rmtree(aside, ignore_errors=True)
    folders.check_writable(aside)
    try:
        difference = _export(config, aside, target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    if config.evaluate:
        evaluate.evaluate(dataclasses.replace(config, **{config.format: str(path_in(target, config.format))}))
    return difference


def outputs(config: config_lib.Config) -> tuple[str, ...]:
    """The outputs that --outputs asks for, or the format's own.

    Raises:
        ValueError: for names that are unknown, or that the format does not have.
    """
    names = tuple(word.strip() for word in config.outputs.split(",") if word.strip())
    unknown = [name for name in names if name not in serving.OUTPUTS]
    if unknown or (config.format == "keras" and set(names) - {"logits"}):
        known = "logits" if config.format == "keras" else ", ".join(serving.OUTPUTS)
        raise ValueError(
            f"Expected --outputs of --format={config.format} to be some of {known}. Received: --outputs={config.outputs}."
        )
    return names or (() if config.format == "saved_model" else ("logits",))


def keep_float(config: config_lib.Config) -> tuple[str, ...]:
    """The layers that --keep_float names.

    Raises:
        ValueError: if the format or --quantize has none in 8 bits that could stay in float.
    """
    names = tuple(word.strip() for word in config.keep_float.split(",") if word.strip())
    if names and config.quantize != "int8":
        raise ValueError(
            f"Expected --keep_float with --format=tflite --quantize=int8 only. Received: --keep_float={config.keep_float} "
            f"with --format={config.format} --quantize={config.quantize}."
        )
    return names


def path_in(folder: pathlib.Path, kind: str) -> pathlib.Path:
    """Where the network of an export lies: its file, or the folder of a SavedModel."""
    return folder / exports.find(kind).FILE


def _is_export(folder):
    return (folder / "saved_model.pb").is_file() or (folder / "export.json").is_file()


def _export(config, aside, target):
    """Writes the export aside, checks it, and puts it in its place."""
    model, state = evaluate.trained_model(config)
    network.check_images(model, "export")
    records = _records(config)
    size = _size(config, records)
    samples = _samples(config, records, size)
    names = [row["name"] for row in labels.class_rows(state.class_table(), model.output["logits"].shape[-1])]
    finder = objects.build(config, model.output, names, state.things)
    graph = Graph(
        name=model.name,
        trained=model,
        network=_network(config, model, finder.reads),
        outputs=outputs(config),
        inference=config.inference,
        size=size,
        quantize=config.quantize,
        image_range=config.image_range,
        max_pixels=config.max_pixels,
        samples=lambda: [image for image, _ in samples],
        representative=functools.partial(_representative, records, size),
        calibration=config.calibration,
        keep_float=keep_float(config),
        finder=finder,
    )
    path = path_in(aside, config.format)
    about = exports.find(config.format).write(graph, path) or {}
    # As evaluation runs it: op by op, ENet's pools would break ties otherwise.
    every = _all(inference.build_all(config.inference, model, finder.reads))
    live = tf.function(every, reduce_retracing=True, autograph=False)
    found = export_check.compare(config.format, path, live, samples, config.quantize, finder)
    _describe(aside, config, state, model.output["logits"].shape[-1], graph, found, about)
    shutil.rmtree(target, ignore_errors=True)
    aside.rename(target)
    print(f"{config.format} of step {state.step} in {target}; {found.sentence()}")
    if scores := about.get("keep_float_miou"):
        said = (
            "mIoU on images of the train split: {float:.4f} in float, {int8:.4f} all in 8 bits, {mixed:.4f} as written"
        )
        print(said.format(**scores))
    if about.get("keep_float"):
        print("In float: " + ", ".join(name.partition(";")[0] for name in about["keep_float"]))
    if config.quantize == "int8" and found.loss > export_check.MOST_LOSS:
        logging.warning(
            "8 bits cost more than %g points of mIoU. --keep_float=auto names the layers that cost it and keeps them in float.",
            100 * export_check.MOST_LOSS,
        )
    return found.difference


def _network(config, model, names):
    """The part of the network that is exported, with the outputs `names` besides; only a SavedModel has those."""
    names = names if config.format == "saved_model" else ()
    frozen = inference_graph.Frozen(inference_graph.simplified(model, names))
    return _all(inference.build_all(config.inference, frozen, names))


def _all(compute):
    """Scores and other outputs, without uncertainty, of what `inference.build_all` returns."""

    def scores_and_others(images):
        scores, _, others = compute(images)
        return scores, others

    return scores_and_others


def _describe(folder, config, state, num_classes, graph, found, more):
    """Writes export.json, with `more` of what the format knows, and for a SavedModel classes.json."""
    classes = labels.class_rows(state.class_table())
    options = [line for line in config.text().splitlines() if line.split("=")[0].lstrip("-") not in config_values.PATHS]
    about = {
        "format": config.format,
        "network": config.model,
        "num_classes": num_classes,
        "classes": classes,
        "size": graph.size or "any",
        "outputs": graph.outputs,
        "objects": dataclasses.asdict(graph.finder) if graph.finder.reads else None,
        "quantize": config.quantize,
        "step": state.step,
        "miou": state.best if state.best >= 0 and state.best_step == state.step else None,
        "check": dataclasses.asdict(found),
        **more,
        "options": options,
        "environment": environment.describe(tf.distribute.get_strategy()) | {"command": "export"},
    }
    if config.format == "saved_model":
        folder = folder / "assets.extra"
        folder.mkdir(exist_ok=True)
        (folder / "classes.json").write_text(json.dumps(classes, indent=1))
    (folder / "export.json").write_text(json.dumps(about, indent=1) + "\n")


def _records(config):
    """The run's data, or None if it is not at hand."""
    try:
        return prepare.records(config)
    except (FileNotFoundError, ValueError) as error:
        logging.warning("The export is checked on noise only, since the data set is not at hand: %s", error)
        return None


def _split(config, records):
    return config.split if config.split in records.splits else next(iter(records.splits))


def _fixed_size(config):
    """The fixed height and width that --export_size asks for, or None.

    Raises:
        ValueError: if the format takes images of any size.
    """
    if any(config.export_size) and exports.find(config.format).SIZE == "any":
        raise ValueError(
            f"Expected no --export_size with --format={config.format}, which takes images of any size. Received: "
            f"--export_size={','.join(map(str, config.export_size))}."
        )
    return config.export_size if any(config.export_size) else None


def _size(config, records):
    """The height and width of the export's images, or None if they may have any."""
    given = _fixed_size(config)
    if given or exports.find(config.format).SIZE != "fixed":
        return given
    if not records:
        return config.crop_size
    return next(_decoded(records.encoded(_split(config, records))))["image"].shape[:2]


def _decoded(examples):
    """Examples of the records with arrays."""
    return examples.map(input_pipeline.decode).as_numpy_iterator()


def _samples(config, records, size):
    """(image, label or None) pairs: a few of the run's data set if it is at hand, and noise of odd sizes."""
    random = np.random.default_rng(0)
    sizes = [size] if size else [(64, 96), (73, 105), (33, 47)]
    pairs = [(random.integers(0, 256, (*one, 3), np.uint8), None) for one in sizes]
    if records:
        examples = _decoded(records.encoded(_split(config, records)).take(SAMPLES))
        pairs += [(example["image"], example["label"]) for example in examples]
    return [(_fitted(image, size, 0), _fitted(label, size, input_pipeline.IGNORE)) for image, label in pairs]


def _representative(records, size):
    """(image, label) pairs of the train split, of a fixed size."""
    if not records or "train" not in records.splits:
        raise ValueError(
            "Expected --dataset and --data_dir with a train split, from whose images --quantize=int8 takes the ranges of "
            f"activations. Received: {sorted(records.splits) if records else 'no data set that can be read'}."
        )
    step = max(1, records.splits["train"] // CALIBRATION)  # spread over the split
    for example in _decoded(records.encoded("train").shard(step, 0).take(CALIBRATION)):
        yield _fitted(example["image"], size, 0), _fitted(example["label"], size, input_pipeline.IGNORE)


def _fitted(array, size, value):
    """Crops the middle of an image or label, or fills it up with `value`, where it does not have the size."""
    if array is None or size is None or array.shape[:2] == tuple(size):
        return array
    for axis, wanted in enumerate(size):
        extra = array.shape[axis] - wanted
        first = max(extra, 0) // 2
        array = np.take(array, range(first, first + min(wanted, array.shape[axis])), axis)
        padding = [(0, 0)] * array.ndim
        padding[axis] = (0, max(-extra, 0))
        array = np.pad(array, padding, constant_values=value)
    return array
