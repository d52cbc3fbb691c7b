"""Two logical CPU devices, so that every test can run a MirroredStrategy of two replicas."""

import tensorflow as tf

# Before TensorFlow starts: devices cannot be divided afterwards.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
