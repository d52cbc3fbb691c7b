"""Every architecture in the formats that most people serve: python -m tests.test_exports_all NAMES prints how they agree."""

import pathlib
import sys
import tempfile

import keras
import numpy as np
import pytest
import tensorflow as tf

import models
from tfseg import export, export_check, exports, inference, inference_graph
from tfseg import spec as specs

FORMATS = ("saved_model", "tflite", "onnx")
CLASSES, SIZE = 5, (64, 96)
SPECS = {"deeplab_v3plus": 'deeplab_v3plus(backbone="mobilenet_v2")'}  # where the default backbone takes long
# What cannot be converted, and the reason in the converter's message; docs/export.md has the table.
CANNOT = {}
# Exports take images; mask_propagation sees a flow and a mask too, and is refused (tests/tfseg/test_train_pairs.py).
NETWORKS = [n for n in models.names() if n != "classifier" and not hasattr(specs.find("models", n), "INPUT_CHANNELS")]


def started(spec):
    """A network whose batch norms have the statistics of some images, so that scores differ between pixels."""
    keras.utils.set_random_seed(0)
    model = models.build(spec, CLASSES)
    image = np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3), np.uint8)
    run = tf.function(lambda: model(image, training=True))
    for _ in range(20):
        run()
    return model


def compared(model, kind, folder):
    """Writes a network in a format and compares it with the live one; raises ValueError if it cannot or differs."""
    noise = np.random.default_rng(1)
    sizes = [SIZE] if exports.find(kind).SIZE == "fixed" else [SIZE, (73, 105)]
    smooth = [
        np.kron(noise.integers(0, 256, (-(-h // 8), -(-w // 8), 3)), np.ones((8, 8, 1)))[:h, :w] for h, w in sizes
    ]
    images = [image.astype(np.uint8) for image in smooth]
    network = inference_graph.Frozen(inference_graph.simplified(model))
    scores = inference.build("whole", network)
    graph = export.Graph(
        name=model.name,
        trained=model,
        network=lambda images: (scores(images), {}),
        outputs=() if kind == "saved_model" else ("logits",),
        inference="whole",
        size=SIZE if exports.find(kind).SIZE == "fixed" else None,
        quantize="none",
        image_range="",
        max_pixels=2**24,
        samples=lambda: images,
        representative=lambda: ((image, None) for image in images),
    )
    path = folder / exports.find(kind).FILE
    exports.find(kind).write(graph, path)
    whole = inference.build("whole", model)
    live = tf.function(lambda images: (whole(images), {}), reduce_retracing=True)
    return export_check.compare(kind, path, live, [(image, None) for image in images], "none")


@pytest.fixture(scope="module")
def network(request):
    return started(SPECS.get(request.param, request.param))


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("network", NETWORKS, indirect=True)
def test_exports_and_gives_the_same(network, kind, tmp_path):
    missing = [name for name in exports.find(kind).PACKAGES if not exports.installed(name)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: pip install '.[export]'")
    if reason := CANNOT.get((network.name, kind)):
        with pytest.raises(ValueError, match=reason):
            compared(network, kind, tmp_path)
    else:
        assert compared(network, kind, tmp_path).equal >= 0.9999


if __name__ == "__main__":  # a line for each network and format
    for name in sys.argv[1:]:
        built = started(SPECS.get(name, name))
        for one in FORMATS:
            with tempfile.TemporaryDirectory() as folder:
                try:
                    print(f"{name} {one}: {compared(built, one, pathlib.Path(folder)).sentence()}", flush=True)
                except ValueError as error:
                    print(f"{name} {one}: FAILS {error}", flush=True)
