"""The contract of every augmentation, which the stream relies on: each one in `input_pipeline/ops/` is tested.

The test file of its module, tests/input_pipeline/ops/test_<module>.py, tests what it does, and may bring CHAINS, further
specs for which the properties below must hold; those of an augmentation's defaults hold without.
"""

import functools
import importlib
import importlib.util
import inspect
import itertools
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

import input_pipeline
from input_pipeline import IGNORE, boxes, ops, pipeline
from tests.input_pipeline.ops.samples import FILL, SIZE, example, group_of, seeds


def own(name):
    """The test file of the augmentation's module, None if there is none."""
    module = f"{__package__}.test_{ops.names()[name].__module__.rpartition('.')[2]}"
    return importlib.import_module(module) if importlib.util.find_spec(module) else None


def first_parameter(name):
    return next(iter(inspect.signature(ops.names()[name]).parameters))


ONE, ACROSS = ([name for name in ops.names() if first_parameter(name) == kind] for kind in ops.KINDS)
EVERY = " | ".join(ONE + ACROSS)
CHAINS = list(
    dict.fromkeys(
        ["", *ops.names(), *(chain for name in ops.names() for chain in getattr(own(name), "CHAINS", ()))] + [EVERY]
    )
)


@pytest.mark.parametrize("name", ops.names())
def test_is_documented_and_has_a_test(name):
    function = ops.names()[name]
    module = function.__module__.rpartition(".")[2]
    file = f"tests/input_pipeline/ops/test_{module}.py"
    assert (function.__doc__ or "").strip(), f"input_pipeline/ops/{module}.py: expected a docstring of {name}"
    assert own(name), f"Expected a test of the augmentation {name!r} in {file}. Received: no such file."
    text = pathlib.Path(own(name).__file__).read_text()
    assert re.search(rf"\b{name}\b", text), f"Expected a test of the augmentation {name!r} in {file}. Received: none."
    parameters = list(inspect.signature(function).parameters.values())
    assert [p.name for p in parameters[:2]] in (["example", "seed"], ["batch", "seed"]), name
    options = [p for p in parameters[2:] if p.name not in ("size", "fill")]
    assert all(p.default is not p.empty for p in options), f"{name}: every option has a default"


# With module scope, pytest runs the tests of a chain one after another, which share its results.
each = pytest.mark.parametrize("chain", CHAINS, scope="module")


@pytest.fixture(scope="module")
def results(chain):
    """The example augmented eagerly with each of `seeds(10)`, computed once."""
    augment = ops.build(chain, SIZE, FILL)
    return [{k: v.numpy() for k, v in augment(example(), seed).items()} for seed in seeds(10)]


@each
def test_eager_and_tf_data_agree(chain, results):
    augment = ops.build(chain, SIZE, FILL)
    streamed = tf.data.Dataset.from_tensors(example()).map(lambda x: augment(x, seeds(3)[2])).get_single_element()
    np.testing.assert_allclose(streamed["image"], results[2]["image"], atol=1e-3)
    # A label may differ if rounding decides on which side of the border of two pixels a coordinate lies.
    assert np.mean(streamed["label"] != results[2]["label"]) < 0.01


@each
def test_result_has_the_crop_size_the_range_and_known_ids(results):
    for result in results:
        assert result["image"].shape == (*SIZE, 3)
        assert result["label"].shape == SIZE
        assert result["image"].dtype == np.float32
        assert result["label"].dtype == np.uint8
        assert np.min(result["image"]) >= 0
        assert np.max(result["image"]) <= 255
        assert set(np.unique(result["label"])) <= {0, 1, 2, 3, 4, IGNORE}
        assert result["id"] == b"x"


@each
def test_same_seed_same_result_other_seed_another(chain, results):
    again = ops.build(chain, SIZE, FILL)(example(), seeds(1)[0])["image"]
    np.testing.assert_array_equal(results[0]["image"], again)
    assert any(np.any(results[0]["image"] != other["image"]) for other in results[1:])


@functools.cache
def compiled(name, size):
    """`augment(members, seeds) -> list of examples`: a group that is only mixed, or also cropped and augmented by other ops."""
    if name in ACROSS:
        mixed = tf.function(ops.mix(name, ops.GROUP))

        def augment(members, seeds):
            batch = mixed({k: tf.stack([x[k] for x in members]) for k in members[0]}, tf.stack(seeds))
            return [{k: v[i].numpy() for k, v in batch.items()} for i in range(ops.GROUP)]

        return augment
    one = tf.function(ops.build(name, size, (0.0, 0.0, 0.0)), reduce_retracing=True)
    return lambda members, seeds: [
        {k: v.numpy() for k, v in one(x, seed).items()} for x, seed in zip(members, seeds, strict=True)
    ]


