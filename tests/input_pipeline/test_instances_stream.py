"""Instances from a data set to its records, caches and streams."""

import numpy as np
import pytest
import tensorflow as tf

import input_pipeline
from input_pipeline import boxes, decoded, order, pipeline
from input_pipeline.datasets import streets


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("cache"))
    return input_pipeline.prepare("streets(train=5, val=3, size=(48, 64), instances=True)", cache_dir=folder)


def test_a_data_set_says_what_its_batches_hold(drawn):
    names = ("image", "label", "id", "boxes", "box_classes", "instances")
    assert drawn.features == names
    assert input_pipeline.features("streets(instances=True)") == names
    assert input_pipeline.features("streets") == names[:3]
    assert input_pipeline.features("cityscapes(boxes=True)") == names[:5]
    assert input_pipeline.features("streets(instances=True)", str(drawn.directory)) == names


def test_records_without_instances_are_not_taken_for_some_with(tmp_path):
    plain = input_pipeline.prepare("streets(train=1, val=1)", cache_dir=str(tmp_path))
    with pytest.raises(ValueError, match=r"prepared with instances=True\..* prepared with instances=False"):
        input_pipeline.prepare("streets(train=1, val=1, instances=True)", str(plain.directory))


def test_records_open_with_the_options_they_were_made_with(drawn):
    """A size is a tuple in the spec and a text in the records."""
    spec = "streets(train=5, val=3, size=(48, 64), instances=True)"
    assert input_pipeline.prepare(spec, str(drawn.directory)).splits == {"train": 5, "val": 3}
    with pytest.raises(ValueError, match=r"prepared with size=\(64, 48\)\..* prepared with size='48x64'"):
        input_pipeline.prepare("streets(size=(64, 48))", str(drawn.directory))


def test_caches_carry_them(drawn):
    """What every cache gives is the example of the records; what a stream makes of it is a function of the example."""
    plain, *cached = [order.source(drawn, cache) for cache in ("none", "memory", "disk")]
    for expected, *others in zip(*([read(x) for x in examples] for examples, read in (plain, *cached)), strict=True):
        for other in others:
            assert set(other) == set(expected)
            for key in ("label", "instances", "boxes", "box_classes"):
                assert other[key].dtype == expected[key].dtype
                np.testing.assert_array_equal(other[key], expected[key])
    # 3 + 1 + 2 bytes a pixel.
    assert decoded.size(drawn, "train") == 5 * 6 * 48 * 64


def test_streams_carry_them(drawn):
    """Mixed images have the rows of two, and the objects of a batch are those of its ids."""
    stream = pipeline.training(drawn, augment="cutmix(1.0)", crop_size=(32, 48), batch_size=4, seed=0)
    most = drawn.boxes["train"]
    assert stream.element_spec["instances"] == tf.TensorSpec([4, 32, 48], tf.int32)
    assert stream.element_spec["box_classes"] == tf.TensorSpec([4, 2 * most], tf.int32)
    batch = next(stream.as_numpy_iterator())
    for ids, classes, label in zip(batch["instances"], batch["box_classes"], batch["label"], strict=True):
        left = np.count_nonzero(classes != boxes.NONE)
        assert set(np.unique(ids)) - {0} == set(range(1, left + 1))
        np.testing.assert_array_equal(label[ids > 0], classes[ids[ids > 0] - 1])


def test_an_example_that_fills_a_batch_up_has_no_object(drawn):
    _, last = pipeline.evaluation(drawn, "val", batch_size=2).as_numpy_iterator()
    assert last["instances"][0].any()
    assert not last["instances"][1].any()
    assert np.all(last["box_classes"][1] == boxes.NONE)
    assert not last["boxes"][1].any()


def test_the_streets_of_a_record_are_those_that_were_drawn(drawn):
    """An object's pixels are all of one class, every car and pedestrian is one, and the picture is that of plain streets."""
    assert drawn.things == tuple(c.name for c in streets.CLASSES if c.name in streets.THINGS)
    total = np.zeros(len(streets.CLASSES), int)
    for example in drawn.encoded("train").map(input_pipeline.decode).as_numpy_iterator():
        index = int(example["id"].decode().split("_")[1])
        plain = streets.Drawn(5, (48, 64), (0, 0))[index]
        np.testing.assert_array_equal(example["image"], plain.image)
        ids, classes = example["instances"], example["box_classes"]
        assert set(np.unique(ids)) - {0} == set(range(1, len(classes) + 1))
        for k, kind in enumerate(classes):
            assert np.all(example["label"][ids == k + 1] == kind)
        of_objects = [i for i, c in enumerate(streets.CLASSES) if c.name in ("car", "pedestrian", "sign", "pole")]
        assert np.all(ids[np.isin(example["label"], of_objects)] > 0)
        total += np.bincount(classes, minlength=len(total))
    assert drawn.statistics["train"]["objects"] == total.tolist()
    assert max(drawn.boxes.values()) >= 5


def test_only_some_classes_of_the_streets_and_a_wrong_name():
    one = streets.Drawn(1, (96, 128), (0, 0), ("car",))[0]
    assert np.all(one.mask[one.instances > 0] == [c.name for c in streets.CLASSES].index("car"))
    assert np.all(one.instances[one.mask == 8] > 0)
    with pytest.raises(ValueError, match="names of some of tree, pole, sign, car, pedestrian"):
        input_pipeline.prepare('streets(instances=("cat",))')
