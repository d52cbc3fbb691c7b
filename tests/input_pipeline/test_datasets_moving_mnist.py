import numpy as np
import pytest

import input_pipeline
from input_pipeline import windows

FRAMES = np.random.default_rng(0).choice(np.array([0, 0, 0, 1, 255], np.uint8), (20, 10, 8, 8))


def fake_tree(root):
    """Ten sequences of 8x8 pixels, mostly black; the value 1 is a digit too."""
    root.mkdir()
    np.save(root / "mnist_test_seq.npy", FRAMES)
    return "moving_mnist"


@pytest.fixture
def frames(tmp_path):
    fake_tree(tmp_path / "data")
    return FRAMES


def examples(tmp_path, spec, split):
    found = input_pipeline.dataset(spec, split, str(tmp_path / "data"), str(tmp_path / "cache")).as_numpy_iterator()
    return {int(e["id"]): e for e in found}


def test_the_tenth_frame_follows_from_the_three_before(frames, tmp_path):
    train, val = (examples(tmp_path, "moving_mnist", split) for split in ("train", "val"))
    assert (sorted(train), sorted(val)) == (list(range(7)), [7, 8, 9]), "the first 70 % are train"
    for i, example in (train | val).items():
        np.testing.assert_array_equal(example["label"], frames[9, i] > 0)
        for channel, frame in enumerate((6, 7, 8)):
            np.testing.assert_array_equal(example["image"][..., channel], frames[frame, i])


def test_the_frame_itself_under_noise(frames, tmp_path):
    found = examples(tmp_path, 'moving_mnist(target="same")', "train")
    images, targets = (np.stack([found[i][k] for i in range(7)]) for k in ("image", "label"))
    np.testing.assert_array_equal(targets, frames[9, :7] > 0)
    assert (images == images[..., :1]).all(), "gray"
    # In a frame of 0, half of the noise is cut at 0; the other half of a Gaussian adds sigma * 0.399 = 25.5 to the mean.
    black = images[..., 0][frames[9, :7] == 0]
    assert np.mean(black == 0) == pytest.approx(0.5, abs=0.1)
    assert np.mean(black) == pytest.approx(25.5, abs=5)
    assert np.any(images[0] != images[1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((20, 3, 8, 8)), "Expected uint8.*float64"),
        (np.zeros((9, 3, 8, 8), np.uint8), r"\[9, 3, 8, 8\]"),
        (b"no array", "whole .npy file"),
    ],
    ids=["type", "shape", "no array"],
)
def test_another_file_is_refused(content, message, tmp_path):
    if isinstance(content, bytes):
        (tmp_path / "mnist_test_seq.npy").write_bytes(content)
    else:
        np.save(tmp_path / "mnist_test_seq.npy", content)
    with pytest.raises(ValueError, match=message):
        input_pipeline.prepare("moving_mnist", str(tmp_path), str(tmp_path / "cache"))


def test_a_damaged_head_is_refused(frames, tmp_path):
    path = tmp_path / "data/mnist_test_seq.npy"
    path.write_bytes(path.read_bytes().replace(b"}", b" ", 1))  # numpy raises tokenize.TokenError
    with pytest.raises(ValueError, match=r"whole \.npy file"):
        input_pipeline.prepare("moving_mnist", str(tmp_path / "data"), str(tmp_path / "cache"))


def test_a_download_that_broke_off_is_refused(frames, tmp_path):
    path = tmp_path / "data/mnist_test_seq.npy"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=r"whole \.npy file.*mnist_test_seq"):
        input_pipeline.prepare("moving_mnist", str(tmp_path / "data"), str(tmp_path / "cache"))
    with pytest.raises(ValueError, match='target="next"'):
        input_pipeline.prepare('moving_mnist(target="past")', str(tmp_path / "data"), str(tmp_path / "cache"))


def test_nine_label_maps_predict_the_tenth(frames, tmp_path):
    found = examples(tmp_path, 'moving_mnist(target="next", frames=9)', "train")
    for i, example in found.items():
        np.testing.assert_array_equal(example["label"], frames[9, i] > 0)
        past = np.moveaxis(windows.unpack(example["image"], 9), -1, 0)
        np.testing.assert_array_equal(past, frames[:9, i] > 0)
    assert input_pipeline.steps('moving_mnist(target="next", frames=9)') == 9
    for spec in ("moving_mnist(frames=10)", 'moving_mnist(target="same", frames=3)'):
        with pytest.raises(ValueError, match=r"frames=0\.\.9"):
            input_pipeline.prepare(spec, str(tmp_path / "data"), str(tmp_path / "cache"))
