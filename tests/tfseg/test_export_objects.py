"""The SavedModel of a network that finds objects: boxes are decoded and suppressed inside its graph; it gives the embedding."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from models import layers
from tfseg import artefact, checkpoint, evaluate, export, export_check, exports, objects
from tfseg.config import Config

CLASSES = [["ground", [90, 90, 90]], ["car", [0, 0, 142]], ["person", [220, 20, 60]]]
CONFIG = Config(
    mode="export",
    loss="cross_entropy + yolo_v1(classes=(2, 1))",
    suppress="nms(threshold=0.2, overlap=0.3, most=7)",
    cluster="mean_shift(classes=('car',))",
)
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), np.uint8)
BOXES = ("boxes", "box_scores", "box_classes", "box_count")


@pytest.fixture(scope="module")
def network():
    """Cells of 8 pixels with a box of two classes, and an embedding at half the resolution, behind batch norms."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((None, None, 3), dtype="float32")
    x = keras.layers.Conv2D(4, 3, padding="same")(inputs / 255.0)
    cells = layers.batch_norm(keras.layers.Conv2D(7, 8, strides=8)(x), "norm")
    outputs = {"logits": keras.layers.Conv2D(3, 3, padding="same")(x), "detection": keras.ops.sigmoid(4 * cells)}
    outputs["embedding"] = keras.layers.Conv2D(2, 3, strides=2, padding="same")(x)
    model = keras.Model(inputs, outputs)
    for _ in range(20):
        model(IMAGES, training=True)  # so that the statistics of the norm are those of images
    return model


def in_this_process(kind, path, images):
    run = exports.find(kind).load(path)
    return [{name: values[0] for name, values in run(image[np.newaxis]).items()} for image in images]


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "trained_model", lambda config: (network, checkpoint.State(classes=CLASSES)))
        patch.setattr(export, "_samples", lambda *_: [(image, None) for image in IMAGES])
        patch.setattr(export_check, "run", in_this_process)  # tests/tfseg/test_exports.py runs the other process
        export.export(dataclasses.replace(CONFIG, workdir=str(folder.parent), output_dir=str(folder)))
    return folder


@pytest.fixture(scope="module")
def signatures(exported):
    return tf.saved_model.load(str(exported)).signatures


def finder(network):
    return objects.build(CONFIG, network.output, [name for name, _ in CLASSES])


def test_the_graph_gives_the_boxes_of_the_live_network(network, signatures):
    assert set(signatures) == {"serving_default", "png", "predict_images", "boxes", "embedding"}
    live = network(IMAGES, training=False)
    expected = finder(network).boxes(live["detection"], (32, 48))
    assert set(expected) == set(BOXES)
    assert expected["box_count"].numpy().min() > 0
    given = signatures["predict_images"](images=IMAGES)
    files = tf.constant([tf.io.encode_png(image).numpy() for image in IMAGES])
    alone = signatures["boxes"](image_bytes=files)
    for found in (given, alone):
        for name in BOXES:
            assert found[name].dtype == expected[name].dtype
            np.testing.assert_allclose(found[name], expected[name], atol=1e-3)
    assert set(alone) == set(BOXES)
    np.testing.assert_array_equal(given["classes"], np.argmax(live["logits"], -1))


def test_the_embedding_has_the_size_of_the_classes(network, signatures):
    found = signatures["embedding"](images=IMAGES)
    assert found["embedding"].shape == (2, 32, 48, 2)
    expected = tf.image.resize(network(IMAGES, training=False)["embedding"], (32, 48))
    np.testing.assert_allclose(found["embedding"], expected, atol=1e-4)
    assert found["classes"].shape == found["confidence"].shape == (2, 32, 48)


def test_what_the_check_has_seen_is_written(exported):
    about = json.loads((exported / "assets.extra" / "export.json").read_text())
    assert set(about["check"]["others"]) == {"detection", "embedding"}
    assert max(about["check"]["others"].values()) < 1e-4
    assert about["check"]["boxes"] > 0
    assert about["objects"]["cells"] == [2, 1]
    assert about["objects"]["things"] == [1]
    assert about["objects"]["most"] == 7


def test_an_export_is_evaluated_with_its_objects(network, exported):
    """`evaluate` reads the cells of an export, so that detection_map is that of the run."""
    opened, _ = artefact.opened(artefact.Artefact("saved_model", exported))
    assert opened.output["detection"].shape == (None, None, None, 7)
    found = tf.function(opened)(tf.constant(IMAGES))
    for name, value in network(IMAGES, training=False).items():
        np.testing.assert_allclose(found[name], value, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("detection", lambda x: 0.9 * x, "Expected detection of the live model.*a difference of"),
        ("embedding", lambda x: x[:-1], "Expected embedding of shape"),
        ("box_scores", lambda x: 0.9 * x, "Expected the box_scores that its cells give"),
        ("box_classes", lambda x: 3 - x, "Expected the box_classes that its cells give"),
    ],
)
def test_an_export_that_finds_something_else_is_refused(network, monkeypatch, tmp_path, name, change, message):
    live = network(IMAGES[:1], training=False)
    found = {**live, **finder(network).boxes(live["detection"], (32, 48))}
    found = {key: value.numpy()[0] for key, value in found.items()}
    others = {key: live[key] for key in ("detection", "embedding")}
    given = {**found, name: change(found[name])}

    def compared(result):
        monkeypatch.setattr(export_check, "run", lambda *_: [result])
        both = lambda _: (live["logits"], others)  # noqa: E731
        return export_check.compare("saved_model", tmp_path, both, [(IMAGES[0], None)], "none", finder(network))

    same = compared(found)
    assert same.others == {"detection": 0, "embedding": 0}
    assert f"; {found['box_count']} boxes." in same.sentence()
    with pytest.raises(ValueError, match=message):
        compared(given)
