"""Asks a served SavedModel for the label map of an image: REST without any package, gRPC with tensorflow-serving-api.

    python examples/client.py photo.png labels.png --url=http://localhost:8501 --model=camvid_enet
    python examples/client.py photo.png labels.png --grpc=localhost:8500 --model=camvid_enet

The image is a PNG, JPEG, BMP, GIF or WebP file. The label map is a gray PNG of train ids; `assets.extra/classes.json` in the
export says which class each id is.
"""

import argparse
import base64
import json
import pathlib
import urllib.error
import urllib.request

SIGNATURE = "png"  # `serving_default` gives arrays: classes and confidence


def rest_body(images: list[bytes]) -> bytes:
    """The body of a request to .../v1/models/<model>:predict; bytes are sent in base64."""
    encoded = [{"b64": base64.b64encode(image).decode()} for image in images]
    return json.dumps({"signature_name": SIGNATURE, "inputs": {"image_bytes": encoded}}).encode()


def rest_label_maps(answer: bytes) -> list[bytes]:
    """The PNG files in an answer."""
    outputs = json.loads(answer)["outputs"]  # of a signature with one output, that output itself
    outputs = outputs["png_bytes"] if isinstance(outputs, dict) else outputs
    return [base64.b64decode(one["b64"]) for one in outputs]


def by_rest(url: str, model: str, images: list[bytes], timeout: float = 60) -> list[bytes]:
    """Label maps of images of one size.

    Raises:
        ValueError: if the server refuses the request; the message is the server's.
    """
    request = urllib.request.Request(f"{url}/v1/models/{model}:predict", rest_body(images))
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return rest_label_maps(answer.read())
    except urllib.error.HTTPError as error:
        raise ValueError(f"Expected an answer of {url}. Received: {error.code}: {error.read().decode()}") from error


def grpc_request(model: str, images: list[bytes]):
    """A PredictRequest."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, SIGNATURE
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(images))
    return request


def by_grpc(address: str, model: str, images: list[bytes], timeout: float = 60) -> list[bytes]:
    """Label maps of images of one size; raises grpc.RpcError with the server's message if it refuses the request."""
    import grpc
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    with grpc.insecure_channel(address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        return list(stub.Predict(grpc_request(model, images), timeout).outputs["png_bytes"].string_val)


def main() -> None:
    """Sends one image, and writes its label map."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=pathlib.Path, help="an image file")
    parser.add_argument("labels", type=pathlib.Path, help="where the label map is written to, a PNG")
    parser.add_argument("--url", default="http://localhost:8501", help="of the REST interface")
    parser.add_argument("--grpc", default="", help="HOST:PORT of the gRPC interface, which is used instead if given")
    parser.add_argument("--model", required=True, help="name of the model on the server")
    given = parser.parse_args()
    images = [given.image.read_bytes()]
    maps = by_grpc(given.grpc, given.model, images) if given.grpc else by_rest(given.url, given.model, images)
    given.labels.write_bytes(maps[0])


if __name__ == "__main__":
    main()
