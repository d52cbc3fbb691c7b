import json
import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from input_pipeline.source import files
from tfseg import checkpoint, evaluate, inference, predict
from tfseg.config import Config
from tfseg.inference import monte_carlo
from tfseg.prediction import folders

STREETS = "streets(train=8, val=3, size=(32, 48))"
CLASSES = [["red", [255, 0, 0], 7], ["green", [0, 255, 0], 100], ["blue", [0, 0, 255], 200]]
# The strongest channel is the label.
PIXELS = np.array([[[200, 0, 0], [0, 200, 0], [0, 0, 200]], [[0, 200, 0], [0, 200, 0], [200, 0, 0]]], np.uint8)
LABEL = np.array([[0, 1, 2], [1, 1, 0]], np.uint8)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Predicts the files of tmp_path / "in" by a network whose scores are the channels of the image."""
    inputs = keras.Input((None, None, 3), dtype="float32")
    model = keras.Model(inputs, {"logits": inputs * 1.0})
    (tmp_path / "in").mkdir()

    def predicted(classes=CLASSES, images="in", output="out", **options):
        monkeypatch.setattr(evaluate, "trained_model", lambda config: (model, checkpoint.State(classes=classes)))
        given = {"images": str(tmp_path / images)} if images else {}
        return predict.predict(Config(mode="predict", output_dir=str(tmp_path / output), **given, **options))

    return predicted


def read(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_label_maps_colours_and_overlays(run, tmp_path, capsys):
    Image.fromarray(PIXELS).save(tmp_path / "in" / "a.png")
    assert run() == [tmp_path / "out" / "labels" / "a.png"]
    np.testing.assert_array_equal(read(tmp_path / "out" / "labels" / "a.png"), LABEL)
    colors = np.array([color for _, color, _ in CLASSES], np.uint8)
    np.testing.assert_array_equal(read(tmp_path / "out" / "colors" / "a.png"), colors[LABEL])
    # Half of 200 and half of 255: 227.5, rounded to the even number.
    np.testing.assert_array_equal(read(tmp_path / "out" / "overlays" / "a.png"), PIXELS // 200 * 228)
    assert json.loads((tmp_path / "out" / "classes.json").read_text()) == [
        {"id": 0, "raw": 7, "name": "red", "color": [255, 0, 0]},
        {"id": 1, "raw": 100, "name": "green", "color": [0, 255, 0]},
        {"id": 2, "raw": 200, "name": "blue", "color": [0, 0, 255]},
    ]
    assert f"1 of 1 images predicted in {tmp_path / 'out'}" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["png", "tif", "webp", "bmp"])
def test_files_are_read_as_preparation_reads_them(run, tmp_path, kind):
    """Palette and gray too: 200 everywhere in gray makes all channels equal, and then the first one is the label."""
    image = Image.fromarray(PIXELS)
    image.save(tmp_path / "in" / f"rgb.{kind}", **({"lossless": True} if kind == "webp" else {}))
    if kind != "webp":
        image.quantize(8).save(tmp_path / "in" / f"palette.{kind}")
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it
    turned = image.transpose(Image.Transpose.ROTATE_90)
    if kind in ("png", "webp"):
        turned.save(tmp_path / "in" / f"turned.{kind}", exif=exif, **({"lossless": True} if kind == "webp" else {}))
    for path in run():
        np.testing.assert_array_equal(read(path), LABEL, str(path))
        source = tmp_path / "in" / f"{path.stem}.{kind}"
        np.testing.assert_array_equal(files.read_image(source)[1], PIXELS)


def test_bands_of_a_tall_image_are_put_together(run, tmp_path):
    tall = np.tile(PIXELS, (301, 1, 1))  # 602 rows: two bands of 256 and one of 90
    Image.fromarray(tall).save(tmp_path / "in" / "a.png")
    run()
    np.testing.assert_array_equal(read(tmp_path / "out" / "overlays" / "a.png"), tall // 200 * 228)


def test_broken_files_are_named_and_the_others_predicted(run, tmp_path, capsys):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "in" / "ok.png")
    whole = (tmp_path / "in" / "ok.png").read_bytes()
    broken = {"cut.png": whole[:2000], "empty.png": b"", "text.png": b"no picture"}
    for name, data in broken.items():
        (tmp_path / "in" / name).write_bytes(data)
    (tmp_path / "in" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(ValueError, match="4 of 5 that cannot") as caught:
        run()
    lines = str(caught.value).splitlines()[1:]
    assert [line.split(": ")[0].strip() for line in lines] == [
        str(tmp_path / "in" / name) for name in ("cut.png", "empty.png", "gone.png", "text.png")
    ]
    assert "an empty file" in lines[1]
    assert "{{" not in str(caught.value)  # no operation of TensorFlow
    assert os.listdir(tmp_path / "out" / "labels") == ["ok.png"]
    assert "1 of 5 images predicted" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("spec", "advice"),
    [
        ("whole", r"--inference='sliding_window\(size=\(512, 512\)\)'"),
        ("sliding_window(size=64)", "a smaller window than"),
    ],
)
def test_out_of_memory_names_the_image_and_the_others_are_predicted(run, tmp_path, monkeypatch, spec, advice):
    for name, width in (("a", 3), ("b", 30), ("c", 3)):
        Image.new("RGB", (width, 20)).save(tmp_path / "in" / f"{name}.png")

    def full(image):
        if image.shape[2] > 10:
            raise MemoryError  # TensorFlow turns this into a ResourceExhaustedError
        return tf.cast(image, tf.float32)

    def build(spec, model):
        return lambda image, finish: finish(
            tf.ensure_shape(tf.py_function(full, [image], tf.float32), [1, None, None, 3])
        )

    monkeypatch.setattr(inference, "build", build)
    with pytest.raises(ValueError, match=rf"1 of 3 .*\n  .*b\.png: Expected enough memory for 30 x 20 .*{advice}"):
        run(inference=spec)
    assert sorted(os.listdir(tmp_path / "out" / "labels")) == ["a.png", "c.png"]


def test_the_class_tables_own_ids(run, tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "in" / "a.png")
    run(label_ids="raw")
    found = read(tmp_path / "out" / "labels" / "a.png")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, [[7, 100, 200], [100, 100, 7]])
    large = [*CLASSES[:2], ["blue", [0, 0, 255], 24000]]
    Image.fromarray(PIXELS).save(tmp_path / "in" / "b.png")
    with pytest.raises(ValueError, match=r"classes\.json of other ones"):
        run(large, images="in/b.png")
    run(large, label_ids="raw", overwrite=True)
    found = read(tmp_path / "out" / "labels" / "a.png")
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, [[7, 100, 24000], [100, 100, 7]])


@pytest.mark.parametrize("raw", [None, -1, 70000])
def test_ids_that_no_png_holds_are_refused(run, tmp_path, raw):
    Image.fromarray(PIXELS).save(tmp_path / "in" / "a.png")
    with pytest.raises(ValueError, match="none for blue"):
        run([*CLASSES[:2], ["blue", [0, 0, 255], raw]], label_ids="raw")


def test_a_run_of_an_older_version_has_no_raw_ids(run, tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "in" / "a.png")
    old = [[name, color] for name, color, _ in CLASSES]
    (path,) = run(old)
    np.testing.assert_array_equal(read(path), LABEL)
    assert [row["raw"] for row in json.loads((tmp_path / "out" / "classes.json").read_text())] == [None] * 3
    with pytest.raises(ValueError, match="none for red, green, blue"):
        run(old, label_ids="raw", output="raw")


def test_classes_beyond_the_table_are_numbered(run, tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "in" / "a.png")
    run(CLASSES[:2])
    rows = json.loads((tmp_path / "out" / "classes.json").read_text())
    assert rows[2] == {"id": 2, "raw": None, "name": "class 2", "color": [134, 134, 134]}  # 60 + 2 * 37


def test_nothing_is_overwritten_unasked(run, tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "in" / "a.png")
    (path,) = run()
    path.write_bytes(b"mine")
    with pytest.raises(ValueError, match=r"holds 1 of them, the first a\.png.*--overwrite"):
        run()
    assert path.read_bytes() == b"mine"
    run(overwrite=True)
    np.testing.assert_array_equal(read(path), LABEL)


def test_predictions_below_the_images_are_predicted_once(run, tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "in" / "a.png")
    for _ in range(2):
        assert run(output="in/out", overwrite=True) == [tmp_path / "in" / "out" / "labels" / "a.png"]


def test_a_split_is_read_one_after_another(run, tmp_path, cache):
    options = {"dataset": STREETS, "cache_dir": cache}
    written = run(images="", split="val", **options)
    assert [read(path).shape for path in written] == [(32, 48)] * 3
    assert len(set(written)) == 3
    with pytest.raises(ValueError, match="holds 3 of them"):
        run(images="", split="val", **options)
    with pytest.raises(ValueError, match=r"--split of \['train', 'val'\]"):
        run(images="", split="test", **options)


def test_a_folder_that_cannot_be_written_is_said_first(run, tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "in" / "a.png")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"--output_dir.*file/x/labels: .*file is a file"):
        run(output="file/x")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, on which every write fails")
def test_a_full_disk_leaves_no_half_file(tmp_path):
    (tmp_path / "a.png").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        folders.write(tmp_path / "a.png", b"data")
    assert os.listdir(tmp_path) == []


def test_uncertainty_is_written_in_gray_with_its_scale(run, tmp_path, monkeypatch):
    """Each sample drops the one channel that is not 0, or doubles it: its scores are 0, 0, 0 or ln 8, 0, 0."""
    inputs = keras.Input((None, None, 3), dtype="float32")
    model = keras.Model(inputs, {"logits": keras.layers.Dropout(0.5)(inputs * (np.log(8) / 2 / 255))}, name="tiny")
    Image.fromarray(np.full((40, 50, 3), [255, 0, 0], np.uint8)).save(tmp_path / "in" / "a.png")
    pictures = {}
    for output in ("first", "second"):
        monkeypatch.setattr(evaluate, "trained_model", lambda config: (model, checkpoint.State(classes=CLASSES)))
        options = {"images": str(tmp_path / "in"), "output_dir": str(tmp_path / output), "monte_carlo": 200, "seed": 5}
        predict.predict(Config(mode="predict", **options))
        folder = tmp_path / output / "uncertainty"
        pictures[output] = {kind: read(folder / kind / "a.png") for kind in monte_carlo.KINDS}
    scale = json.loads((folder / "scale.json").read_text())
    assert scale["samples"] == 200
    assert scale["seed"] == 5
    # Half of the samples say (1/3, 1/3, 1/3), of entropy ln 3, the others 8 / (8 + 1 + 1) = .8 and .1, .1, of .6390. The mean
    # is (.5667, .2167, .2167), of .9856. Mutual information .9856 - (1.0986 + .6390) / 2 = .1168; variance
    # (.2333**2 + 2 * .1167**2) / 3 = .0272.
    expected = {"entropy": 0.9856, "mutual_information": 0.1168, "variance": 0.02722}
    largest = {"entropy": np.log(3), "mutual_information": np.log(2), "variance": 1 / 6}
    for kind, value in expected.items():
        gray = pictures["first"][kind]
        assert gray.dtype == np.uint8
        assert gray.shape == (40, 50)
        assert scale[kind]["255"] == pytest.approx(largest[kind])
        assert gray.mean() / 255 * scale[kind]["255"] == pytest.approx(value, rel=0.03), kind
        np.testing.assert_array_equal(gray, pictures["second"][kind])
    with pytest.raises(ValueError, match="holds 1 of them"):
        predict.predict(Config(mode="predict", **options))


def test_samples_of_a_network_without_dropout_are_refused_before_the_images_are_looked_for(tmp_path):
    options = {"images": str(tmp_path / "none"), "output_dir": str(tmp_path / "out"), "model": "unet(width=1)"}
    with pytest.raises(ValueError, match="network with dropout"):
        predict.predict(Config(mode="predict", monte_carlo=2, **options))
    assert not (tmp_path / "out").exists()
