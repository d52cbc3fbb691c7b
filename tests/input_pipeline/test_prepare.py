import json
import logging
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import input_pipeline
from input_pipeline import progress
from input_pipeline.preparation import cache

SPEC = "streets(train=6, val=2, size=(32, 40))"


def contents(prepared, split="train"):
    return list(prepared.encoded(split).as_numpy_iterator())


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "data"
    rng = np.random.default_rng(0)
    for kind, shape in (("images", (6, 8, 3)), ("masks", (6, 8))):
        (root / kind).mkdir(parents=True)
        for i in range(5):
            pixels = rng.integers(0, 255 if kind == "images" else 3, shape, np.uint8)
            Image.fromarray(pixels).save(root / kind / f"{i}.png")
    (root / "classes.csv").write_text("id,name\n0,a\n1,b\n2,ignore\n")
    return root


def test_prepared_says_all_there_is_to_know(tmp_path):
    prepared = input_pipeline.prepare(SPEC, cache_dir=str(tmp_path))
    assert prepared.name == "streets"
    assert prepared.num_classes == len(prepared.classes) == 10
    assert (prepared.classes[0].name, prepared.classes[0].color) == ("sky", (70, 130, 180))
    assert prepared.splits == {"train": 6, "val": 2}
    assert tmp_path in prepared.directory.parents
    assert prepared.damaged_shards() == []
    train = prepared.encoded("train")
    assert train.cardinality() == 6
    assert [e["id"] for e in contents(prepared)] == [e["id"] for e in contents(prepared)]
    assert sorted(e["id"].decode() for e in contents(prepared)) == [f"train_{i:06}" for i in range(6)]
    example = next(iter(input_pipeline.dataset(SPEC, "val", cache_dir=str(tmp_path))))
    assert example["image"].shape == (32, 40, 3)
    assert example["image"].dtype == example["label"].dtype == np.uint8
    assert example["label"].shape == (32, 40)


def test_statistics_equal_a_count_by_hand(folder, tmp_path):
    prepared = input_pipeline.prepare("folder(val_fraction=0.0)", str(folder), str(tmp_path / "cache"))
    label = np.stack([np.asarray(Image.open(folder / f"masks/{i}.png")) for i in range(5)])
    image = np.stack([np.asarray(Image.open(folder / f"images/{i}.png")) for i in range(5)]).astype(np.float64)
    statistics = prepared.statistics["train"]
    present = [(label == c).any((1, 2)) for c in range(2)]
    assert statistics["pixels"] == [(label == 0).sum(), (label == 1).sum()]
    assert statistics["images"] == [p.sum() for p in present]
    assert statistics["pixels_present"] == [(label[p] < 2).sum() for p in present]
    assert statistics["ignored"] == (label == 2).sum()
    np.testing.assert_allclose(statistics["mean"], image.mean((0, 1, 2)))
    np.testing.assert_allclose(statistics["std"], image.std((0, 1, 2)))
    assert statistics["sizes"] == {"6x8": 5}


def test_what_is_prepared_is_not_prepared_again(tmp_path, monkeypatch):
    first = input_pipeline.prepare(SPEC, cache_dir=str(tmp_path))
    monkeypatch.setattr("input_pipeline.preparation.builder.Builder.download_and_prepare", None)
    assert input_pipeline.prepare(SPEC, cache_dir=str(tmp_path)) == first


def test_tfds_opens_the_records_too(tmp_path):
    import tensorflow_datasets as tfds

    prepared = input_pipeline.prepare(SPEC, cache_dir=str(tmp_path))
    builder = tfds.builder_from_directory(str(prepared.directory))
    assert builder.info.splits["train"].num_examples == 6
    assert builder.info.features["label"].names == [c.name for c in prepared.classes]
    example = next(iter(builder.as_dataset("train")))
    assert example["image"].shape == (32, 40, 3)
    assert example["label"].shape == (32, 40, 1)


def test_a_prepared_folder_opens_by_data_dir_alone(folder, tmp_path):
    cached = input_pipeline.prepare("folder(val_fraction=0.4)", str(folder), str(tmp_path / "cache"))
    moved = tmp_path / "elsewhere"
    shutil.copytree(cached.directory, moved)
    shutil.rmtree(folder)
    shutil.rmtree(tmp_path / "cache")
    prepared = input_pipeline.prepare("folder", str(moved))
    assert (prepared.classes, prepared.splits, prepared.statistics) == (
        cached.classes,
        cached.splits,
        cached.statistics,
    )
    assert len(contents(prepared)) == 3
    with pytest.raises(ValueError, match=r"records of camvid.*holds folder"):
        input_pipeline.prepare("camvid", str(moved))
    with pytest.raises(ValueError, match=r"val_fraction=0\.1.*val_fraction=0\.4"):
        input_pipeline.prepare("folder(val_fraction=0.1)", str(moved))
    with pytest.raises(ValueError, match=r"source tree.*overwrite"):
        input_pipeline.prepare("folder", str(moved), overwrite=True)


