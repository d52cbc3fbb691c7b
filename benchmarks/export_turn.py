"""Inference of one network in one runtime, for benchmarks/export.py.

    python -m benchmarks.export_turn <variant> <spec of the network or path of the export> <height> <width> <threads>

A process of its own, so that no runtime's threads or memory mix with another's; it imports the runtime of the variant and, of
the large packages, nothing else. After its first answer it prints its peak memory in MB. Then it reads lines `<images>
<batches>`, runs so many batches of so many images, and prints the seconds of one batch.
"""

import pathlib
import sys
import time

import numpy as np

from benchmarks import turns
from tfseg import exports

CLASSES = 12  # of the networks that are built here


def live(spec, threads):
    """The network as evaluation runs it, from its options."""
    return _built(spec, threads, lambda model: model)


def frozen(spec, threads):
    """The same with batch norm folded into the convolutions and constants in the place of variables."""
    from tfseg import inference_graph

    return _built(spec, threads, lambda model: inference_graph.Frozen(inference_graph.simplified(model)))


def saved_model(path, threads):
    """What `export.py` writes."""
    tf = _tensorflow(threads)
    outputs, _ = exports.find("saved_model").graph(pathlib.Path(path))
    return lambda images: outputs(tf.constant(images))["logits"].numpy()


def tflite(path, threads):
    """One image after the other, since the graph takes one; 8-bit logits stay in 8 bits."""
    interpreter = exports.find("tflite").interpreter(pathlib.Path(path), threads)
    interpreter.allocate_tensors()
    given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def one(image):
        interpreter.set_tensor(given["index"], image[np.newaxis])
        interpreter.invoke()
        return interpreter.get_tensor(made["index"])

    return lambda images: [one(image) for image in images]


def onnx(path, threads):
    """ONNX Runtime."""
    return exports.find("onnx").load(pathlib.Path(path), threads)


def openvino(path, threads):
    """OpenVINO."""
    return exports.find("openvino").load(pathlib.Path(path), threads)


def pytorch(spec, threads):
    """`segmentation_models_pytorch`'s network of a name on an encoder, `Unet|resnet18`, channels last, not compiled."""
    import segmentation_models_pytorch as smp
    import torch

    torch.set_num_threads(threads)
    name, encoder = spec.split("|")
    model = getattr(smp, name)(encoder, encoder_weights=None, classes=CLASSES).eval()
    model = model.to(memory_format=torch.channels_last)

    def run(images):
        # A view of [batch, height, width, 3] as [batch, 3, height, width] is channels last already.
        with torch.inference_mode():
            return model(torch.from_numpy(images).permute(0, 3, 1, 2).float()).numpy()

    return run


VARIANTS = {f.__name__: f for f in (live, saved_model, frozen, tflite, onnx, openvino, pytorch)}


def _tensorflow(threads):
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    return tf


def _built(spec, threads, deployed):
    """A network from its options, run by TensorFlow."""
    tf = _tensorflow(threads)
    import models
    from tfseg import inference

    run = tf.function(inference.build("whole", deployed(models.build(spec, CLASSES))), reduce_retracing=True)
    return lambda images: run(tf.constant(images)).numpy()


def main(variant, source, height, width, threads):
    """Answers each line of the input."""
    noise = np.random.default_rng(0)
    run = VARIANTS[variant](source, int(threads))

    def seconds(images, batches):
        given = noise.integers(0, 256, (images, int(height), int(width), 3), np.uint8)
        start = time.perf_counter()
        for _ in range(batches):
            run(given)
        return (time.perf_counter() - start) / batches

    seconds(1, 1)
    print(turns.peak_memory(), flush=True)
    for line in sys.stdin:
        print(seconds(*map(int, line.split())), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
