"""TensorFlow's SavedModel, for TensorFlow Serving, Triton and tf.saved_model.load."""

import pathlib

QUANTIZE = ("none",)
PACKAGES = {}
FILE = ""
SIZE = "any"


def write(graph, path: pathlib.Path) -> None:
    """Writes the signatures of serving.py, and the requests that warm a server up."""
    import tensorflow as tf

    from tfseg import serving, warm_up

    more = [name for name in graph.outputs if name in ("probabilities", "logits")]
    module = serving.Serving(graph.network, graph.image_range, graph.max_pixels, more, graph.finder)
    signatures = module.signatures()
    tf.saved_model.save(module, str(path), signatures)
    image = graph.samples()[0]
    encoded = tf.io.encode_png(image).numpy()
    of_pixels = ("predict_images", "embedding", *more)
    pixels = {name: {"images": image[None]} for name in signatures if name in of_pixels}
    files = {name: {"image_bytes": [encoded]} for name in signatures if name not in of_pixels}
    warm_up.write(path, list((files | pixels).items()))


def graph(path: pathlib.Path):
    """The function behind the signatures, from uint8 images to the network's outputs by name, and the outputs' shapes."""
    module = _opened(path)
    concrete = module.outputs.concrete_functions[0]
    return module.outputs, {name: output.shape for name, output in concrete.structured_outputs.items()}


def load(path: pathlib.Path):
    """Runs the network.

    It gives {"logits": float32 [batch, height, width, classes]}, `detection` and `embedding` where there are such outputs, and
    the boxes of the signatures.
    """
    module = _opened(path)
    with_boxes = "boxes" in module.signatures

    def run(images):
        found = dict(module.outputs(images))
        if with_boxes:
            found |= {name: value for name, value in module.predict_images(images).items() if name.startswith("box")}
        return {name: value.numpy() for name, value in found.items()}

    return run


def _opened(path):
    import tensorflow as tf

    module = tf.saved_model.load(str(path))
    if not hasattr(module, "outputs"):
        raise ValueError(
            f"Expected a SavedModel that this version of tfseg exported. Received: {path}, which has no function `outputs`. "
            "Export the run again."
        )
    return module
