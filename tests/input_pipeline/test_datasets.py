"""The contract of every data set: each one in `input_pipeline/datasets/` is tested.

Its own test file, tests/input_pipeline/test_datasets_<name>.py, brings `fake_tree(root) -> spec`: it makes the folder `root`
with a few tiny images in the data set's exact layout, and returns the spec that reads them, usually the name alone. A data
set without a source (its LAYOUT is "") makes no folder and returns the spec of a few small images. SHARED_COLORS, where the
published colours are not all different, is the number of classes that share theirs: nobody may add to it unnoticed.
"""

import importlib
import importlib.util

import numpy as np
import pytest

import input_pipeline
from input_pipeline import IGNORE
from tfseg import spec as specs

NAMES = input_pipeline.names()


def builder(name):
    return specs.find("input_pipeline.datasets", name).Builder


def own(name):
    """The data set's own test file, None if there is none."""
    module = f"tests.input_pipeline.test_datasets_{name}"
    return importlib.import_module(module) if importlib.util.find_spec(module) else None


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module", params=NAMES)
def prepared(request, cache):
    """The records of a fake tree, and how to ask for them again."""
    name = request.param
    fake_tree = getattr(own(name), "fake_tree", None)
    assert fake_tree, (
        f"Expected fake_tree(root) -> spec in tests/input_pipeline/test_datasets_{name}.py: a few tiny images in the exact "
        f"layout of {name!r}. Received: none."
    )
    root = cache / f"source_{name}"
    spec = fake_tree(root)
    assert specs.parse(spec).name == name
    arguments = spec, str(root) if builder(name).LAYOUT else "", str(cache)
    return input_pipeline.prepare(*arguments), arguments


@pytest.mark.parametrize("name", NAMES)
def test_says_what_it_is_and_where_it_comes_from(name):
    file, of = f"input_pipeline/datasets/{name}.py", builder(name)
    assert (specs.find("input_pipeline.datasets", name).__doc__ or "").strip(), f"{file}: expected a docstring"
    assert (of.__doc__ or "").strip(), f"{file}: expected a docstring of Builder"
    assert of.LICENCE, f'{file}: expected Builder.LICENCE; "your own" of what users bring'
    if of.LAYOUT and of.LICENCE != "your own":
        assert of.URL.startswith("http"), f"{file}: expected Builder.URL, where the data set is published"


@pytest.mark.parametrize("name", NAMES)
def test_its_own_class_table(name):
    """Of a data set that has one: folder and tfds read theirs."""
    table = getattr(specs.find("input_pipeline.datasets", name), "CLASSES", None)
    if table is None or isinstance(table, dict):  # each version has its table; those of the fake tree are tested below
        return
    check(table, name)


def test_the_class_table(prepared):
    records, _ = prepared
    check(records.classes, records.name)


def check(classes, data_set):
    names, colors = ([getattr(row, what) for row in classes] for what in ("name", "color"))
    assert 0 < len(classes) <= IGNORE
    assert all(names), names
    assert len(set(names)) == len(names), sorted(n for n in set(names) if names.count(n) > 1)
    twice = [row for row in classes if colors.count(row.color) > 1]
    assert len(twice) == getattr(own(data_set), "SHARED_COLORS", 0), twice
    assert all(len(c) == 3 and all(isinstance(v, int) and 0 <= v <= 255 for v in c) for c in colors)


def test_a_tree_becomes_records(prepared):
    records, _ = prepared
    assert records.splits
    for split, count in records.splits.items():
        assert count > 0
        examples = list(records.encoded(split).map(input_pipeline.decode).as_numpy_iterator())
        assert len(examples) == count
        assert len({example["id"] for example in examples}) == count
        for example in examples:
            assert example["image"].dtype == example["label"].dtype == np.uint8
            assert example["image"].shape == (*example["label"].shape, 3)
            ids = np.unique(example["label"])
            assert np.all((ids < records.num_classes) | (ids == IGNORE)), ids
            assert np.any(ids != IGNORE), "else the fake tree tests no mask"
        counted = records.statistics[split]
        valid = sum(np.sum(example["label"] != IGNORE) for example in examples)
        assert sum(counted["pixels"]) == valid


def test_records_are_opened_the_second_time(prepared):
    records, arguments = prepared
    before = {path: path.stat().st_mtime_ns for path in records.directory.iterdir()}
    assert input_pipeline.prepare(*arguments) == records
    assert {path: path.stat().st_mtime_ns for path in records.directory.iterdir()} == before
