"""TensorFlow's own lines are not shown, unless the program crashes."""

import fcntl
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from tfseg import silence

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("line", "noise"),
    [
        (b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR", True),
        (b"I0000 00:00:1795628010.456213   23392 port.cc:153] oneDNN custom operations are on.", True),
        (b"2025-11-25 17:33:30.123456: W external/local_xla/xla/a.cc:52] Overriding", True),
        (b"W0000 00:00:1795628528.787348    1082 local_rendezvous.cc:412] aborting: End of sequence", True),
        (
            b"E0000 00:00:1795628011.397573   23392 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error",
            True,
        ),
        (
            b"E0000 00:00:1795628011.397573   23392 computation_placer.cc:177] computation placer already registered.",
            True,
        ),
        (b"E0000 00:00:1795628011.397573   23392 nccl.cc:52] NCCL operation failed: unhandled system error", False),
        (b"F0000 00:00:1795628011.397573   23392 tensor.cc:10] Check failed: a == b", False),
        (b"2025-11-25 17:33:30.123456: F tensorflow/core/a.cc:52] Check failed", False),
        (b"Fatal Python error: Segmentation fault", False),
        (b"terminate called after throwing an instance of 'std::bad_alloc'", False),
        (b"I have no level, and am no line of a log:1] at all", False),
    ],
)
def test_noise(line, noise):
    assert silence.is_noise(line) == noise


@pytest.mark.parametrize(
    ("words", "verbose"),
    [
        (["--verbosity=1"], True), (["-v", "2"], True), (["--v=debug"], True), (["--verbosity=0"], False),
        ([], False), (["--verbosity=1", "--verbosity=-1"], False), (["--model=v"], False),
    ],
)  # fmt: skip
def test_verbosity(words, verbose):
    assert silence.is_verbose(words) == verbose


PROGRAM = """
import ctypes, os, pathlib, signal, sys
sys.path.insert(0, {root!r})
from tfseg import silence
with silence.kept() as copy_to:
    copy_to(pathlib.Path({log!r}))
    os.write(2, b"W0000 00:00:1.2  3 a.cc:1] a warning\\n" + b"a line without a level\\n")
    print("from Python", file=sys.stderr)
    {end}
"""


@pytest.mark.parametrize(
    ("end", "status", "shown"),
    [
        ("pass", 0, False),
        ("sys.exit(3)", 3, False),
        ("raise TypeError('a bug')", 1, True),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, True),
        ("os.write(2, b'F0000 00:00:1.2  3 a.cc:1] Check failed'); ctypes.CDLL(None).abort()", -signal.SIGABRT, True),
    ],
)
def test_a_crash_shows_everything(end, status, shown, tmp_path):
    log = tmp_path / "log.txt"
    log.touch()
    program = PROGRAM.format(root=str(ROOT), log=str(log), end=end)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert "a line without a level" in done.stderr
    assert "from Python" in done.stderr
    assert ("a warning" in done.stderr) == shown
    assert ("Check failed" in done.stderr) == ("Check failed" in end)
    assert ("a bug" in done.stderr.splitlines()[-1]) == ("a bug" in end)  # the traceback comes last
    assert "  a line without a level" in log.read_text()
    assert ("a warning" in log.read_text()) == shown


def test_what_the_program_leaves_running_holds_nothing_of_its_own(tmp_path):
    """A lock on an open file, like `flock 9` in a shell, is free after the program has ended."""
    program = PROGRAM.format(root=str(ROOT), log=str(tmp_path / "log.txt"), end="subprocess.Popen(['sleep', '5'])")
    program = program.replace("import ctypes", "import subprocess, ctypes").replace("copy_to(", "(")
    with open(tmp_path / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # `sleep` keeps stderr open, and with it the second process. It gets no other descriptor.
        done = subprocess.Popen([sys.executable, "-c", program], pass_fds=[lock.fileno()], stderr=subprocess.DEVNULL)
        assert done.wait() == 0
    with open(tmp_path / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


FAULTY = """
import sys, types
sys.path.insert(0, {root!r})
from tfseg import command_line
def train(config):
    import tensorflow as tf
    tf.constant(1)
    raise TypeError("a bug")
sys.modules["tfseg.train"] = types.SimpleNamespace(train=train)
command_line.run()
"""


def test_a_bug_shows_what_tensorflow_said_and_then_its_traceback(tmp_path):
    program = FAULTY.format(root=str(ROOT))
    env = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "-c", program, "--dataset=streets", f"--workdir={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 1
    before, _, after = done.stderr.partition("Traceback")
    assert before.startswith("TensorFlow had said before:\nWARNING: All log messages before absl::InitializeLog()")
    assert after.rstrip().endswith("TypeError: a bug")
