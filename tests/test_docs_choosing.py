"""docs/choosing.md, its picture, and the scores that it is made of."""

import importlib
import json

import pytest

import models
import tfseg.spec as specs
from benchmarks import choosing, zoo

LISTED = choosing.costs(choosing.PAGE) | choosing.costs(zoo.ROOT / "docs" / "models.md")
EVERY = {
    spec: LISTED.get(choosing.canonical(spec), ("?", "-")) for table in choosing.scores().values() for spec in table
}


def test_the_page_is_what_make_zoo_writes():
    latency = json.loads(choosing.LATENCY.read_text()) if choosing.LATENCY.is_file() else None
    assert choosing.page(EVERY, latency) == choosing.PAGE.read_text(), "Run `make zoo`."


def test_the_picture_shows_what_the_page_says():
    assert choosing.drawn() == choosing.digest(choosing.points(EVERY)), "Run `make zoo`."


@pytest.mark.parametrize("name", [name for name in models.names() if name != "classifier"])
def test_scores_are_those_published(name):
    """Each number is also in the sentence that names its source, and each spec is one that the network takes."""
    architecture = importlib.import_module(f"models.{name}")
    for data, table in architecture.REFERENCE.get("scores", {}).items():
        assert data in choosing.SECTIONS
        for spec, score in table.items():
            assert f"{score:g}" in architecture.REFERENCE["published"], (spec, score)
            assert specs.parse(spec).name == name
            specs.check(architecture.build, specs.parse(spec), None, None)


def test_the_front_by_hand():
    costs = {
        "cheap": ("1", "1.00"),
        "worse": ("1", "2.00"),
        "better": ("1", "3.00"),
        "dear": ("1", "3.00"),
        "best": ("1", "-"),
    }
    table = {
        "worse": 69.0,
        "cheap": 70.0,
        "dear": 79.0,
        "better": 80.0,
        "best": 90.0,
    }  # of the last the cost is not known
    assert choosing.front(table, costs) == ["cheap", "better"]


def test_a_measured_latency_has_a_column():
    plain = choosing.page(EVERY)
    assert "| ms |" not in plain
    text = choosing.page(EVERY, {"device": "a stopwatch", "milliseconds": {"pidnet": 3.14}})
    assert "on a stopwatch" in text
    row = next(line for line in text.splitlines() if "`pidnet`" in line)
    assert row.split(" | ")[4] == "3.1"
    assert len(row.split("|")) == len(next(line for line in plain.splitlines() if "`pidnet`" in line).split("|")) + 1


def test_licences_are_those_of_the_tables():
    known = choosing.licences()
    assert known[choosing.canonical("erfnet")] == ["CC BY-NC 4.0"]
    assert known[choosing.canonical('segformer(variant="b0")')] == ["other"]
    assert known[choosing.canonical('refinenet_lw(backbone="resnet50")')] == ["BSD 2-Clause, academic use"]
