"""Chooses the devices of a run: one device, all of this machine, or those of all machines that TF_CONFIG names."""

import contextlib
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import subprocess
from collections.abc import Callable, Iterator

import tensorflow as tf
from absl import logging

NVIDIA_DRIVER = pathlib.Path("/proc/driver/nvidia/version")
ROLES = ("chief", "worker")  # of TF_CONFIG: every process trains; parameter servers and evaluators are not used


def build(name: str = "auto") -> tf.distribute.Strategy:
    """The `tf.distribute` strategy for the devices. Call it before TensorFlow does anything else.

    Args:
        name: `mirrored`: one replica for each GPU (without a GPU, for each logical CPU device); `one_device`: the first of
            them; `multi_worker`: every process of the cluster in TF_CONFIG, each with the devices of its machine; `auto`:
            multi_worker if TF_CONFIG names several workers, otherwise mirrored.

    Raises:
        ValueError: if TF_CONFIG is not understood, and for `multi_worker` if it does not name several workers.
    """
    if advice := unusable_gpu():
        logging.warning("%s", advice)
    workers = workers_of(os.environ.get("TF_CONFIG", ""))
    if name == "multi_worker" and workers < 2:
        raise ValueError(not_understood(os.environ.get("TF_CONFIG", ""), "several workers for --strategy=multi_worker"))
    if workers > 1 and name in ("auto", "multi_worker"):
        # TensorFlow reads TF_CONFIG too, and fails if the index is a string.
        config = json.loads(os.environ["TF_CONFIG"])
        config["task"]["index"] = int(config["task"]["index"])
        os.environ["TF_CONFIG"] = json.dumps(config)
        logging.info("Waiting for all %d workers of TF_CONFIG: %s.", workers, json.dumps(config["cluster"]))
        return tf.distribute.MultiWorkerMirroredStrategy()
    gpus = tf.config.list_logical_devices("GPU")
    devices = [device.name for device in gpus or tf.config.list_logical_devices("CPU")]
    if name == "one_device":
        devices = devices[:1]
    # NCCL needs GPUs. For several CPU devices, MirroredStrategy's default does not work with Keras' assignments.
    cross_device_ops = None if gpus else tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy(devices, cross_device_ops)


def unusable_gpu() -> str:
    """What to do about an NVIDIA GPU of this machine that TensorFlow cannot use.

    Returns:
        Sentences for the log; "" if TensorFlow sees a GPU, if there is none, and if CUDA_VISIBLE_DEVICES hides all.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible in ("", "-1") or tf.config.list_physical_devices("GPU"):
        return ""
    found = _nvidia_gpu()
    if not found:
        return ""
    problem = f"This run uses the CPU, although the machine has {found}"
    if not tf.test.is_built_with_cuda():
        system = f"{platform.system()} {platform.machine()}"
        return (
            f"{problem}: TensorFlow {tf.__version__} is published for {system} without CUDA. "
            "Use Linux on an x86_64 processor (on Windows: WSL2), or a TensorFlow container of NVIDIA."
        )
    if not _has_cuda_libraries():
        return (
            f"{problem}: TensorFlow's CUDA libraries are not installed. Run `make setup` again, or: "
            f"python -m pip install 'tensorflow[and-cuda]=={tf.__version__}'"
        )
    if visible:
        return f"{problem}: CUDA_VISIBLE_DEVICES={visible} names no GPU that is there. Unset it, or set it to 0."
    return (
        f"{problem}: the CUDA libraries are installed, but its driver does not work with them. Update the driver to 525.60 or "
        "newer (`nvidia-smi` shows its version); in a container, start it with `--gpus all`."
    )


def _nvidia_gpu():
    """The name of the first NVIDIA GPU that nvidia-smi lists, or that there is a driver; "" if there is neither."""
    try:
        command = ["nvidia-smi", "-L"]
        listed = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
        gpus = re.findall(r"^GPU \d+: (.*?)(?: \(UUID.*)?$", listed, re.MULTILINE)
        return f"a GPU ({gpus[0]})" if gpus else ""
    except (OSError, subprocess.SubprocessError):
        return "an NVIDIA driver" if NVIDIA_DRIVER.exists() else ""


def _has_cuda_libraries():
    """Whether what `tensorflow[and-cuda]` adds is installed; cuDNN stands for all of it."""
    return any(d.name.startswith("nvidia-cudnn") for d in importlib.metadata.distributions() if d.name)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes to the workdir: it is the only one, the chief, or worker 0 if there is no chief."""
    resolver = strategy.cluster_resolver
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return not resolver or not resolver.task_id
    return not resolver.task_id and (resolver.task_type == "chief" or "chief" not in resolver.cluster_spec().jobs)


def agreement(strategy: tf.distribute.Strategy) -> Callable[[int | None], int | None]:
    """A function that takes this worker's signal (None if there is none) and returns the largest signal of all workers.

    All workers must call it at the same places, since they can only stop, or leave an evaluation, together.
    """
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return lambda signal: signal

    @tf.function
    def largest(signal):
        def gathered():
            return tf.distribute.get_replica_context().all_gather(signal[tf.newaxis], axis=0)

        return tf.reduce_max(strategy.experimental_local_results(strategy.run(gathered))[0])

    return lambda signal: int(largest(tf.constant(signal or 0))) or None


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Turns the errors that TensorFlow raises when another worker is lost into a ConnectionError that says what to do."""
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
        raise ConnectionError(
            "Expected all workers until the end. Received: another one was killed, failed or cannot be reached. "
            "Look at its log, and start the job again on all of them: it resumes from the last checkpoint."
        ) from error


def workers_of(text: str) -> int:
    """The number of workers, with the chief, that a TF_CONFIG names; 0 if it is blank or names no cluster.

    Raises:
        ValueError: if the text is not understood; otherwise a worker could train alone by mistake and nobody would notice.
    """
    if not text.strip():
        return 0
    try:
        config = json.loads(text)
    except ValueError as error:
        raise ValueError(not_understood(text, f"JSON ({error})")) from error
    if not isinstance(config, dict) or not isinstance(config.get("cluster", {}), dict):
        raise ValueError(not_understood(text, "an object with `cluster` and `task`"))
    cluster = config.get("cluster", {})
    if not cluster and not config.get("task"):
        return 0
    for role, hosts in cluster.items():
        if role not in ROLES or not isinstance(hosts, list) or not all(isinstance(host, str) for host in hosts):
            raise ValueError(not_understood(text, f"lists of hosts for the roles {' and '.join(ROLES)} only"))
    task = config.get("task", {})
    role, index = (task.get("type"), task.get("index")) if isinstance(task, dict) else (None, None)
    number = int(index) if isinstance(index, (int, str)) and str(index).strip().isdigit() else -1
    if not 0 <= number < len(cluster.get(role, [])) or isinstance(index, bool):
        raise ValueError(not_understood(text, "a task of the cluster: its role, and its index from 0"))
    return sum(len(hosts) for hosts in cluster.values())


def not_understood(text: str, expected: str) -> str:
    """The message for a TF_CONFIG in which something is missing."""
    return (
        f"Expected TF_CONFIG to hold {expected}, for example "
        '{"cluster": {"worker": ["host1:port", "host2:port"]}, "task": {"type": "worker", "index": 0}}. '
        f"Received: TF_CONFIG={text!r}. Correct it, or unset it to train on this machine alone."
    )
