"""OpenVINO's IR, for Intel's processors."""

import pathlib
import tempfile

QUANTIZE = ("none", "float16")
PACKAGES = {"openvino": "openvino"}
FILE = "model.xml"
SIZE = "either"


def write(graph, path: pathlib.Path) -> None:
    """Writes model.xml and model.bin; --quantize=float16 keeps the weights in half precision.

    Raises:
        ValueError: if the network needs an operation that OpenVINO does not know.
    """
    import openvino
    import tensorflow as tf

    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        graph.save(folder, tf.TensorSpec([None, *(graph.size or (None, None)), 3], tf.uint8, name="image"))
        try:
            model = openvino.convert_model(folder)
        except Exception as error:  # OpenVINO's own kinds
            raise ValueError(
                f"Expected a network that OpenVINO can convert. Received: {graph.name}: {str(error).strip()[-600:]}"
            ) from error
    openvino.save_model(model, str(path), compress_to_fp16=graph.quantize == "float16")


def load(path: pathlib.Path, threads: int = 0):
    """Runs the network by OpenVINO on the CPU, in float32: {output: array}; 0 threads: the runtime's own number."""
    import openvino

    core = openvino.Core()
    options = {"INFERENCE_PRECISION_HINT": "f32"} | ({"INFERENCE_NUM_THREADS": threads} if threads else {})
    compiled = core.compile_model(core.read_model(str(path)), "CPU", options)

    def run(images):
        result = compiled(images)
        return {output.get_any_name(): result[output] for output in compiled.outputs}

    return run
