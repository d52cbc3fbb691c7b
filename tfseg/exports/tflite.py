"""TensorFlow Lite (LiteRT), for phones and boards: one image of a fixed size, builtin operations only."""

import contextlib
import pathlib
import tempfile

import numpy as np

QUANTIZE = ("none", "dynamic", "float16", "int8")
PACKAGES = {}
FILE = "model.tflite"
SIZE = "fixed"
MEASURED = 16  # images of the train split that --keep_float=auto measures mIoU on, at most


def write(graph, path: pathlib.Path) -> dict | None:
    """Writes the network of a fixed size.

    --quantize=dynamic keeps weights in 8 bits; float16 keeps them in half precision; int8 computes in 8 bits throughout, with a
    scale for each output channel of a kernel, and takes the ranges of activations from images of the train split
    (`tfseg.quantization`), except in the layers of --keep_float.

    Returns:
        Of int8 the operations that are in float, and how their mIoU was measured if --keep_float=auto chose them.

    Raises:
        ValueError: if the network needs an operation that TensorFlow Lite does not have, or has no layer of --keep_float.
    """
    import tensorflow as tf

    # With int8 the image itself has a scale, so the graph takes floats and the converter puts uint8 in their place.
    kind = tf.float32 if graph.quantize == "int8" else tf.uint8
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        graph.save(folder, tf.TensorSpec([1, *graph.size, 3], kind, name="image"))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["serving_default"])
        about = _int8(tf, converter, graph, path) if graph.quantize == "int8" else _float(tf, converter, graph, path)
    return about


def _float(tf, converter, graph, path):
    """Writes a network that computes in float."""
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if graph.quantize != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if graph.quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    with _named(graph):
        path.write_bytes(converter.convert())


def _int8(tf, converter, graph, path):
    """Writes a network that computes in 8 bits."""
    from tfseg import export_check, quantization

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type, converter.inference_output_type = tf.uint8, tf.int8
    with _named(graph):
        model = quantization.calibrated(converter, lambda: _spanning(graph.representative()), graph.calibration)
    if graph.keep_float == ("auto",):
        pairs = [(image[np.newaxis].astype(np.float32), label) for image, label in graph.representative()]
        keep, scores = quantization.fewest(model, pairs[:: -(-len(pairs) // MEASURED)], export_check.MOST_LOSS)
    else:
        keep, scores = quantization.operations(model, graph.keep_float), {}
    with _named(graph):
        path.write_bytes(quantization.quantized(model, keep))
    return {"calibration": graph.calibration, "keep_float": keep, "keep_float_miou": scores}


@contextlib.contextmanager
def _named(graph):
    """Says which operations the converter refuses."""
    try:
        yield
    except Exception as error:  # the converter's own kinds, and RuntimeError
        raise ValueError(
            f"Expected a network of TensorFlow Lite's builtin operations. Received: {graph.name}, which the converter refuses: "
            f"{_operators(str(error))}"
        ) from error


def _spanning(pairs):
    """The images as floats [1, height, width, 3] that reach from 0 to 255, so that the scale of a uint8 image is 1."""
    for image, _ in pairs:
        image = image[np.newaxis].astype(np.float32)
        image[0, 0, 0], image[0, -1, -1] = 0, 255
        yield image


def _operators(text):
    """The lines of the converter's message that name operations."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    named = [line for line in lines if "op" in line.lower() and ("tf." in line or "Op" in line)]
    return " ".join((named or lines)[-3:])[-600:]


def interpreter(path: pathlib.Path, threads: int = 0):
    """The interpreter of ai-edge-litert, or where it is not installed of TensorFlow; 0 threads: the runtime's own number."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        import tensorflow as tf

        Interpreter = tf.lite.Interpreter  # noqa: N806

    return Interpreter(model_path=str(path), num_threads=threads or None)


def load(path: pathlib.Path):
    """Runs the network by LiteRT: {output: array}."""
    runner = interpreter(path).get_signature_runner()
    (name, given), made = *runner.get_input_details().items(), runner.get_output_details()

    def one(image):
        if image.shape != tuple(given["shape"][1:]):
            size = "x".join(map(str, given["shape"][1:3]))
            raise ValueError(
                f"Expected images of {size} pixels, the only size that {path.name} takes. Received: "
                f"{image.shape[0]}x{image.shape[1]}. Export with another --export_size."
            )
        result = runner(**{name: image[np.newaxis].astype(given["dtype"])})
        return {output: _real(values, made[output]) for output, values in result.items()}

    def run(images):
        results = [one(image) for image in images]
        return {output: np.concatenate([result[output] for result in results]) for output in results[0]}

    return run


def _real(values, output):
    """What quantized values stand for."""
    scale, zero = output["quantization"]
    return (values.astype(np.float32) - zero) * np.float32(scale) if scale else values
