"""--mode=export: a SavedModel of a run. python export.py --workdir=<run> --output_dir=<folder>

The SavedModel needs TensorFlow only. Its signatures, for images of any size:

    serving_default(image: uint8 [batch, height, width, 3])   an image as RGB
    encoded(data: string [batch])                             PNG, JPEG, BMP, GIF or WebP files; one size in a batch
    -> label: int32 [batch, height, width], probabilities: float32 [batch, height, width, classes]

What is no such image is refused by the graph itself: the request fails, and the server lives. Files are turned as their
EXIF says; those that TensorFlow would read otherwise than preparation are refused (`image_files`).

`assets.extra/classes.json` has the classes: train id, the class table's own id (`raw`), name and colour.
"""

import json
import pathlib
import shutil

import numpy as np
import tensorflow as tf
from absl import logging

import input_pipeline
from tfseg import config as config_lib
from tfseg import evaluate, image_files, inference, predict, preflight, prepare

SAMPLES = 4


class Serving(tf.Module):
    """What a SavedModel holds: the network, and the way from pixels or files to labels."""

    def __init__(self, model, scores, image_range=""):
        super().__init__()
        self.model = model  # Tracked, so that its variables are saved.
        self._scores, self._image_range = scores, image_range

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="image")])
    def image(self, image):
        """Labels and probabilities of RGB images."""
        scores = self._scores(_checked(image))
        return {"label": tf.argmax(scores, -1, tf.int32), "probabilities": tf.nn.softmax(scores)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="data")])
    def encoded(self, data):
        """Labels and probabilities of image files."""
        check = tf.debugging.Assert(tf.size(data) > 0, ["Expected image files. Received: an empty batch."])
        with tf.control_dependencies([check]):
            data = tf.identity(data)
        pixels = tf.TensorSpec([None, None, 3], tf.uint8)
        images = tf.map_fn(lambda file: image_files.decode(file, self._image_range), data, fn_output_signature=pixels)
        return self.image(images)


def export(config: config_lib.Config) -> float:
    """Writes the SavedModel of a run's best checkpoint; returns its largest difference to the live model.

    Raises:
        ValueError: where the folder is not empty (without --overwrite), or the export computes something else.
        OSError: where it cannot be written.
    """
    if not (config.output_dir and (config.workdir or config.init_from)):
        raise ValueError(
            "Expected --output_dir, and --workdir of a run or --init_from of weights. Received: "
            f"--output_dir={config.output_dir!r} --workdir={config.workdir!r} --init_from={config.init_from!r}."
        )
    preflight.check_inference(config)
    output_dir = pathlib.Path(config.output_dir).resolve()  # a link to a folder stays one
    filled = output_dir.exists() and (output_dir.is_file() or any(output_dir.iterdir()))
    if filled and not (config.overwrite and (output_dir / "saved_model.pb").is_file()):
        raise ValueError(
            f"Expected an empty --output_dir, or with --overwrite one that holds an export. Received: {output_dir}, with files."
        )
    aside = output_dir.with_name(output_dir.name + ".writing")
    shutil.rmtree(aside, ignore_errors=True)
    predict.check_writable(aside)
    try:
        return _export(config, aside, output_dir)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _export(config, aside, output_dir):
    """Writes the export aside, compares it, and puts it in its place."""
    model, state = evaluate.trained_model(config)
    scores = inference.build(config.inference, model)
    serving = Serving(model, scores, config.image_range)
    tf.saved_model.save(serving, str(aside), {"serving_default": serving.image, "encoded": serving.encoded})
    (aside / "assets.extra").mkdir()
    classes = predict.class_rows(state.class_table())
    (aside / "assets.extra" / "classes.json").write_text(json.dumps(classes, indent=1))
    # As evaluation runs it: op by op, ENet's pools would break ties otherwise.
    live = tf.function(scores, reduce_retracing=True)
    difference = compare(aside, live, _samples(config))
    shutil.rmtree(output_dir, ignore_errors=True)
    aside.rename(output_dir)
    print(f"SavedModel of step {state.step} in {output_dir}; largest difference to the live model {difference:.2g}.")
    return difference


def compare(saved_model: pathlib.Path, live, images: list[np.ndarray]) -> float:
    """Largest difference in probability between a SavedModel and the live function, over images and encoded images.

    Raises:
        ValueError: where fewer than 99.99 % of the labels agree.
    """
    loaded = tf.saved_model.load(str(saved_model)).signatures
    difference, equal, count = 0.0, 0, 0
    for image in images:
        scores = live(tf.constant(image[np.newaxis]))
        expected, label = tf.nn.softmax(scores).numpy(), tf.argmax(scores, -1).numpy()
        calls = (
            loaded["serving_default"](image=tf.constant(image[np.newaxis])),
            loaded["encoded"](data=tf.io.encode_png(image)[tf.newaxis]),
        )
        for got in calls:
            difference = max(difference, float(np.max(np.abs(got["probabilities"] - expected))))
            equal += int(np.sum(got["label"].numpy() == label))
            count += label.size
    if equal < 0.9999 * count:
        raise ValueError(f"Expected the labels of the live model. Received: {equal / count:.4%} of them equal.")
    return difference


def _checked(image):
    """Returns images whose shape has been checked at run time: servers pass on what they get, whatever the signature says.

    A convolution aborts the whole process where an image comes without its batch.
    """
    given = tf.compat.v1.placeholder_with_default(image, None)  # of no known shape: else the check is optimized away
    shape = tf.shape(given)
    right = tf.cond(tf.size(shape) == 4, lambda: (shape[-1] == 3) & (tf.size(given) > 0), lambda: False)
    check = tf.debugging.Assert(
        right, ["Expected images [batch, height, width, 3], none of them 0. Received shape:", shape], summarize=8
    )
    with tf.control_dependencies([check]):
        return tf.ensure_shape(tf.identity(given), [None, None, None, 3])


def _samples(config):
    """A few images of the run's data set where its records are at hand, and noise of odd sizes."""
    random = np.random.default_rng(0)
    images = [
        random.integers(0, 256, (height, width, 3), np.uint8) for height, width in ((64, 96), (73, 105), (33, 47))
    ]
    try:
        prepared = prepare.records(config)
    except (FileNotFoundError, ValueError) as error:
        logging.warning("The export is checked on noise only, since the data set is not at hand: %s", error)
        return images
    split = config.split if config.split in prepared.splits else next(iter(prepared.splits))
    examples = prepared.encoded(split).take(SAMPLES).map(input_pipeline.decode)
    return [*images, *(example["image"] for example in examples.as_numpy_iterator())]