def groups(count):
    """Seeds of `count` groups."""
    return [[tf.constant([group, i]) for i in range(ops.GROUP)] for group in range(count)]


def as_floats(members):
    """Members in the form in which ops that mix images get them."""
    return [x | {"image": tf.cast(x["image"], tf.float32)} for x in members]


@pytest.mark.parametrize("name", ACROSS)
def test_a_group_has_the_ids_of_its_members_and_differs_from_seed_to_seed(name):
    """Member i has the ids 10 i..10 i + 3, the last of which is rare, and the id IGNORE."""
    members = []
    for i in range(ops.GROUP):
        given = example(seed=i)
        label = given["label"].numpy() % 3 + 10 * i
        label[given["label"] == 4], label[:2, :5] = IGNORE, 10 * i + 3
        members.append(given | {"label": tf.constant(label), "id": tf.constant(str(i))})
    known, seen = {10 * i + k for i in range(ops.GROUP) for k in range(4)} | {IGNORE}, []
    batch = {k: tf.stack([x[k] for x in as_floats(members)]) for k in members[0]}
    for drawn in groups(4):
        found = compiled(name, None)(as_floats(members), drawn)
        eager = ops.mix(name, ops.GROUP)(batch, tf.stack(drawn))
        for i, result in enumerate(found):
            np.testing.assert_allclose(result["image"], eager["image"][i], atol=1e-3)
            np.testing.assert_array_equal(result["label"], eager["label"][i])
            assert result["image"].shape == (30, 40, 3)
            assert result["image"].min() >= 0
            assert result["image"].max() <= 255
            assert result["label"].dtype == np.uint8
            assert set(np.unique(result["label"])) <= known
            assert result["id"] == str(i).encode()
        seen.append(np.stack([result["image"] for result in found]))
    assert any(np.any(seen[0] != other) for other in seen[1:])


def grid(seed):
    """Cells of 3..6 pixels a side, of two classes, painted dark and light."""
    random = np.random.default_rng(seed)
    rows, columns = (np.repeat(np.arange(60), random.integers(3, 7, 60)) for _ in range(2))
    label = ((rows[:100, None] + columns[None, :120]) % 2).astype(np.uint8)
    return {"image": tf.constant(np.repeat((60 + 130 * label)[..., None], 3, -1)), "label": tf.constant(label)}


def smooth(values):
    """A binomial filter over nine pixels in both directions."""
    kernel = np.poly1d([0.5, 0.5]) ** 8
    for axis in (0, 1):
        values = np.apply_along_axis(np.convolve, axis, values, kernel.coeffs, "same")
    return values


@pytest.mark.parametrize("name", ops.names())
def test_a_drawn_grid_stays_aligned_to_a_quarter_pixel(name):
    """The shift between a picture and its label by least squares: picture - label = -shift * gradient of the label.

    An edge of a scaled label lies up to half a pixel from the picture's, whose place is exact; on average it is no quarter.
    """
    shifts = []
    for drawn in groups(3):
        members = [grid(i) for i in range(ops.GROUP)]
        for result in compiled(name, (64, 80))(as_floats(members) if name in ACROSS else members, drawn):
            image, label = result["image"].mean(-1), result["label"]
            valid = smooth((label == IGNORE).astype(float)) == 0
            if valid.sum() < 1000 or not {0, 1} <= set(label[valid]):
                continue
            wanted = smooth((label == 1).astype(float))
            # For any change of the colours: dark is 0 and light is 1, by the pixels of each class.
            dark, light = (np.mean(image[valid & (label == k)]) for k in (0, 1))
            found = smooth((image - dark) / (light - dark))
            slopes = np.stack([axis[valid] for axis in np.gradient(wanted)] + [wanted[valid], np.ones(valid.sum())], 1)
            shifts.append(np.linalg.lstsq(slopes, (found - wanted)[valid], rcond=None)[0][:2])
    assert len(shifts) >= 6
    assert np.abs(np.mean(shifts, 0)).max() < 0.25, f"{name}: {np.mean(shifts, 0)} pixels"
    assert np.abs(shifts).max() < 0.5, f"{name}: {shifts} pixels"


