"""Two logical CPU devices, so that every test can run a MirroredStrategy of two replicas; one thread in each process of -n."""

import gc
import os

if "PYTEST_XDIST_WORKER" in os.environ:  # `pytest -n 2`; threads of several processes would wait for each other
    for variable in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(variable, "1")

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as in the programs (tfseg/command_line.py)

import pytest
import tensorflow as tf

# Before TensorFlow starts: devices cannot be divided afterwards.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


@pytest.fixture(autouse=True, scope="module")
def networks_are_freed():
    """Networks are in reference cycles of few objects, which Python collects too late: a process would grow to 5 GB."""
    yield
    gc.collect()
