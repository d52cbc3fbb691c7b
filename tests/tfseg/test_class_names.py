"""The class table is a part of a run: resuming, evaluating and starting from other weights match classes by name."""

import dataclasses
import pathlib

import numpy as np
import pytest
from absl import logging
from PIL import Image

import models
from input_pipeline import Class
from tfseg import checkpoint, class_names, evaluate, initialize, train

A, B, C = (Class(name, (10 * i, 0, 0), i) for i, name in enumerate("abc"))
ORDERS = {"abc": "0,a\n1,b\n2,c\n", "cab": "2,c\n0,a\n1,b\n"}


@pytest.fixture
def warnings(monkeypatch):
    lines = []
    monkeypatch.setattr(logging, "warning", lambda text, *values: lines.append(text % values))
    return lines


@pytest.fixture
def folder(tmp_path):
    """Six images of three bright stripes, each of another class."""
    root = tmp_path / "data"
    mask = np.repeat(np.arange(3, dtype=np.uint8), 16)[None].repeat(32, 0)
    for i in range(6):
        for kind, pixels in (("images", 100 * mask[..., None].repeat(3, 2) + np.uint8(i)), ("masks", mask)):
            (root / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / kind / f"{i}.png")
    (root / "classes.csv").write_text("id,name\n" + ORDERS["abc"])
    return root


@pytest.fixture
def run(config, folder, normed_network):
    return dataclasses.replace(config, dataset="folder", data_dir=str(folder), steps=2, class_weights="none")


def test_resuming_refuses_another_order_and_says_both(run, folder):
    train.train(run)
    before = pathlib.Path(run.workdir, "evaluation_val.json").read_text()
    (folder / "classes.csv").write_text("id,name\n" + ORDERS["cab"])
    with pytest.raises(ValueError, match=r"0 a, 1 b, 2 c\. Received from the data set: 0 c, 1 a, 2 b"):
        train.train(dataclasses.replace(run, steps=4))
    assert pathlib.Path(run.workdir, "evaluation_val.json").read_text() == before
    assert checkpoint.latest(run.workdir, "last")[1].step == 2


def test_evaluation_matches_classes_by_name(run, folder, warnings):
    expected = train.train(dataclasses.replace(run, steps=6))
    (folder / "classes.csv").write_text("id,name\n" + ORDERS["cab"])
    got = evaluate.evaluate(dataclasses.replace(run, mode="evaluate", checkpoint="last"))
    assert got["iou"] == expected["iou"]
    assert list(got["iou"]) == ["c", "a", "b"]
    assert any("matched by name" in line for line in warnings)
    (folder / "classes.csv").write_text("id,name\n0,a\n1,b\n2,d\n")
    with pytest.raises(ValueError, match="does not know d"):
        evaluate.evaluate(dataclasses.replace(run, mode="evaluate", checkpoint="last"))


def test_changes_that_keep_the_classes_are_said(run, folder, warnings):
    train.train(run)
    (folder / "classes.csv").write_text("id,name,r,g,b\n0,a,1,1,1\n1,b,2,2,2\n7,c,3,3,3\n2,ignore,9,9,9\n")
    Image.fromarray(np.full((32, 48), 7, np.uint8)).save(folder / "masks" / "5.png")
    train.train(dataclasses.replace(run, steps=3))
    assert any("c: raw id 2 before, 7 now" in line for line in warnings)
    assert any("resumes with other data" in line for line in warnings)
    assert checkpoint.latest(run.workdir, "last")[1].class_table()[2] == Class("c", (3, 3, 3), 7)
    assert "--steps=3\n" in pathlib.Path(run.workdir, "flags").read_text()


def test_the_same_data_resumes_without_a_word(run, warnings):
    train.train(run)
    warnings.clear()
    train.train(dataclasses.replace(run, steps=3))
    assert [line for line in warnings if "data" in line or "class" in line] == []


def test_init_from_has_no_effect_on_a_run_and_says_so(run, warnings, tmp_path):
    train.train(run)
    first = dataclasses.replace(run, workdir=str(tmp_path / "first"))
    train.train(first)
    train.train(dataclasses.replace(run, steps=3, init_from=first.workdir))
    assert any("--init_from" in line and "has no effect" in line for line in warnings)
    assert "--init_from=\n" in pathlib.Path(run.workdir, "flags").read_text()


def test_columns():
    # The network has a, b, c as 0, 1, 2 and two more outputs.
    assert class_names.columns([A, B, C], [A, B, C], 3) == [0, 1, 2]
    assert class_names.columns([A, B, C], [C, A], 5) == [2, 0, 1, 3, 4]
    with pytest.raises(ValueError, match="does not know d"):
        class_names.columns([A, B], [A, Class("d", (0, 0, 0))], 2)


def test_a_start_from_another_run_matches_classes_by_name(run):
    """The source knows a, b, c; the new run has c, new, a: c's weights go to the first class, a's to the third."""
    train.train(run)
    source, _ = evaluate.trained_model(run)
    model = models.build(run.model, 3)
    head = model.get_layer("logits")
    random = [v.numpy() for v in head.weights]
    initialize.transfer(model, run.workdir, [C, Class("new", (0, 0, 0)), A])
    theirs = source.get_layer("logits")
    for variable, before, start in zip(head.weights, theirs.weights, random, strict=True):
        np.testing.assert_array_equal(variable[..., 0], before[..., 2])
        np.testing.assert_array_equal(variable[..., 1], start[..., 1])
        np.testing.assert_array_equal(variable[..., 2], before[..., 0])
    for layer in model.layers:
        if layer.weights and layer is not head:
            for ours, original in zip(layer.weights, source.get_layer(layer.name).weights, strict=True):
                np.testing.assert_array_equal(ours, original)