@pytest.mark.parametrize("name", ops.names())
def test_boxes_follow_their_objects(name):
    """Each member paints two objects of its own classes. Afterwards each box is around the rest of its object."""
    members, count = [], 0
    for i in range(ops.GROUP):
        label, first, second = np.zeros((40, 60), np.uint8), (10 + i, 5, 30, 25 - i), (40, 20 - i, 55, 38)
        for kind, (left, top, right, bottom) in ((1 + 2 * i, first), (2 + 2 * i, second)):
            label[top:bottom, left:right] = kind
        found = {"boxes": tf.constant([first, second], tf.float32), "box_classes": tf.constant([1 + 2 * i, 2 + 2 * i])}
        image = tf.constant(np.repeat(25 * label[..., None], 3, -1))
        members.append({"image": image, "label": tf.constant(label), **found})
    members = as_floats(members) if name in ACROSS else members
    for drawn in groups(6):
        for result in compiled(name, (36, 48))(members, drawn):
            label, found, classes = (result[k] for k in ("label", "boxes", "box_classes"))
            kept = {int(kind): box for kind, box in zip(classes, found, strict=True) if kind != boxes.NONE}
            assert np.all(found[classes == boxes.NONE] == 0)
            assert len(kept) == np.sum(classes != boxes.NONE)
            assert kept.keys() == set(np.unique(label)) - {0, IGNORE}
            for kind, box in kept.items():
                rows, columns = np.nonzero(label == kind)
                painted = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
                np.testing.assert_allclose(box, painted, atol=1.0 + 1e-3, err_msg=f"{name}, class {kind}")
            count += len(kept)
    assert count > 20


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    return input_pipeline.prepare(
        "streets(train=7, val=1, size=(32, 48))", cache_dir=str(tmp_path_factory.mktemp("cache"))
    )


def stream(prepared, chain, count, **changes):
    options = {"augment": chain, "crop_size": (24, 32), "batch_size": 6, "seed": 0} | changes
    return list(itertools.islice(pipeline.training(prepared, **options).as_numpy_iterator(), count))


def test_resumed_and_shared_streams_give_the_same(streets):
    """Batches of 6: groups of 4 begin and end within batches, within a worker's 3 and within the 7 images of an epoch."""
    whole = stream(streets, EVERY, 3)
    resumed = stream(streets, EVERY, 2, first_batch=1)
    workers = [stream(streets, EVERY, 2, first_batch=1, replicas=2, worker=(i, 2)) for i in range(2)]
    for key in ("id", "image", "label"):
        for i in range(2):
            np.testing.assert_array_equal(resumed[i][key], whole[1 + i][key])
            np.testing.assert_array_equal(np.concatenate([part[i][key] for part in workers]), whole[1 + i][key])


def test_the_stream_does_what_a_chain_does_by_itself(streets):
    """Of 7 images, batch 1 of 4 is the examples 4..6 of the first epoch and 0 of the second."""
    batch = stream(streets, EVERY, 2, batch_size=4)[1]
    stored = {e["id"].decode(): e for e in streets.encoded("train").map(input_pipeline.decode).as_numpy_iterator()}
    fold, run = tf.random.experimental.stateless_fold_in, tf.constant([0, 0])
    drawn = [fold(fold(run, tf.constant(n // 7, tf.int64)), tf.constant(n % 7, tf.int64)) for n in (4, 5, 6, 7)]
    members = [{k: tf.constant(v) for k, v in stored[name.decode()].items()} for name in batch["id"]]
    expected = group_of(EVERY, (24, 32), streets.statistics["train"]["mean"])(members, drawn)
    # If images differ by rounding, their JPEG files may differ by a level or two.
    assert np.mean(np.abs(batch["image"] - expected["image"]) > 1e-3) < 0.1
    np.testing.assert_array_equal(batch["label"], expected["label"])


@pytest.mark.parametrize("name", ops.names())
def test_an_unknown_option_lists_the_known(name):
    with pytest.raises(ValueError, match=rf"Expected {name}\("):
        ops.build(f"{name}(no_such_option=1)", SIZE, FILL)


def test_an_unknown_augmentation_lists_the_known():
    with pytest.raises(ValueError, match=f"Expected an augmentation: {', '.join(ops.names())}"):
        ops.build("afine", SIZE, FILL)
