import pathlib

import numpy as np
import pytest
from PIL import Image

import input_pipeline
from input_pipeline.datasets import camvid

REAL = pathlib.Path(__file__).parents[2].parent / "shared" / "data" / "camvid"
# Shares of all pixels, images that hold the class, and the weights that follow, measured elsewhere on the same files.
SHARES = (0.1685, 0.2326, 0.0098, 0.3166, 0.0449, 0.0972, 0.0117, 0.0113, 0.0587, 0.0064, 0.0029)
IMAGES = [366, 365, 366, 367, 349, 319, 351, 173, 360, 317, 201]
MEDIAN_FREQUENCY = (0.2793, 0.2017, 4.7865, 0.1490, 1.0, 0.4217, 3.8467, 1.9736, 0.7889, 6.3747, 8.8587)
ENET = (5.603, 4.295, 33.57, 3.335, 15.49, 8.739, 31.54, 32.01, 12.83, 38.01, 43.91)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    if not REAL.is_dir():
        pytest.skip(f"the real CamVid is not at {REAL}")
    return input_pipeline.prepare("camvid", str(REAL), str(tmp_path_factory.mktemp("cache")))


def test_every_pair_is_there(prepared):
    assert prepared.splits == {"train": 367, "val": 101}
    assert prepared.statistics["train"]["sizes"] == {"360x480": 367}
    ids = {e["id"].decode() for e in prepared.encoded("train").as_numpy_iterator()}
    assert ids == {p.stem for p in (REAL / "train").iterdir()}


def test_statistics_equal_those_published(prepared):
    train, total = prepared.statistics["train"], 367 * 360 * 480
    np.testing.assert_allclose(np.divide(train["pixels"], total), SHARES, atol=5e-5)
    np.testing.assert_allclose(train["ignored"] / total, 0.0395, atol=5e-5)
    assert sum(train["pixels"]) + train["ignored"] == total
    assert train["images"] == IMAGES
    np.testing.assert_allclose(np.divide(train["mean"], 255), (0.411895, 0.425133, 0.432671), atol=1e-6)
    np.testing.assert_allclose(np.divide(train["std"], 255), (0.307073, 0.311611, 0.307218), atol=1e-6)
    np.testing.assert_allclose(np.divide(prepared.statistics["val"]["mean"], 255), (0.3136, 0.3328, 0.3478), atol=5e-5)


def test_class_weights_that_follow_equal_those_published(prepared):
    train = prepared.statistics["train"]
    # These count unlabelled pixels too; `pixels_present` does not, which moves no weight by half a percent.
    frequency = np.divide(train["pixels"], np.multiply(train["images"], 360 * 480))
    np.testing.assert_allclose(np.median(frequency) / frequency, MEDIAN_FREQUENCY, atol=5e-5)
    frequency = np.divide(train["pixels"], train["pixels_present"])
    np.testing.assert_allclose(np.median(frequency) / frequency, MEDIAN_FREQUENCY, rtol=5e-3)
    share = np.divide(train["pixels"], sum(train["pixels"]))
    np.testing.assert_allclose(1 / np.log(1.02 + share), ENET, rtol=5e-4)


def test_records_hold_the_files(prepared):
    for record in prepared.encoded("val").take(5).as_numpy_iterator():
        name = record["id"].decode()
        assert record["image"] == (REAL / "val" / f"{name}.png").read_bytes()
        raw = np.array(Image.open(REAL / "valannot" / f"{name}.png"))
        label = input_pipeline.decode(record)["label"]
        np.testing.assert_array_equal(label, np.where(raw == 11, 255, raw))


def test_the_unlabelled_pixels_as_a_twelfth_class(tmp_path):
    mask = np.array([[0, 5, 11], [10, 11, 3]], np.uint8)
    for folder, pixels in (("train", np.zeros((2, 3, 3), np.uint8)), ("trainannot", mask)):
        (tmp_path / "data" / folder).mkdir(parents=True)
        Image.fromarray(pixels).save(tmp_path / "data" / folder / "a.png")
    for spec, classes, label in (
        ("camvid", 11, np.where(mask == 11, 255, mask)),
        ("camvid(classes=12)", 12, mask),
    ):
        prepared = input_pipeline.prepare(spec, str(tmp_path / "data"), str(tmp_path / "cache"))
        assert prepared.num_classes == classes
        example = next(prepared.encoded("train").map(input_pipeline.decode).as_numpy_iterator())
        np.testing.assert_array_equal(example["label"], label)


def test_the_class_table():
    assert [c.raw for c in camvid.CLASSES] == list(range(12))
    assert len({c.color for c in camvid.CLASSES}) == len({c.name for c in camvid.CLASSES}) == 12
