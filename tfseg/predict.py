"""--mode=predict: label maps, colour maps and overlays of images of any size."""

import functools
import json
import pathlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np
import tensorflow as tf

import input_pipeline
from input_pipeline import pipeline, progress
from input_pipeline.source import files
from tfseg import config as config_lib
from tfseg import evaluate, given_images, inference, pictures, preflight, prepare
from tfseg.inference import monte_carlo

PICTURES = ("labels", "colors", "overlays")  # folders of --output_dir
BAND = 256  # how many rows are drawn at once, so that drawing needs little memory
LARGEST_ID = 65535  # of a 16-bit PNG
OUT_OF_MEMORY = ("out of memory", "oom when", "failed to allocate", "alloc_failed", "insufficient memory")


class Image(NamedTuple):
    """An image to predict."""

    name: str  # of its predictions
    source: str  # what a message calls it
    read: Callable[[], np.ndarray]  # RGB uint8 [height, width, 3]


class Images(NamedTuple):
    """The images to predict, one at a time."""

    count: int
    names: Iterable[str]
    stream: Iterator[Image]


def predict(config: config_lib.Config) -> list[pathlib.Path]:
    """Writes `labels/`, `colors/`, `overlays/` NAME.png, `legend.png` and `classes.json` to --output_dir.

    With --monte_carlo it also writes `uncertainty/entropy/`, `.../mutual_information/` and `.../variance/` NAME.png, gray with
    8 bits, and `uncertainty/scale.json`, which says what a gray of 255 is.

    The images are those of --images, or if it is blank those of the data set's --split. They are read in the same way as in
    preparation. A label map is a gray PNG of train ids, or with --label_ids=raw of the ids in the class table, with 8 bits if
    the ids fit and otherwise with 16. `classes.json` lists the ids. Existing files are an error unless --overwrite is
    given.

    Returns:
        The paths of the label maps.

    Raises:
        FileNotFoundError: if --images matches nothing.
        OSError: if --output_dir cannot be written.
        ValueError: if some images cannot be read or predicted; the message names each, and the others have been predicted.
    """
    if not config.output_dir:
        raise ValueError("Expected --output_dir, the folder for the predictions. Received: none.")
    preflight.check_inference(config)
    preflight.check_sampling(config)
    output_dir = pathlib.Path(config.output_dir)
    images = _of_files(config, output_dir) if config.images else _of_split(config)
    kinds = [f"uncertainty/{kind}" for kind in monte_carlo.KINDS] if config.monte_carlo else []
    folders = [*PICTURES, *kinds]
    if not config.overwrite:
        _check_new(images.names, output_dir, folders)
    for folder in folders:
        check_writable(output_dir / folder)
    model, state = evaluate.trained_model(config)
    classes = class_rows(state.class_table(), model.output["logits"].shape[-1])
    ids = _label_ids(classes, config.label_ids)
    colors = np.array([row["color"] for row in classes], np.uint8)
    _write_about(classes, colors, output_dir, config)
    compute = _compute(config, model)
    written, failed = [], []
    for name, source, read in progress.over(images.stream, "predict", images.count, "images"):
        image = None
        try:
            image = read()
            label, maps = compute(image)
            drawn = _drawn(image, label.numpy(), ids, colors) | _drawn_uncertainty(maps)
        except (MemoryError, cv2.error, *files.FAULTS) as error:
            failed.append(f"{source}: {_reason(error, image, config.inference)}")
            continue
        for folder, picture in drawn.items():
            _write(output_dir / folder / f"{name}.png", picture)
        written.append(output_dir / "labels" / f"{name}.png")
    print(
        f"{len(written)} of {images.count} images predicted in {output_dir}: labels/ ({config.label_ids} ids), colors/, "
        f"overlays/, {'uncertainty/, ' if kinds else ''}legend.png, classes.json"
    )
    if failed:
        lines = "\n  ".join(failed)
        raise ValueError(
            f"Expected images that can be read and predicted. Received: {len(failed)} of {images.count} that cannot; the "
            f"others are predicted:\n  {lines}"
        )
    return written


def _compute(config, model):
    """Makes the function of an image, RGB uint8 [height, width, 3], to its label map and its uncertainty.

    These are uint16 [height, width] and {kind: uint8 [height, width]}, where 255 is `monte_carlo.scale` or more.
    """
    if config.monte_carlo:
        sampled = inference.build_sampled(config.inference, model, config.monte_carlo, config.seed)
    else:
        scores = inference.build(config.inference, model)
    scale = monte_carlo.scale(model.output["logits"].shape[-1])

    def ids(scores):
        return tf.cast(tf.argmax(scores, -1, tf.int32), tf.uint16)

    @tf.function(input_signature=[tf.TensorSpec([None, None, 3], tf.uint8)])
    def compute(image):
        if not config.monte_carlo:
            return scores(image[tf.newaxis], ids)[0], {}
        mean, maps = sampled(image[tf.newaxis])
        gray = {kind: tf.saturate_cast(tf.round(maps[kind][0] * (255 / scale[kind])), tf.uint8) for kind in maps}
        return ids(mean)[0], gray

    return compute


