"""Writes <workdir>/environment.json: versions, devices, command and times of every start of a run."""

import contextlib
import datetime
import importlib.metadata
import json
import pathlib
import platform
import subprocess
import sys
from collections.abc import Iterator

import tensorflow as tf

import tfseg
from tfseg import transcript

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGES = ("tensorflow", "keras", "numpy", "tensorflow-datasets", "opencv-python-headless", "pillow", "h5py")


@contextlib.contextmanager
def recorded(workdir: pathlib.Path, strategy: tf.distribute.Strategy, chief: bool) -> Iterator[None]:
    """Writes environment.json and log.txt of the run that takes place within the block.

    Does nothing for workers other than the chief, and if `train` is not called from our command line.
    """
    if not chief or not transcript.heard():
        yield
        return
    transcript.keep(workdir)
    facts = {**describe(strategy), "start": _now(), "end": None, "outcome": "running, or killed", "earlier": []}
    path = workdir / "environment.json"
    with contextlib.suppress(OSError, ValueError):  # a damaged file must not prevent training
        before = json.loads(path.read_text())
        facts["earlier"] = [*before.pop("earlier"), before]
    _write(path, facts)
    try:
        yield
        facts["outcome"] = "finished"
    except SystemExit as stopped:
        facts["outcome"] = f"stopped with status {stopped.code}"
        raise
    except BaseException as error:
        facts["outcome"] = f"{type(error).__name__}: {error}"
        raise
    finally:
        facts["end"] = _now()
        with contextlib.suppress(OSError):  # if the disk is full, the error that ended the run says so
            _write(path, facts)


def describe(strategy: tf.distribute.Strategy) -> dict:
    """The versions, the devices and the command; no names of users or machines."""
    return {
        "tfseg": version(),
        "python": platform.python_version(),
        "packages": {name: _version_of(name) for name in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "devices": devices(),
        "replicas": strategy.num_replicas_in_sync,
        "command": sys.argv,
    }


def version() -> dict:
    """The version of tfseg; in a git checkout also its commit, and whether files differ from it."""
    found = {"version": tfseg.__version__}
    if (ROOT / ".git").exists():
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            found["commit"] = _git("rev-parse", "HEAD")
            found["changed"] = bool(_git("status", "--porcelain", "--untracked-files=no"))
    return found


def devices() -> list[str]:
    """The names of this process's GPUs, or "CPU" where there is none."""
    gpus = tf.config.list_physical_devices("GPU")
    return [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus] or ["CPU"]


def _git(*words):
    command = ["git", "-C", str(ROOT), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def _version_of(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _now():
    return f"{datetime.datetime.now().astimezone():%Y-%m-%dT%H:%M:%S%z}"


def _write(path, facts):
    aside = path.with_suffix(".writing")
    aside.write_text(json.dumps(facts, indent=1) + "\n")
    aside.replace(path)
