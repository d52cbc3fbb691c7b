"""What benchmarks share: rounds that other programs disturbed do not count, and a process that ends is named."""

import sys

import pytest

from benchmarks import turns


class Machine:
    """Says how many cores others used, from a list."""

    def __init__(self, others):
        self.others_of_rounds = iter(others)

    def start(self):
        pass

    def others(self):
        return next(self.others_of_rounds)


def test_disturbed_rounds_are_taken_again():
    """Rounds 1, 2, 3, 4 with 0, 1, 0.1 and 0 cores in use: the second does not count."""
    numbers = iter(range(100))
    variants = {"a": lambda: next(numbers), "b": lambda: next(numbers)}
    taken = turns.take_quietly(variants, 3, Machine([0, 1, 0.1, 0]), 0.1, tries=4)
    assert taken == {"a": [0, 4, 6], "b": [1, 5, 7]}
    assert turns.medians(taken) == {"a": 4, "b": 5}
    assert turns.take_quietly(variants, 3, Machine([0, 1, 1, 0]), 0.1, tries=4) is None


def test_a_worker_answers_until_it_ends():
    program = "import sys\nfor line in sys.stdin: print(2 * int(line), flush=True); line == '3\\n' and sys.exit(7)"
    with turns.Worker([sys.executable, "-c", program]) as worker:
        assert [worker.ask("1"), worker.ask("3")] == ["2", "6"]
        with pytest.raises(RuntimeError, match=r"(?s)Expected an answer of .*Received: none, status 7"):
            worker.ask("1")


def test_our_own_work_is_not_that_of_others():
    """A worker that keeps a core busy is ours; without it in the list, the same second counts as somebody else's."""
    program = (
        "import sys, time\nfor line in sys.stdin:\n end = time.time() + 0.5\n while time.time() < end: pass\n print(0)"
    )
    with turns.Worker([sys.executable, "-u", "-c", program]) as worker:
        with_it, without = turns.Machine([worker]), turns.Machine([])
        worker.ask("go")
        # At least half of the half second, however busy the machine is.
        assert without.others() - with_it.others() > 0.02
