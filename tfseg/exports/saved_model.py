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
    module = serving.Serving(graph.scores, graph.image_range, graph.max_pixels, more)
    tf.saved_model.save(module, str(path), module.signatures())
    image = graph.samples()[0]
    encoded = tf.io.encode_png(image).numpy()
    pixels = {name: {"images": image[None]} for name in ("predict_images", *more)}
    files = {name: {"image_bytes": [encoded]} for name in ("serving_default", "png")}
    warm_up.write(path, list((files | pixels).items()))


def graph(path: pathlib.Path):
    """The function behind the signatures, from uint8 images to logits, for use inside other graphs."""
    import tensorflow as tf

    module = tf.saved_model.load(str(path))
    if not hasattr(module, "scores"):
        raise ValueError(
            f"Expected a SavedModel that this version of tfseg exported. Received: {path}, which has no function `scores`."
        )
    return module.scores


def load(path: pathlib.Path):
    """Runs the network: {"logits": float32 [batch, height, width, classes]}."""
    scores = graph(path)
    return lambda images: {"logits": scores(images).numpy()}
