"""Every format: written, checked by its own runtime in another process, evaluated as the live network is."""

import dataclasses
import json
import os

import keras
import numpy as np
import pytest
import tensorflow as tf

import models
from tests.tfseg.conftest import STREETS
from tfseg import checkpoint, evaluate, export, export_check, exports, prepare, serving
from tfseg.config import Config

CASES = [(kind, quantize) for kind in exports.names() for quantize in exports.find(kind).QUANTIZE]
ALONE = {  # what a process that runs an export may import of the large packages
    "saved_model": {"tensorflow", "keras"},  # tensorflow imports keras where it is installed
    "keras": {"tensorflow", "keras", "models"},
    "tflite": {"ai_edge_litert"} if exports.installed("ai_edge_litert") else {"tensorflow", "keras"},
    "onnx": {"onnxruntime"},
    "openvino": {"openvino"},
}
LARGE = {"tensorflow", "keras", "onnx", "onnxruntime", "openvino", "ai_edge_litert", "models", "input_pipeline"}


def needs(kind):
    missing = [name for name in exports.find(kind).PACKAGES if not exports.installed(name)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: pip install '.[export]'")


@pytest.fixture(scope="module")
def network():
    """A network that is not trained but whose statistics are those of images, so that its scores differ between pixels."""
    keras.utils.set_random_seed(0)
    model = models.build("unet(width=2)", 10)
    image = np.random.default_rng(0).integers(0, 256, (4, 32, 48, 3), np.uint8)
    for _ in range(30):
        model(image, training=True)
    return model


@pytest.fixture
def exporting(network, cache, tmp_path, monkeypatch):
    """Options of an export of the network, with streets as its data."""
    config = Config(
        mode="export",
        model="unet(width=2)",
        workdir=str(tmp_path / "run"),
        output_dir=str(tmp_path / "out"),
        dataset=STREETS,
        cache_dir=cache,
        strategy="one_device",
    )
    state = checkpoint.State(step=7, num_classes=10)
    state.describe(prepare.records(config))
    monkeypatch.setattr(evaluate, "_is_run", lambda config: True)
    monkeypatch.setattr(checkpoint, "latest", lambda *_: (tmp_path, state))
    monkeypatch.setattr(checkpoint, "restore_model", lambda folder, model: model.set_weights(network.get_weights()))
    return config


@pytest.mark.parametrize(("kind", "quantize"), CASES)
def test_an_export_evaluates_as_the_live_network(exporting, kind, quantize, tmp_path):
    needs(kind)
    config = dataclasses.replace(exporting, format=kind, quantize=quantize)
    export.export(config)
    folder = tmp_path / "out"
    assert os.listdir(tmp_path) == ["out"]
    path = export.path_in(folder, kind)
    about = json.loads((folder / ("assets.extra" if kind == "saved_model" else "") / "export.json").read_text())
    assert about["quantize"] == quantize
    assert about["step"] == 7
    assert (about["check"]["images"], about["check"]["labelled"]) == (4 if kind == "tflite" else 6, 3)  # noise and val
    if quantize == "none":
        assert about["check"]["equal"] >= 0.9999
        assert about["check"]["difference"] < 1e-3
    live = evaluate.evaluate(config)["iou"]
    result = evaluate.evaluate(dataclasses.replace(config, **{kind: str(path)}))
    assert (result["step"], result["images"]) == (7, 3)
    for name, iou in live.items():
        # float16 keeps 11 bits of a weight and 8 bits are coarse: this network, which is hardly trained, has many ties.
        np.testing.assert_allclose(
            result["iou"][name] or 0, iou or 0, atol={"none": 1e-3, "float16": 0.02}.get(quantize, 0.3)
        )
    saved = json.loads((folder / ("assets.extra" if kind == "saved_model" else "") / "evaluation_val.json").read_text())
    assert saved["iou"] == result["iou"]


@pytest.mark.parametrize("kind", exports.names())
def test_the_check_runs_in_a_process_with_the_runtime_alone(exporting, kind, tmp_path, monkeypatch):
    needs(kind)
    seen = []
    kept = np.load
    monkeypatch.setattr(export_check.np, "load", lambda path: seen.append(dict(kept(path))) or kept(path))
    export.export(dataclasses.replace(exporting, format=kind))
    assert set(seen[-1]["modules"]) & LARGE <= ALONE[kind]


def test_8_bits_that_cost_accuracy_are_reported(exporting, caplog):
    found = export_check.Comparison(9, 0.5, 0.99, miou=0.70, miou_live=0.73, labelled=8)
    assert found.sentence().endswith(
        "99.0000% of the pixels equal on 9 images; loss of mIoU 3.00 points (73.00 -> 70.00) on the 8 of them that have labels."
    )
    assert found.loss == pytest.approx(0.03)
    assert export_check.Comparison(3, 0.5, 0.99).loss == 0
    config = dataclasses.replace(exporting, format="tflite", quantize="int8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_check, "MOST_LOSS", -1.0)  # whatever it loses is more
        export.export(config)
    assert "8 bits cost more than -100 points of mIoU. --keep_float=auto" in caplog.text


def test_int8_is_integer_throughout_and_float_graphs_are_builtin(exporting, tmp_path):
    export.export(dataclasses.replace(exporting, format="tflite", quantize="int8"))
    interpreter = tf.lite.Interpreter(model_path=str(tmp_path / "out" / "model.tflite"))
    (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (given["dtype"], made["dtype"]) == (np.uint8, np.int8)
    assert given["quantization"] == (1.0, 0)  # a step is one value of a pixel
    assert given["shape"].tolist() == [1, 32, 48, 3]  # of the images of val
    assert not [one["name"] for one in interpreter.get_tensor_details() if one["dtype"] == np.float32]
    # A scale for each output channel of the kernels.
    assert max(len(one["quantization_parameters"]["scales"]) for one in interpreter.get_tensor_details()) > 1


def test_a_wrong_size_is_refused(exporting, tmp_path):
    export.export(dataclasses.replace(exporting, format="tflite", export_size=(64, 32)))
    run = exports.find("tflite").load(tmp_path / "out" / "model.tflite")
    assert run(np.zeros((2, 64, 32, 3), np.uint8))["logits"].shape == (2, 64, 32, 10)
    with pytest.raises(ValueError, match=r"Expected images of 64x32 pixels.*Received: 32x48"):
        run(np.zeros((1, 32, 48, 3), np.uint8))


def test_an_export_that_computes_something_else_is_not_kept(exporting, network, tmp_path, monkeypatch):
    before = export.inference_graph.simplified

    def wrong(model, others):
        return before(models.build("unet(width=2)", 10))  # with other initial weights

    monkeypatch.setattr(export.inference_graph, "simplified", wrong)
    with pytest.raises(ValueError, match=r"Expected the classes of the live model in at least 99.99% of the pixels"):
        export.export(dataclasses.replace(exporting, format="tflite"))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantize": "int8"}, r"Expected --quantize to be one of none with --format=saved_model.*tflite"),
        ({"format": "openvino", "quantize": "int8"}, "Expected --quantize to be one of none, float16"),
        ({"outputs": "probabilities,labels"}, "Expected --outputs of --format=saved_model to be some of classes"),
        ({"format": "keras", "outputs": "classes"}, "Expected --outputs of --format=keras to be some of logits"),
        ({"export_size": (8, 8)}, "Expected no --export_size with --format=saved_model"),
        ({"format": "tflite", "keep_float": "auto"}, "Expected --keep_float with --format=tflite --quantize=int8 only"),
    ],
)
def test_options_that_do_not_fit_are_refused(exporting, options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        export.export(dataclasses.replace(exporting, **options))
    assert os.listdir(tmp_path) == []


def test_a_package_that_is_missing_is_named_before_the_work(exporting, monkeypatch):
    monkeypatch.setattr(exports.find("onnx"), "PACKAGES", {"no_such_module": "no-such-package"})
    monkeypatch.setattr(evaluate, "trained_model", lambda config: pytest.fail("the work began"))
    with pytest.raises(ImportError, match="pip install no-such-package"):
        export.export(dataclasses.replace(exporting, format="onnx"))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"tflite": "x.tflite", "onnx": "x.onnx"}, ValueError, "Expected one exported network"),
        ({"tflite": "no.tflite"}, FileNotFoundError, "Expected a file in --tflite"),
        ({"saved_model": "nothing"}, FileNotFoundError, "Expected a folder with saved_model.pb"),
        ({"tflite": "no.tflite", "monte_carlo": 2}, ValueError, "has none"),
    ],
)
def test_what_is_no_exported_network_is_said(options, error, message):
    with pytest.raises(error, match=message):
        evaluate.evaluate(Config(mode="evaluate", dataset=STREETS, **options))


