import sys

import pytest

from input_pipeline import progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until `clock.now` is set."""

    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    found = Clock()
    monkeypatch.setattr(progress, "time", found)
    return found


def test_rate_and_time_left_are_those_since_the_last_line(clock, capsys):
    bar = progress.bar("train", 1000, "steps", initial=100)
    assert isinstance(bar, progress.Lines)  # pytest's stderr is no terminal
    clock.now += 60  # the first step compiles for a minute
    bar.update()
    assert capsys.readouterr().err == ""
    bar.set_postfix({"loss": "0.5"})
    for _ in range(30):  # 2 steps a second; the line comes after 30 seconds of them
        clock.now += 1
        bar.update(2)
    # 100 + 1 + 60 steps; 839 at 2 a second take 419.5 seconds.
    assert capsys.readouterr().err == "train  161 of 1000 steps, 2 steps/s, 0:06:59 left, loss=0.5\n"
    clock.now += 500  # an evaluation
    bar.unpause()
    for _ in range(10):  # 1 step in 3 seconds: 829 of them take 2487 seconds
        clock.now += 3
        bar.update()
    assert capsys.readouterr().err == "train  171 of 1000 steps, 0.333 steps/s, 0:41:27 left, loss=0.5\n"
    bar.write("between")
    assert capsys.readouterr().out == "between\n"


def test_without_a_known_total_no_time_is_left(clock, capsys):
    bar = progress.bar("predict", 0, "images")  # a camera
    bar.update()
    for _ in range(30):
        clock.now += 1
        bar.update(3)
    assert capsys.readouterr().err == "predict  91 images, 3 images/s\n"


def test_short_work_writes_nothing_and_keeps_its_items(capsys):
    assert list(progress.over(iter("abc"), "read", 3, "images")) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


def test_a_terminal_has_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert list(progress.over(range(3), "read", 3, "images")) == [0, 1, 2]
    assert "read:" in capsys.readouterr().err
