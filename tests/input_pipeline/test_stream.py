"""Forms of the training stream (caches, workers, the device's part); each gives the same as the plain stream."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

import input_pipeline
from input_pipeline import decoded, pipeline
from tests.input_pipeline import test_boxes

CHAIN = "affine(scale=(0.8, 1.2)) | brightness(0.2) | contrast(0.3) | saturation(0.2)"


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    return input_pipeline.prepare(
        "streets(train=7, val=3, size=(32, 48))", cache_dir=str(tmp_path_factory.mktemp("cache"))
    )


def stream(prepared, **changes):
    options = {"augment": CHAIN, "crop_size": (24, 32), "batch_size": 4, "seed": 0} | changes
    return pipeline.training(prepared, **options)


def taken(dataset, count):
    return list(itertools.islice(dataset.as_numpy_iterator(), count))


def assert_same(got, expected, **tolerance):
    for one, other in zip(got, expected, strict=True):
        assert one.keys() == other.keys()
        np.testing.assert_array_equal(one["id"], other["id"])
        np.testing.assert_array_equal(one["label"], other["label"])
        np.testing.assert_allclose(one["image"], other["image"], **{"atol": 0, "rtol": 0} | tolerance)


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_a_cache_changes_nothing_nor_does_resuming_with_it(streets, cache):
    plain = taken(stream(streets), 6)
    assert_same(taken(stream(streets, cache=cache), 6), plain)
    assert_same(taken(stream(streets, cache=cache, first_batch=2), 4), plain[2:])


def test_memory_is_decoded_once(streets, monkeypatch):
    opened = []
    monkeypatch.setattr(
        pipeline.records, "decode", lambda x, decode=pipeline.records.decode: opened.append(1) or decode(x)
    )
    examples = decoded.memory(streets, "train")

    def counted():
        return sum(1 for _ in examples)

    assert counted() == 7
    for shard in streets.shards["train"]:  # nothing is read again
        path = streets.directory / shard["file"]
        path.rename(path.with_suffix(".away"))
    try:
        assert counted() == 7
    finally:
        for shard in streets.shards["train"]:
            path = streets.directory / shard["file"]
            path.with_suffix(".away").rename(path)
    assert len(opened) == 1  # once in the graph


def test_the_disk_keeps_what_was_decoded(streets):
    folder = decoded.disk(streets, "train")
    assert folder == streets.directory / "decoded_train"
    assert len(list(folder.iterdir())) == 7
    # 3 + 1 bytes a pixel, behind 8 bytes of size, and the name behind them.
    assert all(8 + 4 * 32 * 48 < path.stat().st_size < 8 + 4 * 32 * 48 + 100 for path in folder.iterdir())
    order = streets.serialized("train").map(lambda r: input_pipeline.decode(pipeline.records.parse(r)))
    for path, expected in zip(decoded.paths(folder, 7), order.as_numpy_iterator(), strict=True):
        got = decoded.read(path)
        for key in ("image", "label", "id"):
            np.testing.assert_array_equal(got[key], expected[key])
    assert not list(streets.directory.glob("*.writing.*"))


def test_an_interrupted_disk_cache_leaves_nothing(tmp_path, monkeypatch):
    prepared = input_pipeline.prepare("streets(train=4, val=1, size=(32, 48))", cache_dir=str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(decoded, "_content", lambda example: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            decoded.disk(prepared, "train")
    assert not list(prepared.directory.glob("decoded*"))
    assert len(list(decoded.disk(prepared, "train").iterdir())) == 4


@pytest.mark.parametrize(("kind", "error"), [("memory", MemoryError), ("disk", OSError)])
def test_a_cache_that_does_not_fit_is_refused_with_its_size(streets, kind, error, monkeypatch, tmp_path):
    # 7 images of 32 x 48 at 4 bytes a pixel: 43,008 bytes, above 80 % of 50,000 and below those of 60,000.
    assert decoded.size(streets, "train") == 43_008
    prepared = input_pipeline.prepare("streets(train=7, val=3, size=(32, 48))", cache_dir=str(tmp_path))
    for free, fits in ((50_000, False), (60_000, True)):
        monkeypatch.setattr(decoded, "free_memory", lambda free=free: free)
        monkeypatch.setattr(decoded.shutil, "disk_usage", lambda _, free=free: type("Usage", (), {"free": free}))
        if fits:
            getattr(decoded, kind)(prepared, "train")
        else:
            with pytest.raises(error, match=rf"Expected room for the decoded train split.*--cache={kind}.*80%"):
                getattr(decoded, kind)(prepared, "train")


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_boxes_come_back_from_a_cache(cache, tmp_path):
    root = test_boxes.folder(tmp_path / "data")
    (root / "boxes/b.xml").write_text(test_boxes.xml([]))
    prepared = test_boxes.prepare(tmp_path)
    plain, cached = (taken(stream(prepared, batch_size=2, cache=kind), 3) for kind in ("none", cache))
    assert_same(cached, plain)
    for one, other in zip(cached, plain, strict=True):
        np.testing.assert_array_equal(one["boxes"], other["boxes"])
        np.testing.assert_array_equal(one["box_classes"], other["box_classes"])


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_share_each_batch_and_together_give_the_whole(streets, workers):
    whole = taken(stream(streets), 6)
    parts = [
        taken(stream(streets, replicas=workers, worker=(index, workers), first_batch=2), 4) for index in range(workers)
    ]
    for number, expected in enumerate(whole[2:]):
        for key in ("id", "image", "label"):
            together = np.concatenate([part[number][key] for part in parts])
            np.testing.assert_array_equal(together, expected[key])


def test_a_worker_decodes_its_own_share_only(streets):
    """Every example of another worker is damaged, which this worker never notices."""
    ids = [batch["id"] for batch in taken(stream(streets, batch_size=2), 3)]
    others = {name for batch in ids for name in batch[1:]}
    parse = pipeline.records.parse

    def damaged(record, features):
        example = parse(record, features)
        bad = tf.reduce_any(example["id"] == tf.constant(sorted(others)))
        return {**example, "label": tf.where(bad, b"no picture", example["label"])}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline.records, "parse", damaged)
        mine = taken(stream(streets, batch_size=2, replicas=2, worker=(0, 2)), 3)
        with pytest.raises(tf.errors.InvalidArgumentError):
            taken(stream(streets, batch_size=2, replicas=2, worker=(1, 2)), 3)
    assert [batch["id"][0] for batch in mine] == [batch[0] for batch in ids]


def test_the_device_finishes_what_the_host_left(streets):
    host = taken(stream(streets), 3)
    batches = taken(stream(streets, augment_device="device"), 3)
    assert batches[0]["image"].dtype == np.uint8
    finish = tf.function(pipeline.finisher(CHAIN, (24, 32), 4, "device"))
    finished = [{k: v.numpy() for k, v in finish(batch).items()} for batch in batches]
    # Rounding to whole levels before the colour, which takes up to 1.3 * 1.2 times a difference of 0.5.
    assert_same(finished, host, atol=0.5 * 1.3 * 1.2 + 0.05)
    same = pipeline.finisher(CHAIN, (24, 32), 4, "host")
    assert same(host[0]) is host[0]


ACROSS = "affine(scale=(1.0, 1.0), flip=True) | brightness(0.2) | cutmix(1.0) | mosaic(0.5)"


def test_the_device_mixes_the_groups_that_the_host_mixes(streets):
    host = taken(stream(streets, augment=ACROSS, batch_size=8), 2)
    finish = tf.function(pipeline.finisher(ACROSS, (24, 32), 8, "device"))
    batches = stream(streets, augment=ACROSS, batch_size=8, augment_device="device")
    finished = [{k: v.numpy() for k, v in finish(batch).items()} for batch in taken(batches, 2)]
    # The crops are whole pixels, so nothing is rounded.
    assert_same(finished, host, atol=1e-3)


@pytest.mark.parametrize("batch_size", [2, 6, 8])
def test_groups_are_the_same_whatever_the_batch_size_and_the_replicas(streets, batch_size):
    """24 examples are 6 groups, which batches of 2 and replicas of 3 divide."""
    whole = taken(stream(streets, augment=ACROSS, batch_size=4), 6)
    parts = taken(stream(streets, augment=ACROSS, batch_size=batch_size, replicas=2), 48 // batch_size)
    for key in ("id", "image", "label"):
        expected, got = (np.concatenate([batch[key] for batch in batches]) for batches in (whole, parts))
        np.testing.assert_array_equal(got, expected)


def test_the_device_refuses_batches_that_are_no_whole_groups():
    message = r"Expected a multiple of 4 images a replica.*Received: 6 and --augment=affine.*--augment_device=host"
    with pytest.raises(ValueError, match=message):
        pipeline.finisher(ACROSS, (24, 32), 6, "device")
    batch = {"image": 1}
    assert pipeline.finisher(ACROSS, (24, 32), 6, "host")(batch) is batch


def test_batches_of_mixed_groups_have_static_shapes_and_leave_nothing_else_in(streets):
    spec = stream(streets, augment=ACROSS, batch_size=6).element_spec
    assert spec == {
        "image": tf.TensorSpec([6, 24, 32, 3], tf.float32),
        "label": tf.TensorSpec([6, 24, 32], tf.uint8),
        "id": tf.TensorSpec([6], tf.string),
    }


def test_boxes_are_mixed_with_their_images(tmp_path):
    test_boxes.folder(tmp_path / "data")
    (tmp_path / "data/boxes/b.xml").write_text(test_boxes.xml([]))
    prepared = test_boxes.prepare(tmp_path)
    plain, mixed = (stream(prepared, augment=chain, batch_size=2).element_spec for chain in ("", "cutmix(1.0)"))
    assert mixed["boxes"].shape == [2, 2 * plain["boxes"].shape[1], 4]
    for batch in taken(stream(prepared, augment="cutmix(1.0)", batch_size=2), 3):
        assert np.all((batch["box_classes"] >= 0) == (batch["boxes"][..., 2] > batch["boxes"][..., 0]))


def test_several_shards_are_read_in_the_same_order_every_time(streets, tmp_path):
    folder = tmp_path / "records"
    folder.mkdir()
    records = list(streets.serialized("train", readers=1).as_numpy_iterator())
    shards = []
    for number in range(3):
        path = folder / f"part-{number}"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in records[number::3]:
                writer.write(record)
        shards.append({"file": path.name, "bytes": path.stat().st_size, "records": len(records[number::3])})
    sharded = type(streets)(
        **{f: getattr(streets, f) for f in ("name", "classes", "splits", "statistics", "options")},
        directory=folder,
        shards={"train": shards},
    )
    first, again = ([b["id"].tolist() for b in taken(stream(sharded), 6)] for _ in range(2))
    assert first == again
    assert len({name for batch in first for name in batch}) == 7
