"""Labels by a network: which pixels get one, and that a run can be trained on what is written."""

import keras
import numpy as np
import pytest
from PIL import Image

import input_pipeline
from tests.tfseg.conftest import STREETS
from tfseg import checkpoint, evaluate, pseudo_label
from tfseg.config import Config

CLASSES = [["road", [255, 0, 0], 7], ["car", [0, 255, 0], 100], ["tree", [0, 0, 255], 200]]
# The network's scores are ln of the channels: probabilities are the channels' shares of their sum.
PIXELS = np.array([[[90, 5, 5], [60, 20, 20], [20, 60, 20]], [[5, 90, 5], [50, 25, 25], [10, 80, 10]]], np.uint8)
SURE = np.array([[0.9, 0.6, 0.6], [0.9, 0.5, 0.8]])
LABEL = np.array([[0, 0, 1], [1, 0, 1]])


@pytest.fixture
def run(tmp_path, monkeypatch):
    inputs = keras.Input((None, None, 3), dtype="float32")
    model = keras.Model(inputs, {"logits": keras.ops.log(inputs)})
    (tmp_path / "in").mkdir()
    for name, pixels in (("a", PIXELS), ("b", PIXELS[::-1])):
        Image.fromarray(pixels).save(tmp_path / "in" / f"{name}.png")
    state = checkpoint.State(classes=CLASSES)
    monkeypatch.setattr(evaluate, "trained_model", lambda config: (model, state))

    def labelled(output="out", **options):
        given = {"images": str(tmp_path / "in"), "output_dir": str(tmp_path / output), **options}
        return pseudo_label.pseudo_label(Config(mode="pseudo_label", **given))

    return labelled


def read(path):
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.parametrize(
    ("options", "least"),
    [
        ({}, (0, 0)),
        ({"confidence": 0.7}, (0.7, 0.7)),
        # Of the six pixels of each class in both images, sorted: .5 .5 .6 .6 .9 .9 and .6 .6 .8 .8 .9 .9. A third is left out.
        ({"quantile": 0.3334}, (0.55, 0.7)),
        ({"quantile": 0.3334, "confidence": 0.7}, (0.7, 0.7)),
        ({"quantile": 0.7}, (0.85, 0.85)),
    ],
)
def test_pixels_that_are_sure_enough_are_labelled(run, tmp_path, options, least):
    expected = np.where(np.array([*least, 0])[LABEL] <= SURE, LABEL, 255)
    assert run(**options) == [tmp_path / "out" / "masks" / "train" / f"{name}.png" for name in "ab"]
    np.testing.assert_array_equal(read(tmp_path / "out" / "masks" / "train" / "a.png"), expected)
    np.testing.assert_array_equal(read(tmp_path / "out" / "masks" / "train" / "b.png"), expected[::-1])
    np.testing.assert_array_equal(read(tmp_path / "out" / "images" / "train" / "a.png"), PIXELS)
    assert not (tmp_path / "out" / "soft").exists()


def test_what_is_written_is_a_data_set_with_the_classes_of_the_run(run, tmp_path, capsys):
    run(confidence=0.7, soft=True)
    assert "2 of 2 images predicted" in capsys.readouterr().out
    prepared = input_pipeline.prepare("folder", str(tmp_path / "out"), str(tmp_path / "cache"))
    assert [c.name for c in prepared.classes] == ["road", "car", "tree"]
    assert prepared.splits == {"train": 2}
    example = next(
        e for e in prepared.encoded("train").map(input_pipeline.decode).as_numpy_iterator() if e["id"] == b"a"
    )
    np.testing.assert_array_equal(example["label"], np.where(SURE >= 0.7, LABEL, 255))
    np.testing.assert_array_equal(example["image"], PIXELS)
    soft = np.load(tmp_path / "out" / "soft" / "a.npz")["probabilities"]
    assert soft.dtype == np.float16
    np.testing.assert_allclose(soft.max(-1), SURE, atol=1e-3)


def test_a_split_is_labelled_too(run, tmp_path, cache):
    """The network's logits are the channels' logarithms; the split has ten classes, which does not matter."""
    assert len(run(images="", dataset=STREETS, cache_dir=cache, split="val")) == 3


def test_thresholds_leave_out_a_share_of_each_class():
    """Four bins. Half of 4 pixels: those below 0.5. Of a class without pixels nothing is known."""
    counts = np.array([[1, 1, 1, 1], [0, 0, 0, 4], [0, 0, 0, 0]])
    np.testing.assert_array_equal(pseudo_label.thresholds(counts, 0.5), [0.5, 0.75, 0])
    np.testing.assert_array_equal(pseudo_label.thresholds(counts, 0.0), [0, 0.75, 0])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"output_dir": ""}, "Expected --output_dir"), ({"images": "camera:0"}, "Expected images. Received: videos")],
)
def test_what_cannot_work_is_refused(run, options, message):
    with pytest.raises(ValueError, match=message):
        run(**options)


def test_labels_are_not_replaced_unless_asked(run):
    run()
    with pytest.raises(ValueError, match="Expected --output_dir without masks"):
        run()
    assert len(run(overwrite=True)) == 2


@pytest.mark.parametrize("option", [{"confidence": 70.0}, {"quantile": 1.0}])
def test_shares_are_shares(option):
    with pytest.raises(ValueError, match=f"Expected --{next(iter(option))} to be in"):
        Config(**option)
