"""Builds the network of a run, in the same way for training, evaluation, prediction and export."""

import keras

import models
from tfseg import config as config_lib


def build(config: config_lib.Config, num_classes: int) -> keras.Model:
    """The network of --model with the precision of --precision, for `num_classes` classes; see `models.build`.

    With `mixed_bfloat16` and `mixed_float16` it computes in that type, while variables and logits stay float32. Evaluation uses
    the same precision, so that it gives the numbers that training printed.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(config.precision)
    try:
        model = models.build(config.model, num_classes, normalization=config.normalization)
    finally:
        keras.config.set_dtype_policy(before)
    for layer in model.layers:
        if hasattr(layer, "across_replicas"):
            layer.across_replicas = config.sync_batch_norm
    return model


def check_channels(model: keras.Model, pairs: str) -> None:
    """Raises ValueError unless a network sees what a data set gives: RGB images, or with --pairs six channels.

    An exported network does not say what it sees; export refuses all that see more than images.
    """
    given = 6 if pairs else 3
    sees = model.input.shape[-1] if isinstance(model, keras.Model) else 3
    if sees != given:
        raise ValueError(
            f"Expected a network of {given} channels {'with' if pairs else 'without'} --pairs. Received: {model.name}, which "
            f"sees {sees}. Take --model=mask_propagation with --pairs=deformed(), and other networks without."
        )


def check_images(model: keras.Model, mode: str) -> None:
    """Raises ValueError if a network cannot be given images alone, as --mode=predict and --mode=export do."""
    if model.input.shape[-1] != 3:
        raise ValueError(
            f"Expected for --mode={mode} a network of RGB images. Received: {model.name}, which sees "
            f"{model.input.shape[-1]} channels. It follows objects through a sequence: use --mode=track."
        )
