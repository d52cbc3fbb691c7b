"""Devices of a run."""

import tensorflow as tf


def build(name: str = "auto") -> tf.distribute.Strategy:
    """The strategy over this machine's devices.

    Args:
        name: `mirrored`: one replica a GPU (or a logical CPU device where several are configured and there is no GPU);
            `one_device`: the first of them; `auto`: mirrored.
    """
    gpus = tf.config.list_logical_devices("GPU")
    devices = [device.name for device in gpus or tf.config.list_logical_devices("CPU")]
    if name == "one_device":
        devices = devices[:1]
    # NCCL is for GPUs; MirroredStrategy's default for several CPU devices, collectives, refuses Keras' assignments.
    cross_device_ops = None if gpus else tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy(devices, cross_device_ops)
