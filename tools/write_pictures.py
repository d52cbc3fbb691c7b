"""Draws the pictures of the documentation, docs/pictures/*.png, with a finished run of `make quickstart`.

python -m tools.write_pictures runs/quickstart
"""

import pathlib
import sys
import tempfile

import cv2
import numpy as np
import tensorflow as tf
from PIL import Image

import input_pipeline
from input_pipeline import checking
from input_pipeline.datasets._streets import street
from tfseg import config, evaluate, inference, metrics, pictures, prepare

FOLDER = pathlib.Path(__file__).parents[1] / "docs" / "pictures"
COLORS = 200  # of a palette: a fifth of the bytes, and no difference that one could see


def main(workdir: str) -> None:
    """Draws all pictures with the best checkpoint of a run on drawn streets."""
    options = config.load(workdir)
    prepared = prepare.records(options)
    names, colors = [c.name for c in prepared.classes], np.array([c.color for c in prepared.classes], np.uint8)
    scores = tf.function(inference.build(options.inference, evaluate.trained_model(options)[0]))
    images, labels, predictions, confusion = [], [], [], np.zeros([len(names)] * 2, np.int64)
    for example in prepared.encoded("val").map(input_pipeline.decode):
        prediction = tf.argmax(scores(example["image"][tf.newaxis]), -1, tf.int32)
        confusion += metrics.confusion_matrix(example["label"][tf.newaxis], prediction, len(names)).numpy()
        for found, value in ((images, example["image"]), (labels, example["label"]), (predictions, prediction[0])):
            found.append(value.numpy())
    # The images with the most classes tell most.
    order = np.argsort([-np.unique(label).size for label in labels], kind="stable")

    def panel(chosen, width):
        return pictures.panel(
            *(np.vstack([a[i] for i in chosen]) for a in (images, labels, predictions)), names, colors, width
        )

    save("streets", panel(order[:2], 300))
    save("panel", panel(order[2:6], 200))
    save("confusion", pictures.confusion_picture(confusion, names))
    chosen = order[6:8]
    overlays = [pictures.overlay(images[i], predictions[i], colors, 0.55) for i in chosen]
    save(
        "overlay",
        larger(np.vstack([np.hstack(pair) for pair in zip([images[i] for i in chosen], overlays, strict=True)]), 3),
    )
    save("check", contact_sheet())
    save("street", street.draw(np.random.default_rng(5), (360, 480))[0])  # for weights of the zoo: no photograph


def contact_sheet() -> np.ndarray:
    """What --mode=check draws of a folder of images and masks."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for kind in ("images", "masks"):
            (folder / kind).mkdir()
        prepared = input_pipeline.prepare(
            "streets(train=10, val=2, size=(120, 160), seed=1)", cache_dir=f"{name}/cache"
        )
        rows = [
            "id,name,r,g,b",
            *(f"{i},{c.name},{','.join(map(str, c.color))}" for i, c in enumerate(prepared.classes)),
        ]
        (folder / "classes.csv").write_text("\n".join([*rows, "255,ignore,0,0,0"]) + "\n")
        colors = np.array(
            [*(c.color for c in prepared.classes), *[(0, 0, 0)] * (256 - len(prepared.classes))], np.uint8
        )
        for example in prepared.encoded("train").map(input_pipeline.decode).as_numpy_iterator():
            file = f"{example['id'].decode().removeprefix('train_')}.png"
            Image.fromarray(example["image"]).save(folder / "images" / file)
            Image.fromarray(colors[example["label"]]).save(folder / "masks" / file)
        return pictures.contact_sheet(checking.check("folder", str(folder)))


def larger(picture: np.ndarray, factor: int) -> np.ndarray:
    """A picture, enlarged without blurring its edges."""
    return cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)


def save(name: str, picture: np.ndarray) -> None:
    """Writes docs/pictures/<name>.png."""
    path = FOLDER / f"{name}.png"
    Image.fromarray(picture).quantize(COLORS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.name}: {picture.shape[1]} x {picture.shape[0]}, {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main(*sys.argv[1:])
