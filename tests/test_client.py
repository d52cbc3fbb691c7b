"""examples/client.py against the functions of the SavedModel, behind a server that follows TensorFlow Serving's REST rules."""

import base64
import http.server
import importlib.util
import json
import pathlib
import threading

import numpy as np
import pytest
import tensorflow as tf

from tfseg import serving

SPEC = importlib.util.spec_from_file_location("client", pathlib.Path(__file__).parents[1] / "examples" / "client.py")
client = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(client)

PIXELS = np.array([[[200, 0, 0], [0, 200, 0], [0, 0, 200]]], np.uint8)
PNG = tf.io.encode_png(PIXELS).numpy()


@pytest.fixture(scope="module")
def model():
    """Its scores are the channels of the image."""
    return serving.Serving(lambda images: (tf.cast(images, tf.float32), {}))


@pytest.fixture
def url(model):
    """The address of a server that answers as TensorFlow Serving does: bytes are {"b64": base64}, here and there."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            assert self.path == "/v1/models/streets:predict"
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            files = [base64.b64decode(one["b64"]) for one in body["inputs"]["image_bytes"]]
            try:
                made = model.signatures()[body["signature_name"]](tf.constant(files))["png_bytes"].numpy()
                status, answer = 200, {"outputs": [{"b64": base64.b64encode(one).decode()} for one in made]}
            except tf.errors.InvalidArgumentError as error:
                status, answer = 400, {"error": error.message}
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("localhost", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


def test_rest(url):
    (label,) = client.by_rest(url, "streets", [PNG])
    np.testing.assert_array_equal(tf.io.decode_png(label)[..., 0], [[0, 1, 2]])
    with pytest.raises(ValueError, match=r"400: .*a JPEG, PNG, BMP, GIF or WebP file"):
        client.by_rest(url, "streets", [b"no picture"])


def test_answers_of_both_kinds():
    one = {"b64": base64.b64encode(b"abc").decode()}
    assert client.rest_label_maps(json.dumps({"outputs": [one]}).encode()) == [b"abc"]
    assert client.rest_label_maps(json.dumps({"outputs": {"png_bytes": [one]}}).encode()) == [b"abc"]


def test_grpc_requests(model):
    pytest.importorskip("tensorflow_serving", reason="needs tensorflow-serving-api")
    request = client.grpc_request("streets", [PNG, PNG])
    assert request.model_spec.name == "streets"
    inputs = {name: tf.constant(tf.make_ndarray(tensor)) for name, tensor in request.inputs.items()}
    label = model.signatures()[request.model_spec.signature_name](**inputs)["png_bytes"]
    np.testing.assert_array_equal(tf.io.decode_png(label[1])[..., 0], [[0, 1, 2]])