def test_the_cache_is_the_users(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert tmp_path / "tfseg" / "streets" in input_pipeline.prepare(SPEC).directory.parents
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache._default_cache() == Path.home() / ".cache" / "tfseg"


@pytest.mark.parametrize("change", ["content", "another file", "class table", "options"])
def test_a_changed_source_is_noticed(change, folder, tmp_path, caplog):
    def prepare(spec="folder"):
        return input_pipeline.prepare(spec, str(folder), str(tmp_path / "cache"))

    before = prepare()
    mask = folder / "masks/0.png"
    if change == "content":
        Image.fromarray(np.zeros((6, 8), np.uint8)).save(mask)
        os.utime(mask, (1, 1))
    elif change == "another file":
        for kind in ("images", "masks"):
            shutil.copy(folder / kind / "0.png", folder / kind / "new.png")
    elif change == "class table":
        (folder / "classes.csv").write_text("id,name\n0,a\n1,c\n2,ignore\n")
    with caplog.at_level(logging.WARNING, "absl"):
        after = prepare("folder(seed=1)" if change == "options" else "folder")
    assert after.directory != before.directory
    assert ("has changed since" in caplog.text) == (change != "options")
    assert prepare("folder(seed=1)" if change == "options" else "folder") == after


def test_overwrite_builds_anew(folder, tmp_path):
    first = input_pipeline.prepare("folder", str(folder), str(tmp_path / "cache"))
    shard = next(first.directory.glob("*train*"))
    shard.write_bytes(shard.read_bytes()[:-3])
    with pytest.raises(ValueError, match=r"bytes\. Received: \d+ bytes\. .*--overwrite"):
        input_pipeline.prepare("folder", str(folder), str(tmp_path / "cache"))
    shard.unlink()
    with pytest.raises(ValueError, match=r"no file"):
        input_pipeline.prepare("folder", str(folder), str(tmp_path / "cache"))
    again = input_pipeline.prepare("folder", str(folder), str(tmp_path / "cache"), overwrite=True)
    assert again == first
    assert again.damaged_shards() == []
    assert not list((tmp_path / "cache").rglob("incomplete*"))


def test_overwrite_that_fails_keeps_what_was_there(folder, tmp_path):
    first = input_pipeline.prepare("folder", str(folder), str(tmp_path / "cache"))
    mask = folder / "masks/0.png"
    stat, size = mask.stat(), mask.stat().st_size
    mask.write_bytes(b"x" * size)
    os.utime(mask, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # so that the listing is the same
    with pytest.raises(ValueError, match=r"masks.0\.png"):
        input_pipeline.prepare("folder", str(folder), str(tmp_path / "cache"), overwrite=True)
    assert input_pipeline.prepare("folder", str(folder), str(tmp_path / "cache")) == first
    assert len(contents(first)) == 4


def test_damaged_shards_are_named(tmp_path):
    prepared = input_pipeline.prepare(SPEC, cache_dir=str(tmp_path))
    train, val = (prepared.directory / prepared.shards[s][0]["file"] for s in ("train", "val"))
    whole = train.read_bytes()
    train.write_bytes(whole[:300] + bytes([whole[300] ^ 1]) + whole[301:])  # one bit, the same size
    assert re.fullmatch(rf"{train}: corrupted record at \d+ \(after 0 of 6 records\)", *prepared.damaged_shards())
    train.write_bytes(b"")
    val.unlink()
    damaged = prepared.damaged_shards()
    assert damaged[0] == f"{train}: 0 of 6 records"
    assert str(val) in damaged[1]


def test_unreadable_facts_are_an_error(tmp_path):
    prepared = input_pipeline.prepare(SPEC, cache_dir=str(tmp_path))
    (prepared.directory / "statistics.json").write_text(json.dumps({"name": "streets"}))
    with pytest.raises(ValueError, match=r"statistics\.json\. Received: KeyError.*--overwrite"):
        input_pipeline.prepare(SPEC, cache_dir=str(tmp_path))


def test_progress_counts_each_split(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS", 0.0)  # a line for every image
    input_pipeline.prepare(SPEC, cache_dir=str(tmp_path))
    bars = capfd.readouterr()
    assert re.search(r"streets train  6 of 6 images, .* images/s, 0:00:00 left", bars.err)
    assert re.search(r"streets val  2 of 2 images, .* images/s", bars.err)
    assert "Generating" not in bars.err
    assert bars.out == ""


def test_large_splits_spill_to_disk_and_keep_every_record(tmp_path, monkeypatch):
    from tensorflow_datasets.core import utils

    assign = utils.temporary_assignment
    monkeypatch.setattr(
        utils, "temporary_assignment", lambda o, k, v: assign(o, k, 20_000 if k == "MAX_MEM_BUFFER_SIZE" else v)
    )
    spilled = input_pipeline.prepare(SPEC.replace("=6", "=20"), cache_dir=str(tmp_path / "a"))
    monkeypatch.undo()
    whole = input_pipeline.prepare(SPEC.replace("=6", "=20"), cache_dir=str(tmp_path / "b"))
    assert spilled.statistics == whole.statistics
    assert contents(spilled) == contents(whole)


def test_no_network(tmp_path, monkeypatch):
    import socket

    def refuse(*_, **__):
        raise AssertionError("the network")

    for name in ("getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    input_pipeline.prepare(SPEC, cache_dir=str(tmp_path))


def test_names():
    assert {"camvid", "folder", "streets"} <= set(input_pipeline.names())
    assert not [name for name in input_pipeline.names() if name.startswith("_")]
    assert input_pipeline.IGNORE == 255
