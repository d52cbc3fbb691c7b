"""Mixtures of data sets: what an epoch holds, its order, what is known of it, and what is refused."""

import dataclasses
import itertools

import numpy as np
import pytest

import input_pipeline
from input_pipeline import mixture
from tests.input_pipeline import trees
from tests.input_pipeline.test_stream import assert_same, stream, taken
from tfseg import prepare as prepare_lib
from tfseg.config import Config

TABLE = "id,name\n0,road\n1,car\n"
A, B = 6, 4  # images of the two data sets


def write(folder, name, count, table=TABLE, size=(4, 4), car=1):
    """Images of one colour, its number; in each mask `car` pixels are cars."""
    for number in range(count):
        mask = np.zeros(size, np.uint8)
        mask.ravel()[:car] = 1
        trees.save(folder / "images" / "train" / f"{name}{number}.png", np.full((*size, 3), number, np.uint8))
        trees.save(folder / "masks" / "train" / f"{name}{number}.png", mask)
    (folder / "classes.csv").write_text(table)
    return str(folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("mixed")
    return write(root / "a", "a", A), write(root / "b", "b", B, car=3), str(root / "cache")


@pytest.fixture(scope="module")
def parts(folders):
    return [input_pipeline.prepare("folder", folder, folders[2]) for folder in folders[:2]]


@pytest.fixture(scope="module")
def mixed(parts):
    """6 images of the first in an epoch, and for two of them one of the second: 3."""
    return mixture.mix([(1.0, parts[0]), (0.5, parts[1])])


def of(prepared, **options):
    return stream(prepared, **{"augment": "brightness(0.2)", "crop_size": (4, 4), "batch_size": 3, **options})


def ids(batches):
    return [name.decode() for batch in batches for name in batch["id"]]


def test_the_parts_of_a_sum():
    found = mixture.parse("camvid(classes=12) + 0.5*folder(val_fraction=0.1, data_dir='dusk') + streets", "CamVid")
    assert [dataclasses.astuple(part) for part in found] == [
        (1.0, "camvid(classes=12)", "CamVid"), (0.5, "folder(val_fraction=0.1)", "dusk"), (1.0, "streets", ""),
    ]  # fmt: skip
    assert mixture.parse("folder", "x") == [mixture.Part(1.0, "folder", "x")]
    with pytest.raises(ValueError, match="Expected factors above 0"):
        mixture.parse("camvid + 0*folder", "x")


def test_an_epoch_has_all_of_the_first_and_the_others_go_on_in_passes_of_their_own(mixed):
    assert mixed.splits["train"] == 9
    names = ids(taken(of(mixed), 12))  # four epochs of nine
    epochs = [names[start : start + 9] for start in range(0, 36, 9)]
    for epoch in epochs:
        assert sorted(name for name in epoch if name[0] == "a") == [f"a{i}" for i in range(A)]
    others = [name for name in names if name[0] == "b"]
    assert len(others) == 12
    for start in range(0, 12, B):
        assert sorted(others[start : start + B]) == [f"b{i}" for i in range(B)]
    # Neither the places of the data sets nor the order within one is that of another epoch.
    assert len({tuple(name[0] for name in epoch) for epoch in epochs}) > 1
    assert len({tuple(name for name in epoch if name[0] == "a") for epoch in epochs}) > 1


def test_a_stream_begins_anywhere_with_any_cache_and_depends_on_the_seed(mixed):
    whole = taken(of(mixed), 8)
    for first_batch, cache in ((1, "memory"), (4, "none"), (5, "disk")):
        assert_same(taken(of(mixed, first_batch=first_batch, cache=cache), 3), whole[first_batch : first_batch + 3])
    assert ids(taken(of(mixed, seed=1), 3)) != ids(whole[:3])
    assert ids(taken(of(mixed, stream=1), 3)) != ids(whole[:3])


@pytest.mark.slow  # three streams to trace; the places of a mixture are shared as those of one data set
def test_workers_share_the_batches(mixed):
    whole = taken(of(mixed, batch_size=4), 3)
    shares = [taken(of(mixed, batch_size=4, replicas=2, worker=(i, 2)), 3) for i in (0, 1)]
    assert ids(whole) == ids(itertools.chain(*zip(*shares, strict=True)))


def test_what_is_known_of_an_epoch(mixed, parts):
    """Six masks of 1 car pixel of 16; three quarters of four masks of 3: 6 + 9 and 90 + 39 pixels."""
    known = mixed.statistics["train"]
    assert (known["pixels"], known["images"], known["ignored"]) == ([129, 15], [9, 9], 0)
    assert known["pixels_present"] == [144, 144]
    assert known["sizes"] == {"4x4": 9}
    # Values 0..5 once each, 0..3 three quarters of a time each: (15 + 4.5) / 9; squares (55 + 10.5) / 9.
    np.testing.assert_allclose(known["mean"], [19.5 / 9] * 3)
    np.testing.assert_allclose(known["std"], [np.sqrt(65.5 / 9 - (19.5 / 9) ** 2)] * 3)
    np.testing.assert_allclose(known["weights"]["enet"], 1 / np.log(1.02 + np.array([129, 15]) / 144))
    assert mixed.digest not in {part.digest for part in parts}
    assert mixed.digest != mixture.mix([(1.0, parts[0]), (1.0, parts[1])]).digest
    assert mixture.mix([(2.0, parts[0])]) is parts[0]


def test_a_damaged_part_is_found(mixed, parts):
    path = parts[1].directory / parts[1].shards["train"][0]["file"]
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    try:
        [found] = mixed.damaged_shards()
    finally:
        path.write_bytes(content)
    assert str(path) in found


def test_classes_that_differ_are_refused_before_anything_is_prepared(folders, tmp_path):
    other = write(tmp_path / "other", "o", 1, "id,name\n0,road\n1,tree\n")
    more = write(tmp_path / "more", "o", 1, TABLE + "2,tree\n")
    cases = (
        (other, "folder.* with 2 classes; class 1 is 'tree' and not 'car'"),
        (more, "3 classes; the rest is the same"),
    )
    for folder, message in cases:
        with pytest.raises(ValueError, match=f"Expected the 2 classes of folder.*{message}.*road, car"):
            mixture.check(f"folder + folder(data_dir={folder!r})", folders[0])
    with pytest.raises(
        ValueError, match=r"Expected the tensors of folder.*Received: folder.* with image, label, id, boxes"
    ):
        mixture.check("folder + folder(boxes='boxes')", folders[0])
    with pytest.raises(FileNotFoundError, match="Expected data_dir to be a folder"):
        mixture.check("folder + folder(data_dir='nowhere')", folders[0])


def test_a_run_trains_on_the_mixture_and_is_evaluated_on_the_first(folders, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path.parent)
    first, second, cache = folders
    config = Config(dataset=f"folder + 0.5*folder(data_dir={second!r})", data_dir=first, cache_dir=cache)
    assert prepare_lib.records(config).splits == {"train": A}
    assert prepare_lib.mixed(config).splits == {"train": 9}
    assert prepare_lib.prepare(config).splits == {"train": 9}
    assert capsys.readouterr().out.count("Records in") == 2
    # A relative folder in the spec becomes absolute, as --data_dir does.
    relative = Config(dataset="folder + 0.5*folder(data_dir='b')", data_dir="a")
    assert relative.dataset == f"folder + 0.5*folder(data_dir='{tmp_path.parent / 'b'}')"
    assert Config(dataset="folder + data_dir").dataset == "folder + data_dir"  # refused later
