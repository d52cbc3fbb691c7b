import io

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

import input_pipeline

IDS = np.array([[0, 1, 2], [3, 3, 255]], np.uint8)
NAMES = 'classes=("pet", "background", "border"), offset=1'


def jpeg(value):
    file = io.BytesIO()
    Image.new("RGB", (3, 2), (value, 100, 50)).save(file, "JPEG")
    return io.BytesIO(file.getvalue())  # read from its beginning


def palette_png():
    image, file = Image.frombytes("P", (3, 2), IDS.tobytes()), io.BytesIO()
    image.putpalette([v for i in range(256) for v in ((i * 37) % 256, (i * 91) % 256, (i * 53) % 256)])
    image.save(file, "PNG")
    return io.BytesIO(file.getvalue())


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Ten train and three validation examples, with masks of the three kinds that TFDS can have."""

    VERSION = tfds.core.Version("1.2.0")
    name = "tiny_masks"

    def _info(self):
        mask = {"shape": (None, None, 1)}
        features = {
            "photo": tfds.features.Image(shape=(None, None, 3)),
            "segmentation_mask": tfds.features.Image(**mask),
            "named": tfds.features.LabeledImage(labels=["a", "b", "c", "d"], **mask),
            "plain": tfds.features.Tensor(shape=(2, 3), dtype=np.uint8),
            "file": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(10), "validation": self._generate_examples(3)}

    def _generate_examples(self, count):
        for i in range(count):
            masks = {"segmentation_mask": palette_png(), "named": np.minimum(IDS, 3)[..., None], "plain": IDS}
            yield i, {"photo": jpeg(i), "file": str(i), **masks}


def fake_tree(root):
    """A TFDS folder with the data set prepared, whose code is not registered."""
    Builder(data_dir=str(root)).download_and_prepare()
    return f'tfds(name="tiny_masks", image="photo", {NAMES})'


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tensorflow_datasets")
    fake_tree(folder)
    return folder


def prepare(stored, tmp_path, options):
    return input_pipeline.prepare(f'tfds(name="tiny_masks", image="photo", {options})', str(stored), str(tmp_path))


def labels(prepared, split="train"):
    return [e["label"] for e in prepared.encoded(split).map(input_pipeline.decode).as_numpy_iterator()]


def test_masks_are_ids_less_the_offset_and_images_are_kept(stored, tmp_path):
    prepared = prepare(stored, tmp_path, NAMES)
    assert prepared.splits == {"train": 10, "val": 3}
    assert [c.name for c in prepared.classes] == ["pet", "background", "border"]
    # A palette of 1..3, with 0 and 255 ignored: TFDS itself decodes it to the luminance of its colours.
    for label in labels(prepared) + labels(prepared, "val"):
        np.testing.assert_array_equal(label, [[255, 0, 1], [2, 2, 255]])
    images = {e["image"] for e in prepared.encoded("train").as_numpy_iterator()}
    assert images == {jpeg(i).getvalue() for i in range(10)}
    ids = [e["id"].decode() for e in prepared.encoded("val").as_numpy_iterator()]
    assert sorted(ids) == [f"tiny_masks-validation.tfrecord-00000-of-00001__{i}" for i in range(3)]


def test_names_come_from_a_feature_that_has_some(stored, tmp_path):
    prepared = prepare(stored, tmp_path, 'mask="named"')
    assert [c.name for c in prepared.classes] == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(labels(prepared)[0], np.minimum(IDS, 3))


def test_masks_that_are_no_images(stored, tmp_path):
    prepared = prepare(stored, tmp_path, f'mask="plain", {NAMES}')
    np.testing.assert_array_equal(labels(prepared)[0], [[255, 0, 1], [2, 2, 255]])


def test_splits_in_the_language_of_tfds(stored, tmp_path):
    splits = 'splits={"train": "train[:80%]", "val": "train[80%:]", "test": "validation"}'
    prepared = prepare(stored, tmp_path, f"{NAMES}, {splits}")
    assert prepared.splits == {"train": 8, "val": 2, "test": 3}
    ids = [{e["id"] for e in prepared.encoded(s).as_numpy_iterator()} for s in ("train", "val")]
    assert len(ids[0] | ids[1]) == 10


def test_what_is_not_prepared_is_prepared_by_tfds(tmp_path, monkeypatch):
    monkeypatch.setitem(tfds.core.registered._DATASET_REGISTRY, "tiny_masks", Builder)
    (tmp_path / "empty").mkdir()
    assert prepare(tmp_path / "empty", tmp_path / "cache", NAMES).splits == {"train": 10, "val": 3}
    assert (tmp_path / "empty/tiny_masks/1.2.0/dataset_info.json").is_file()


def test_another_version_is_another_data_set(stored, tmp_path, monkeypatch):
    before = prepare(stored, tmp_path / "cache", NAMES)
    assert prepare(stored, tmp_path / "cache", NAMES) == before
    monkeypatch.setattr(Builder, "VERSION", tfds.core.Version("1.3.0"))
    Builder(data_dir=str(tmp_path / "newer")).download_and_prepare()
    assert prepare(tmp_path / "newer", tmp_path / "cache", NAMES).directory != before.directory


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", r"class names for tiny_masks.*segmentation_mask has none"),
        ('mask="maks"', r"features of tiny_masks: file, named, photo, plain, segmentation_mask\. Received: 'maks'"),
        (f'{NAMES}, splits={{"train": "training"}}', r"train, validation.*Received: 'training'"),
        ('classes=("pet",), offset=-1', r"offset from 0.*Received: -1, 1 classes"),
        ('classes=("pet", "background"), offset=1', r"tiny_masks.*segmentation_mask of .*Received: 3 on 2 pixels"),
    ],
)
def test_wrong_options_say_what_there_is(options, message, stored, tmp_path):
    with pytest.raises(ValueError, match=message):
        prepare(stored, tmp_path, options)


def test_an_unknown_data_set_is_named(stored, tmp_path):
    with pytest.raises(ValueError, match=r"TFDS knows or has prepared in .*name='tiny_msaks'"):
        input_pipeline.prepare('tfds(name="tiny_msaks")', str(stored), str(tmp_path))


def test_oxford_iiit_pet_needs_no_more_than_its_name(tmp_path, monkeypatch):
    class Pets(Builder, skip_registration=True):
        name = "oxford_iiit_pet"

        def _info(self):
            features = {"image": (None, None, 3), "segmentation_mask": (None, None, 1)}
            images = {name: tfds.features.Image(shape=shape) for name, shape in features.items()}
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(images))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(5), "test": self._generate_examples(2)}

        def _generate_examples(self, count):
            trimap = np.array([[1, 2, 3]] * 2, np.uint8)[..., None]
            for i in range(count):
                yield i, {"image": jpeg(i), "segmentation_mask": trimap}

    monkeypatch.setitem(tfds.core.registered._DATASET_REGISTRY, "oxford_iiit_pet", Pets)
    (tmp_path / "data").mkdir()
    spec = 'tfds(name="oxford_iiit_pet")'
    prepared = input_pipeline.prepare(spec, str(tmp_path / "data"), str(tmp_path / "cache"))
    assert prepared.splits == {"train": 4, "val": 1, "test": 2}
    assert [c.name for c in prepared.classes] == ["pet", "background", "border"]
    np.testing.assert_array_equal(labels(prepared, "test")[0], [[0, 1, 2]] * 2)
