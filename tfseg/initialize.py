"""--init_from: weights from another run or a file."""

import pathlib

import keras

from tfseg import checkpoint, published_weights, torch_weights


def load(model: keras.Model, source: str) -> None:
    """Fills a model with all of its weights, or with "imagenet" its backbone.

    Args:
        model: the network, of the architecture and class count that the weights are of.
        source: a run's workdir (its best checkpoint), `.weights.h5`, `.keras`, `.pth` or `.safetensors`; or "imagenet", the
            published weights of the backbone that the network is built on, downloaded once.

    Raises:
        FileNotFoundError: where there is no such file or folder.
        ValueError: where it is of another kind, damaged, or of another network.
    """
    if source == "imagenet":
        published_weights.load(model)
        return
    path = pathlib.Path(source)
    if path.is_dir():
        checkpoint.restore_model(checkpoint.latest(source)[0], model)
    elif not path.is_file():
        raise FileNotFoundError(f"Expected weights in --init_from={source}. Received: no such file or folder.")
    elif path.suffix in (".keras", ".h5"):
        model.load_weights(path)
    else:
        torch_weights.load(model, torch_weights.read(path))
