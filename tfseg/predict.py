"""--mode=predict: label maps, colour maps and overlays of images of any size."""

import glob
import pathlib

import cv2
import numpy as np
import tensorflow as tf

import input_pipeline
from input_pipeline import progress
from tfseg import config as config_lib
from tfseg import evaluate, inference, pictures, prepare

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")


def predict(config: config_lib.Config) -> list[pathlib.Path]:
    """Writes `labels/`, `colors/`, `overlays/` NAME.png and `legend.png` to --output_dir; returns the label maps' paths.

    The images are those of --images, or of the data set's --split where that is blank. A label map is a gray PNG of
    train ids. Existing files are left alone, with an error, unless --overwrite is given.

    Raises:
        FileNotFoundError: where --images matches nothing.
        ValueError: for images that cannot be read; the others have been predicted.
    """
    if not config.output_dir:
        raise ValueError("Expected --output_dir, the folder for the predictions. Received: none.")
    output_dir = pathlib.Path(config.output_dir)
    sources = _sources(config)
    existing = [name for name in sources if (output_dir / "labels" / f"{name}.png").exists()]
    if existing and not config.overwrite:
        raise ValueError(
            f"Expected --output_dir without predictions of these images. Received: {output_dir} holds {len(existing)} "
            f"of them, the first labels/{existing[0]}.png. Use another folder, or --overwrite."
        )
    model, state = evaluate.trained_model(config)
    names, colors = _classes(state.class_table(), model.output["logits"].shape[-1])
    scores = inference.build(config.inference, model)

    @tf.function(input_signature=[tf.TensorSpec([None, None, 3], tf.uint8)])
    def label_map(image):
        return tf.argmax(scores(image[tf.newaxis])[0], axis=-1, output_type=tf.int32)

    for folder in ("labels", "colors", "overlays"):
        (output_dir / folder).mkdir(parents=True, exist_ok=True)
    _write(output_dir / "legend.png", pictures.legend(names, colors))
    written, unreadable = [], []
    for name, read in progress.over(sources.items(), "predict", len(sources), "images"):
        try:
            image = read()
        except (tf.errors.OpError, ValueError) as error:
            unreadable.append(f"{name} ({str(error).splitlines()[0][:120]})")
            continue
        label = label_map(image).numpy().astype(np.uint8)
        image = image.numpy()
        pictures_of = {
            "labels": label,
            "colors": pictures.colorize(label, colors),
            "overlays": pictures.overlay(image, label, colors),
        }
        for folder, picture in pictures_of.items():
            path = output_dir / folder / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, picture)
        written.append(output_dir / "labels" / f"{name}.png")
    print(f"{len(written)} predictions in {output_dir}: labels/, colors/, overlays/, legend.png")
    if unreadable:
        raise ValueError(
            f"Expected readable images. Received: {len(unreadable)} that are not: {', '.join(unreadable)}."
        )
    return written


def _sources(config):
    """{name of the output: function that reads the image as uint8 [height, width, 3]}."""
    if not config.images:
        prepared = prepare.records(config)
        if config.split not in prepared.splits:
            raise ValueError(f"Expected --images, or --split of {sorted(prepared.splits)}. Received: {config.split!r}.")
        examples = prepared.encoded(config.split).as_numpy_iterator()
        return {e["id"].decode(): lambda e=e: input_pipeline.decode(e)["image"] for e in examples}
    given = pathlib.Path(config.images)
    if given.is_dir():
        found = [p for p in sorted(given.rglob("*")) if p.suffix.lower() in SUFFIXES]
    else:
        found = [pathlib.Path(p) for p in sorted(glob.glob(config.images, recursive=True)) if pathlib.Path(p).is_file()]
    if not found:
        raise FileNotFoundError(
            f"Expected images at --images={config.images}. Received: none there ({', '.join(SUFFIXES)})."
        )
    root = pathlib.Path(*_shared_parts([p.parent.parts for p in found]))
    sources = {}
    for path in found:
        name = str(path.relative_to(root).with_suffix(""))
        if name in sources:
            raise ValueError(f"Expected images with different names. Received: two called {name} in {root}.")
        sources[name] = lambda path=path: tf.io.decode_image(
            tf.io.read_file(str(path)), channels=3, expand_animations=False
        )
    return sources


def _shared_parts(folders):
    shared = []
    for parts in zip(*folders, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return shared


def _classes(classes, count):
    """Names and colours of the network's classes; those that the data set does not know are numbered and gray."""
    rows = [(c.name, c.color) for c in classes]
    rows += [(f"class {i}", [(60 + 37 * i) % 256] * 3) for i in range(len(classes), count)]
    return [name for name, _ in rows], np.array([color for _, color in rows], np.uint8)


def _write(path, picture):
    """Writes a gray or RGB picture; OpenCV takes BGR."""
    if not cv2.imwrite(str(path), picture[..., ::-1] if picture.ndim == 3 else picture):
        raise OSError(f"Expected to write {path}. Received: an error from OpenCV; is the disk full or read-only?")
