"""What benchmarks share: variants take turns, some of them in processes of their own, and the machine is watched meanwhile."""

import contextlib
import os
import pathlib
import re
import statistics
import subprocess
import time
from collections.abc import Callable

TICKS = os.sysconf("SC_CLK_TCK")  # per second, in /proc


class Worker(contextlib.AbstractContextManager):
    """A process that sleeps between its turns. It answers each line that it is sent with one line."""

    def __init__(self, command: list, **options):
        """`options` are those of subprocess.Popen."""
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options
        )

    def ask(self, line: str) -> str:
        """The answer to a line.

        Raises:
            RuntimeError: if the process has ended, which has said why on its error output.
        """
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()
        return self.read()

    def read(self) -> str:
        """The next line that the process writes; raises RuntimeError as `ask` does."""
        line = self.process.stdout.readline()
        if not line:
            command = " ".join(map(str, self.process.args))
            raise RuntimeError(f"Expected an answer of `{command}`. Received: none, status {self.process.wait()}.")
        return line.strip()

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


class Machine:
    """How much of the machine's processors other processes took, while ours took turns (Linux)."""

    def __init__(self, workers: list[Worker]):
        self._pids = [os.getpid(), *(worker.process.pid for worker in workers)]
        self.start()

    def start(self) -> None:
        """Counts from now on."""
        self._before = self._counts()

    def others(self) -> float:
        """Cores that others kept busy since `start`, on average."""
        idle, ours, at = (now - then for now, then in zip(self._counts(), self._before, strict=True))
        return max(0.0, os.cpu_count() - (idle + ours) / at)

    def _counts(self):
        """Seconds that the cores were idle, seconds that our processes ran, and the time."""
        fields = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
        idle = (int(fields[3]) + int(fields[4])) / TICKS  # idle, and waiting for a disk
        ours = sum(_seconds(pid) for pid in self._pids)
        return idle, ours, time.monotonic()


def _seconds(pid):
    """CPU seconds of a process."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS  # user, system


def take(turns: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Lets variants take turns, each one turn a round; returns what the turns returned, by variant."""
    taken = {variant: [] for variant in turns}
    for _ in range(rounds):
        for variant, turn in turns.items():
            taken[variant].append(turn())
    return taken


def take_quietly(
    turns: dict[str, Callable[[], float]], rounds: int, machine: Machine, most: float, tries: int
) -> dict[str, list[float]] | None:
    """The same, of rounds in which other processes kept at most `most` cores busy. Other rounds do not count.

    Returns:
        None if fewer than `rounds` of `tries` rounds were so.
    """
    taken = {variant: [] for variant in turns}
    for _ in range(tries):
        machine.start()
        found = take(turns, 1)
        if machine.others() <= most:
            taken = {variant: values + found[variant] for variant, values in taken.items()}
        if len(next(iter(taken.values()))) == rounds:
            return taken
    return None


def medians(taken: dict[str, list[float]]) -> dict[str, float]:
    """The median of each variant's turns."""
    return {variant: statistics.median(values) for variant, values in taken.items()}


def peak_memory() -> int:
    """Peak resident memory of this process, MB (1e6 bytes). getrusage would begin with the memory of the parent process."""
    return round(int(re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path("/proc/self/status").read_text())[1]) * 1.024e-3)
