"""TF_CONFIG is either read or refused, so a worker never trains alone by mistake."""

import json

import pytest

from tfseg import distribute

TWO = {"worker": ["a:1", "b:1"]}


def text(cluster, **task):
    return json.dumps({"cluster": cluster, "task": task})


@pytest.mark.parametrize(
    ("config", "workers"),
    [
        ("", 0),
        ("  ", 0),
        ("{}", 0),
        ('{"cluster": {}}', 0),
        (text({"worker": ["a:1"]}, type="worker", index=0), 1),
        (text(TWO, type="worker", index=1), 2),
        (text(TWO, type="worker", index="1"), 2),
        (text({"chief": ["c:1"], **TWO}, type="chief", index=0), 3),
    ],
)
def test_the_number_of_workers(config, workers):
    assert distribute.workers_of(config) == workers


@pytest.mark.parametrize(
    "config",
    [
        '{"cluster": {"worker": ["a:1"',
        "[]",
        "3",
        '{"cluster": []}',
        text(TWO),
        text({}, type="worker", index=0),
        text(TWO, type="worker", index=2),
        text(TWO, type="worker", index=-1),
        text(TWO, type="worker", index="first"),
        text(TWO, type="worker", index=True),
        text(TWO, type="worker"),
        text(TWO, type="chief", index=0),
        text({"ps": ["p:1"], **TWO}, type="ps", index=0),
        text({"worker": "a:1"}, type="worker", index=0),
        json.dumps({"cluster": TWO, "task": "worker"}),
    ],
)
def test_what_is_not_understood_is_refused(config, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(ValueError, match=r"Expected TF_CONFIG to hold .*Received: TF_CONFIG="):
        distribute.build("auto")


def test_several_workers_need_a_cluster(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match="several workers for --strategy=multi_worker"):
        distribute.build("multi_worker")
