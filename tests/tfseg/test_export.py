import json
import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfseg import checkpoint, evaluate, export
from tfseg.config import Config

CLASSES = [["red", [255, 0, 0], 7], ["green", [0, 255, 0], None], ["blue", [0, 0, 255]]]


@pytest.fixture(scope="module")
def network():
    """Its scores are the channels of the image; the convolution aborts the process if an image has no batch."""
    inputs = keras.Input((None, None, 3), dtype="float32")
    same = keras.layers.Conv2D(3, 1, use_bias=False, kernel_initializer=lambda shape, dtype: np.eye(3)[None, None])
    return keras.Model(inputs, {"logits": same(inputs)})


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "trained_model", lambda config: (network, checkpoint.State(classes=CLASSES)))
        patch.setattr(export, "_samples", lambda config: [np.full((8, 9, 3), 200, np.uint8)])
        export.export(Config(mode="export", workdir=str(folder.parent), output_dir=str(folder)))
    return folder


@pytest.fixture(scope="module")
def signatures(exported):
    return tf.saved_model.load(str(exported)).signatures


def test_classes_have_their_raw_ids(exported):
    rows = json.loads((exported / "assets.extra" / "classes.json").read_text())
    assert [(row["id"], row["raw"], row["name"]) for row in rows] == [
        (0, 7, "red"),
        (1, None, "green"),
        (2, None, "blue"),
    ]
    assert os.listdir(exported.parent) == ["model"]  # nothing is left beside it


@pytest.mark.parametrize(
    "shape",
    [(64, 96, 3), (3,), (), (2, 64, 96), (1, 64, 96, 1), (1, 64, 96, 4), (1, 1, 8, 8, 3), (0, 8, 8, 3), (1, 0, 8, 3)],
)
def test_what_is_no_batch_of_images_is_an_error_of_the_request(signatures, shape):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"Expected images \[batch, height, width, 3\]"):
        signatures["serving_default"](image=tf.zeros(shape, tf.uint8))
    assert signatures["serving_default"](image=tf.zeros([1, 4, 5, 3], tf.uint8))["label"].shape == (1, 4, 5)


@pytest.mark.parametrize("image", [tf.zeros([1, 8, 8, 3]), tf.zeros([1, 8, 8, 3], tf.int32), tf.constant(["x"])])
def test_other_types_are_an_error_of_the_request(signatures, image):
    with pytest.raises(tf.errors.InvalidArgumentError, match="uint8"):
        signatures["serving_default"](image=image)


@pytest.mark.parametrize("shape", [(), (0,), (1, 1)])
def test_what_is_no_batch_of_files_is_an_error_of_the_request(signatures, shape):
    data = tf.fill(shape, tf.io.encode_png(tf.zeros([4, 5, 3], tf.uint8)))
    with pytest.raises(tf.errors.InvalidArgumentError):
        signatures["encoded"](data=data)


def test_files_are_turned_and_refused_in_the_graph(signatures, tmp_path):
    pixels = np.array([[[200, 0, 0], [0, 200, 0], [0, 0, 200]]], np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).transpose(Image.Transpose.ROTATE_90).save(tmp_path / "phone.png", exif=exif)
    Image.fromarray(pixels).save(tmp_path / "plain.bmp")
    data = [(tmp_path / name).read_bytes() for name in ("phone.png", "plain.bmp")]
    np.testing.assert_array_equal(signatures["encoded"](data=tf.constant(data))["label"], [[[0, 1, 2]]] * 2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="a JPEG, PNG, BMP, GIF or WebP file"):
        signatures["encoded"](data=tf.constant([b"no picture"]))


def test_a_folder_that_cannot_be_written_is_said_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "trained_model", lambda config: pytest.fail("the work began"))
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"Expected a folder that can be written.*file is a file"):
        export.export(Config(mode="export", workdir=str(tmp_path), output_dir=str(tmp_path / "file" / "model")))
    with pytest.raises(ValueError, match="with files"):
        export.export(Config(mode="export", workdir=str(tmp_path), output_dir=str(tmp_path / "file")))
    assert os.listdir(tmp_path) == ["file"]


def test_an_export_that_fails_leaves_nothing_and_the_one_before(exported, network, monkeypatch):
    monkeypatch.setattr(evaluate, "trained_model", lambda config: (network, checkpoint.State(classes=CLASSES)))
    monkeypatch.setattr(export, "compare", lambda *_: (_ for _ in ()).throw(ValueError("another model")))
    with pytest.raises(ValueError, match="another model"):
        export.export(Config(mode="export", workdir=str(exported.parent), output_dir=str(exported), overwrite=True))
    assert os.listdir(exported.parent) == ["model"]
    assert (exported / "saved_model.pb").is_file()
