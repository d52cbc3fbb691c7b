"""How images are stored, what happens to bad examples, and conversion on Beam."""

import importlib.util
import io
import logging

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

import input_pipeline
from tfseg import class_weights
from tfseg import prepare as prepare_lib
from tfseg.config import Config

IMAGE = np.random.default_rng(0).integers(0, 255, (4, 8, 3), np.uint8)
MASK = np.arange(32, dtype=np.uint8).reshape(4, 8) % 3


@pytest.fixture
def tree(tmp_path):
    """Four images of a folder, all of them train; 2 is a JPEG."""
    root = tmp_path / "data"
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    for i in range(4):
        Image.fromarray(np.roll(IMAGE, i, 1)).save(root / f"images/{i}{'.jpg' if i == 2 else '.png'}")
        Image.fromarray(np.roll(MASK, i, 1)).save(root / f"masks/{i}.png")
    (root / "classes.csv").write_text("id,name\n0,a\n1,b\n2,ignore\n")
    return root


def prepare(tree, **options):
    return input_pipeline.prepare("folder(val_fraction=0.0)", str(tree), str(tree.parent / "cache"), **options)


def contents(prepared, split="train"):
    return {e["id"].decode(): e for e in prepared.encoded(split).as_numpy_iterator()}


def test_the_bytes_of_the_source_are_kept_unless_asked(tree):
    for name, example in contents(prepare(tree)).items():
        assert example["image"] == next(tree.glob(f"images/{name}.*")).read_bytes()


def test_larger_images_shrink_by_areas_and_their_labels_to_the_nearest(tree):
    examples = contents(prepare(tree, max_size=4))
    example = input_pipeline.decode(examples["0"])
    # Half of 4 x 8: each pixel is the mean of four. Four label pixels are equally near; the lower right one is taken.
    means = IMAGE.reshape(2, 2, 4, 2, 3).astype(float).mean((1, 3))
    np.testing.assert_allclose(example["image"], means, atol=0.5)
    np.testing.assert_array_equal(example["label"], np.array([0, 1, 255], np.uint8)[MASK[1::2, 1::2]])
    assert prepare(tree, max_size=4).statistics["train"]["sizes"] == {"2x4": 4}
    assert contents(prepare(tree, max_size=8)) == contents(prepare(tree)), "none is larger than that"


def test_a_side_never_shrinks_to_nothing(tree):
    for path in (tree / "images/0.png", tree / "masks/0.png"):
        Image.open(path).resize((60, 1), Image.Resampling.NEAREST).save(path)
    assert prepare(tree, max_size=6).statistics["train"]["sizes"] == {"3x6": 3, "1x6": 1}


def test_images_are_encoded_as_asked_and_counted_as_they_decode(tree):
    prepared = prepare(tree, image_format="jpeg(quality=60)")
    images = []
    for example in contents(prepared).values():
        assert Image.open(io.BytesIO(example["image"])).format == "JPEG"
        images.append(input_pipeline.decode(example)["image"].numpy())
    np.testing.assert_allclose(prepared.statistics["train"]["mean"], np.mean(images, (0, 1, 2)))
    finer = contents(prepare(tree, image_format="jpeg(quality=95)"))
    assert len(finer["0"]["image"]) > len(contents(prepared)["0"]["image"])
    png = contents(prepare(tree, image_format="png"))
    assert png["0"]["image"] == (tree / "images/0.png").read_bytes()
    assert Image.open(io.BytesIO(png["2"]["image"])).format == "PNG"
    decoded = tf.io.decode_image((tree / "images/2.jpg").read_bytes())
    np.testing.assert_array_equal(input_pipeline.decode(png["2"])["image"], decoded)


def test_records_stored_otherwise_lie_elsewhere_and_say_so(tree):
    source, small = prepare(tree), prepare(tree, max_size=4, image_format="png")
    assert source.directory != small.directory
    assert "max_size=4" in str(small.directory)
    assert small.options["max_size"] == 4
    assert prepare(small.directory) == prepare(small.directory, max_size=4) == small
    with pytest.raises(ValueError, match=r"max_size=5\. Received: .*max_size=4"):
        prepare(small.directory, max_size=5)
    with pytest.raises(ValueError, match=r"max_size=4\. Received: .*max_size=0"):
        prepare(source.directory, max_size=4)


def test_an_option_that_records_lack_had_its_default(tree):
    records = str(prepare(tree).directory)
    assert input_pipeline.prepare("folder(group='')", records).splits == {"train": 4}
    with pytest.raises(ValueError, match=r"prepared with group='a'\. Received: .* prepared with group=''"):
        input_pipeline.prepare("folder(group='a')", records)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_format": "gif"}, r"blank, png or jpeg.*Received: 'gif'"),
        ({"image_format": "jpeg(quality=101)"}, r"quality=1\.\.100"),
        ({"image_format": "jpeg(size=1)"}, r"jpeg\(quality\)"),
        ({"max_size": -1}, r"0 or more\. Received: -1"),
    ],
)
def test_impossible_storage(options, message, tree):
    with pytest.raises(ValueError, match=message):
        prepare(tree, **options)