def class_rows(table: list["input_pipeline.Class"], count: int = 0) -> list[dict]:
    """The rows of classes.json: {"id": train id, "raw": the class table's own id or None, "name", "color"}.

    If the network has more classes, `count`, than the data set, the others have numbers as names and are gray.
    """
    rows = [{"id": i, "raw": c.raw, "name": c.name, "color": list(c.color)} for i, c in enumerate(table)]
    more = range(len(rows), count)
    return rows + [{"id": i, "raw": None, "name": f"class {i}", "color": [(60 + 37 * i) % 256] * 3} for i in more]


def check_writable(folder: pathlib.Path) -> None:
    """Creates a folder, and a file in it that is removed at once; raises an OSError with the cause if this fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        file = next((path for path in (folder, *folder.parents) if path.is_file()), None)
        cause = f"{file} is a file" if file else error.strerror or str(error)
        raise OSError(
            f"Expected a folder that can be written for --output_dir. Received: {folder}: {cause}. Choose another folder, or "
            "change its permissions."
        ) from error


def _of_files(config, output_dir):
    """The images of --images."""
    found = given_images.find(config.images, output_dir)
    stream = (
        Image(name, str(path), functools.partial(_read, path, config.image_range)) for name, path in found.items()
    )
    return Images(len(found), found, stream)


def _read(path, image_range):
    """Reads an image file in the same way as preparation: RGB uint8 [height, width, 3]."""
    return files.read_image(path, image_range)[1]


def _of_split(config):
    """The images of --split, read from the records one after another."""
    prepared = prepare.records(config)
    if config.split not in prepared.splits:
        raise ValueError(f"Expected --images, or --split of {sorted(prepared.splits)}. Received: {config.split!r}.")
    encoded = prepared.encoded(config.split)
    ids = (name.decode() for name in encoded.map(lambda example: example["id"]).as_numpy_iterator())
    decoded = pipeline.readable(encoded.map(input_pipeline.decode).prefetch(1).as_numpy_iterator(), prepared)
    stream = (Image(e["id"].decode(), e["id"].decode(), functools.partial(dict.get, e, "image")) for e in decoded)
    return Images(prepared.splits[config.split], ids, stream)


def _check_new(names, output_dir, folders):
    """Raises if predictions with these names exist."""
    folders = [output_dir / folder for folder in folders if (output_dir / folder).is_dir()]
    existing = [name for name in names if any((f / f"{name}.png").exists() for f in folders)] if folders else []
    if existing:
        raise ValueError(
            f"Expected --output_dir without predictions of these images. Received: {output_dir} holds {len(existing)} "
            f"of them, the first {existing[0]}.png. Use another folder, or --overwrite."
        )


def _label_ids(classes, which):
    """The value in a label map for each train id, uint8 or uint16 [classes]."""
    ids = [row["id" if which == "train" else "raw"] for row in classes]
    without = [row["name"] for row, i in zip(classes, ids, strict=True) if i is None or not 0 <= i <= LARGEST_ID]
    if without:
        raise ValueError(
            f"Expected, for --label_ids=raw, a run whose class table has an id of 0..{LARGEST_ID} for every class. Received: "
            f"none for {', '.join(without[:10])}{', ...' if without[10:] else ''}. Use --label_ids=train; classes.json says "
            "which class each id is."
        )
    return np.array(ids, np.uint8 if max(ids) < 256 else np.uint16)


def _write_about(classes, colors, output_dir, config):
    """Writes legend.png and classes.json, which explain the predictions, and scale.json, which explains their uncertainty."""
    about = {
        output_dir / "legend.png": files.encode_png(pictures.legend([row["name"] for row in classes], colors)),
        output_dir / "classes.json": json.dumps(classes, indent=1).encode(),
    }
    if config.monte_carlo:
        units = {
            "entropy": "nats",
            "mutual_information": "nats",
            "variance": "probability squared, mean over the classes",
        }
        scale = {kind: {"255": value, "unit": units[kind]} for kind, value in monte_carlo.scale(len(classes)).items()}
        scale |= {"samples": config.monte_carlo, "seed": config.seed, "inference": config.inference}
        about[output_dir / "uncertainty" / "scale.json"] = json.dumps(scale, indent=1).encode()
    other = [str(path) for path, data in about.items() if path.exists() and path.read_bytes() != data]
    if other and not config.overwrite:
        raise ValueError(
            f"Expected --output_dir for predictions of these classes and samples. Received: {' and '.join(other)} of other "
            "ones. Use another folder, or --overwrite."
        )
    for path, data in about.items():
        _write(path, data)


def _drawn(image, label, ids, colors):
    """The three pictures of an image, as PNG files."""
    drawn = {
        "labels": ids[label],
        "colors": _in_bands(lambda part: pictures.colorize(part, colors), label),
        "overlays": _in_bands(lambda *parts: pictures.overlay(*parts, colors), image, label),
    }
    return {folder: files.encode_png(picture) for folder, picture in drawn.items()}


def _drawn_uncertainty(maps):
    return {f"uncertainty/{kind}": files.encode_png(gray.numpy()) for kind, gray in maps.items()}


def _in_bands(draw, *arrays):
    starts = range(0, len(arrays[0]), BAND)
    return np.concatenate([draw(*(array[start : start + BAND] for array in arrays)) for start in starts])


def _write(path, data):
    """Writes a file; if this fails, nothing is left of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.write_bytes(data)
    except OSError:
        path.unlink(missing_ok=True)
        raise


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
