"""The statistics of batch norm for weights that were averaged, or trained on small crops: computed again from whole images."""

from collections.abc import Iterable

import keras

from models import layers


def recompute(model: keras.Model, batches: Iterable) -> int:
    """Replaces the moving statistics of every batch norm by the mean of those of the batches, each with the same weight.

    The network runs as in training, so each norm sees what the norms before it make of this batch (Izmailov et al.,
    arXiv:1803.05407, section 3.2). Weights do not change.

    Args:
        model: from images to logits.
        batches: of images [batch, height, width, 3].

    Returns:
        The number of batches.
    """
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    done = 0
    try:
        for images in batches:
            for norm in norms:
                norm.momentum = done / (done + 1)  # the mean of the first n + 1 from that of the first n
            model(images, training=True)
            done += 1
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    return done