def test_bad_examples_are_left_out_when_asked_and_listed(tree, caplog, capsys):
    whole = prepare(tree)
    (tree / "masks/1.png").write_bytes(b"x")
    (tree / "images/3.png").unlink()
    with pytest.raises(ValueError, match=r"1 of 3 with an error.*--skip_bad"):
        prepare(tree)
    (tree / "train.txt").write_text("0\n1\n2\n3\n")
    bad = Config(mode="prepare", dataset="folder", data_dir=str(tree), cache_dir=str(tree.parent / "c"), skip_bad=True)
    prepared = prepare_lib.prepare(bad)
    lines = (prepared.directory / "skipped.txt").read_text().splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        f"train\t{tree / name}" for name in ("masks/1.png", "images/3.png")
    ]
    assert f"2 bad examples of train were left out: {prepared.directory / 'skipped.txt'}" in capsys.readouterr().out
    expected = contents(whole)
    assert contents(prepared) == {name: expected[name] for name in ("0", "2")}
    assert (prepared.splits, prepared.skipped) == ({"train": 2}, {"train": 2})
    assert sum(prepared.statistics["train"]["sizes"].values()) == 2
    # A later run that opens the records logs this too. With repaired files it is another source, which is built again.
    with caplog.at_level(logging.WARNING, "absl"):
        prepare_lib.records(Config(dataset="folder", data_dir=str(prepared.directory)))
    assert "Bad examples were left out: 2 of train" in caplog.text
    (tree / "train.txt").write_text("0\n2\n")
    assert prepare_lib.records(bad).skipped == {}


def test_a_split_with_nothing_left_is_an_error(tree):
    for path in tree.glob("masks/*"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="4 of 4 with an error"):
        prepare(tree, skip_bad=True)


def test_statistics_keep_the_weights_and_what_exif_turned(tree, capsys):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.fromarray(np.zeros((8, 4, 3), np.uint8)).save(tree / "images/3.png", exif=exif)
    statistics = prepare(tree).statistics["train"]
    assert statistics["turned"] == ["3"]
    assert statistics["weights"] == {
        rule: pytest.approx(class_weights.build(rule, statistics, 2)) for rule in ("enet", "median_frequency")
    }
    prepare_lib.prepare(Config(mode="prepare", dataset="folder", data_dir=str(prepare(tree).directory)))
    assert "1 images of train were turned upright" in capsys.readouterr().out


def test_weights_of_a_split_without_labels_are_numbers(tree):
    for path in tree.glob("masks/*"):
        Image.fromarray(np.full((4, 8), 2, np.uint8)).save(path)
    # 1 / ln(1.02) if no pixel is labelled; median frequency gives 0 to a class without pixels.
    assert prepare(tree).statistics["train"]["weights"] == {
        "enet": [pytest.approx(50.4983, rel=1e-5)] * 2,
        "median_frequency": [0, 0],
    }


def test_a_run_that_was_stopped_is_begun_again_and_said_so(tree, caplog):
    prepared = prepare(tree)
    (prepared.directory.parent / "incomplete.ABC_1.0.0").mkdir()
    with caplog.at_level(logging.INFO, "absl"):
        prepare(tree, overwrite=True)
    assert "stopped before its end: beginning again from the start" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO, "absl"):
        prepare(tree, overwrite=True)
    assert "beginning again" not in caplog.text


BEAM = importlib.util.find_spec("apache_beam") is not None


@pytest.mark.skipif(not BEAM, reason="apache-beam is not installed (pip install '.[beam]')")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_beam_makes_the_same_records(tree):
    local = tfds.download.DownloadConfig(beam_runner="DirectRunner")
    plain, spread = prepare(tree), prepare(tree, overwrite=True, beam=local)
    assert spread.statistics == plain.statistics
    assert list(spread.encoded("train").as_numpy_iterator()) == list(plain.encoded("train").as_numpy_iterator())
    assert not list(spread.directory.glob("*.pickle"))
    (tree / "masks/1.png").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"1 of 4 with an error"):
        prepare(tree, beam=local)
    assert prepare(tree, beam=local, skip_bad=True).splits == {"train": 3}


@pytest.mark.skipif(BEAM, reason="apache-beam is installed")
def test_without_beam_it_is_said_how_to_install_it(tree):
    with pytest.raises(ValueError, match=r"pip install '\.\[beam\]'"):
        prepare(tree, beam=tfds.download.DownloadConfig())
