"""Threads that read ahead and write behind: order, bounds, errors."""

import threading
import time

import pytest

from tfseg.prediction import background


def test_results_come_in_order_and_one_thread_calls_in_order():
    def slow_first(i):
        time.sleep(0.02 if i == 0 else 0)
        return i

    assert list(background.ahead(slow_first, range(20), lambda _: 1, threads=4)) == list(range(20))
    called = []
    list(background.ahead(called.append, range(20), lambda _: 1, threads=1))
    assert called == list(range(20))


def test_no_more_than_the_budget_is_read_ahead():
    """Results of 10 bytes and a budget of 35: three at a time, the one that is yielded among them."""
    begun, most = [], []
    for result in background.ahead(lambda i: begun.append(i) or i, range(30), lambda _: 10, threads=4, budget=35):
        time.sleep(0.002)
        most.append(max(begun) - result)
    assert 1 <= max(most) <= 3  # it does read ahead


def test_a_result_larger_than_the_budget_comes_too():
    assert list(background.ahead(abs, [-1, -2], lambda _: 100, threads=2, budget=10)) == [1, 2]


def test_what_is_handed_over_is_finished_in_order_in_the_callers_thread():
    finished, threads = [], set()

    def finish(value):
        finished.append(value)
        threads.add(threading.current_thread())

    def work(i):
        time.sleep(0.01 if i % 4 == 0 else 0)
        return i

    with background.Behind(finish, threads=3) as behind:
        for i in range(20):
            behind.submit(1, work, i)
    assert finished == list(range(20))
    assert threads == {threading.current_thread()}


def test_no_more_than_the_budget_is_on_its_way():
    waiting, most, lock = 0, [], threading.Lock()

    def work():
        time.sleep(0.002)

    def finish(_):
        nonlocal waiting
        with lock:
            waiting -= 1

    with background.Behind(finish, threads=4, budget=35) as behind:
        for _ in range(30):
            behind.submit(10, work)
            waiting += 1
            most.append(waiting)
    assert max(most) == 3
    assert waiting == 0


def test_an_error_while_writing_is_raised_and_nothing_more_is_begun():
    begun = []

    def work(i):
        begun.append(i)
        if i == 3:
            raise OSError("No space left on device")

    def write(numbers):
        with background.Behind(lambda _: None, threads=1) as behind:
            for i in numbers:
                behind.submit(1, work, i)

    with pytest.raises(OSError, match="No space left"):
        write(range(1000))
    assert len(begun) < 50
    with pytest.raises(OSError, match="No space left"):
        write([3])  # the last one: raised at the end of the block
