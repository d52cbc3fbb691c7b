"""The requests that TensorFlow Serving sends to a model before any client does, so that the first client does not wait.

The file `assets.extra/tf_serving_warmup_requests` holds TFRecords of PredictionLog protos. tensorflow-serving-api defines them,
and needs gRPC; the few fields used here are written by hand. The numbers of the fields are those of model.proto, predict.proto
and prediction_log.proto in https://github.com/tensorflow/serving/tree/master/tensorflow_serving/apis.
"""

import pathlib

import tensorflow as tf

FILE = pathlib.Path("assets.extra") / "tf_serving_warmup_requests"
BYTES = 2  # the wire type of strings, bytes and messages inside messages


def write(folder: pathlib.Path, requests: list[tuple[str, dict]], name: str = "segmentation") -> pathlib.Path:
    """Writes the warm-up file of the SavedModel in `folder`.

    Args:
        folder: of the SavedModel.
        requests: (signature, {input: array or tensor}) each; at most 1000, as TensorFlow Serving asks.
        name: of the model; TensorFlow Serving ignores it here.
    """
    path = folder / FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in requests:
            writer.write(prediction_log(name, signature, inputs))
    return path


def prediction_log(name: str, signature: str, inputs: dict) -> bytes:
    """A serialized PredictionLog of one PredictRequest."""
    model = _field(1, name.encode()) + _field(3, signature.encode())  # ModelSpec: name, signature_name
    request = _field(1, model)  # PredictRequest: model_spec, then inputs, a map from names to TensorProtos
    for key, value in inputs.items():
        tensor = tf.make_tensor_proto(value).SerializeToString()
        request += _field(2, _field(1, key.encode()) + _field(2, tensor))
    return _field(6, _field(1, request))  # PredictionLog: predict_log, a PredictLog: request


def _field(number, data):
    """A field of a message: its number with the wire type, its length, its bytes."""
    return _varint(number << 3 | BYTES) + _varint(len(data)) + data


def _varint(number):
    """Seven bits a byte, the lowest first; all but the last byte have the highest bit set."""
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])
