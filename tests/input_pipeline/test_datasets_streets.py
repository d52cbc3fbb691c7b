import time

import numpy as np
import pytest

import input_pipeline
from input_pipeline.datasets import streets

SIZE = (96, 128)
C = len(streets.CLASSES)


def fake_tree(root):
    """Nothing: it is drawn."""
    return "streets(train=3, val=2, size=(32, 48))"


@pytest.fixture(scope="module")
def drawn():
    """{split: (images, masks)} of a few streets."""
    splits = {split: streets.Drawn(n, SIZE, (0, i)) for i, (split, n) in enumerate((("train", 150), ("val", 60)))}
    return {
        split: tuple(map(np.stack, zip(*((e.image, e.mask) for e in s), strict=True))) for split, s in splits.items()
    }


def test_a_street_is_a_function_of_seed_and_index():
    a, b = (streets.Drawn(3, SIZE, (7, 0)) for _ in range(2))
    np.testing.assert_array_equal(a[2].image, b[2].image)
    np.testing.assert_array_equal(a[2].mask, b[2].mask)
    others = [streets.Drawn(3, SIZE, seed)[2].image for seed in ((7, 1), (8, 0))] + [a[1].image]
    assert all((a[2].image != other).any() for other in others)


def test_every_class_is_in_most_images(drawn):
    masks = drawn["train"][1]
    share = [np.mean((masks == c).sum((1, 2)) >= 20) for c in range(C)]
    assert min(share) > 0.9, dict(zip((c.name for c in streets.CLASSES), share, strict=True))
    assert masks.max() == streets.IGNORED[0].raw, "the bonnet shows now and then"
    assert 0.001 < (masks == streets.IGNORED[0].raw).mean() < 0.05


def test_colour_alone_does_not_solve_it(drawn):
    # The most frequent class of each of 16x16x16 colours, as seen in training.
    def pairs(split):
        images, masks = drawn[split]
        r, g, b = np.moveaxis(images.astype(int) >> 4, -1, 0)
        return (r << 8 | g << 4 | b)[masks < C], masks[masks < C]

    counts = np.zeros((4096, C), np.int64)
    np.add.at(counts, pairs("train"), 1)
    colors, truth = pairs("val")
    confusion = np.bincount(truth * C + counts.argmax(1)[colors], minlength=C * C).reshape(C, C)
    hits = np.diag(confusion)
    iou = hits / (confusion.sum(0) + confusion.sum(1) - hits)
    assert 0.1 < iou.mean() < 0.3, iou.round(3)


def test_any_size():
    for size in ((32, 32), (33, 47), (200, 90)):
        example = streets.Drawn(1, size, (0, 0))[0]
        assert example.image.shape == (*size, 3)
        assert example.mask.shape == size
        assert example.image.dtype == example.mask.dtype == np.uint8


def test_drawing_is_fast():
    streets.Drawn(1, SIZE, (0, 0))[0]
    start = time.process_time()
    list(streets.Drawn(50, SIZE, (1, 0)))
    assert time.process_time() - start < 2, "100 images a second; four times that long on a busy machine"


def test_it_needs_nothing(tmp_path):
    prepared = input_pipeline.prepare("streets(train=4, val=2)", cache_dir=str(tmp_path))
    assert prepared.splits == {"train": 4, "val": 2}
    assert prepared.statistics["train"]["sizes"] == {"96x128": 4}
    for example in prepared.encoded("train").map(input_pipeline.decode).as_numpy_iterator():
        index = int(example["id"].decode().split("_")[1])
        expected = streets.Drawn(4, SIZE, (0, 0))[index]
        np.testing.assert_array_equal(example["image"], expected.image)
        np.testing.assert_array_equal(example["label"], np.where(expected.mask == C, 255, expected.mask))