def test_outputs_of_scores():
    """Softmax of (0, ln 3) is (1/4, 3/4)."""
    scores = tf.constant([[[[0.0, np.log(3.0)]]]])
    made = serving.outputs(scores, serving.OUTPUTS)
    assert made["classes"].dtype == tf.uint8
    assert made["classes"].numpy().tolist() == [[[1]]]
    np.testing.assert_allclose(made["confidence"], [[[0.75]]], rtol=1e-6)
    np.testing.assert_allclose(made["probabilities"], [[[[0.25, 0.75]]]], rtol=1e-6)
    np.testing.assert_array_equal(made["logits"], scores)
    assert serving.outputs(tf.zeros([1, 1, 1, 257]), ["classes"])["classes"].dtype == tf.uint16


def test_classes_of_whatever_an_export_gives():
    values = np.array([[[0.1, 0.7, 0.2]]])
    assert export_check.classes({"logits": values}).tolist() == [[1]]
    assert export_check.classes({"confidence": values, "classes": np.array([[2]], np.uint8)}).tolist() == [[2]]
    with pytest.raises(ValueError, match="Expected one of the outputs"):
        export_check.classes({"confidence": values})


def test_onnx_divides_downward(tmp_path):
    """-73 // 8 = -10 and -73 % 8 = 7; tf2onnx alone gives -9 and -1."""
    needs("onnx")

    class Graph:
        name, size = "sizes", None

        def compute(self, image):
            n = tf.cast(image, tf.int32) * -1
            x = tf.cast(n, tf.float32) / 10
            return {"div": n // 8, "mod": n % 8, "of_floats": x // 2.0, "mod_of_floats": x % 2.0}

    exports.find("onnx").write(Graph(), tmp_path / "model.onnx")
    result = exports.find("onnx").load(tmp_path / "model.onnx")(np.array([[[[73, 72, 0]]]], np.uint8))
    assert result["div"].ravel().tolist() == [-10, -9, 0]
    assert result["mod"].ravel().tolist() == [7, 0, 0]
    assert result["of_floats"].ravel().tolist() == [-4, -4, 0]  # -7.3 / 2 = -3.65
    np.testing.assert_allclose(result["mod_of_floats"].ravel(), [0.7, 0.8, 0], atol=1e-5)
