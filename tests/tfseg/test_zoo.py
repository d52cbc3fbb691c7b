"""--init_from=zoo:<name>, with a zoo of one tiny network."""

import dataclasses
import hashlib
import json
import pathlib

import cv2
import keras
import numpy as np
import pytest

import input_pipeline
import models
from models import weights
from tfseg import config, evaluate, image_counts, initialize, predict, zoo

ROOT = pathlib.Path(__file__).parents[2]
CAMVID = ROOT.parent / "shared" / "data" / "camvid"
SHIPPED = sorted(zoo.entries())
MODEL = "unet(width=4)"
CLASSES = [["road", [128, 64, 128], 7], ["car", [0, 0, 142], 26], ["sky", [70, 130, 180], 23]]


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The network whose weights are in the zoo as zoo:tiny."""
    keras.utils.set_random_seed(1)
    model = models.build(MODEL, 3, normalization=None)
    file = tmp_path / "zoo" / "tiny.safetensors"
    file.parent.mkdir()
    weights.write(file, weights.state_dict(model))
    entry = zoo.Entry(
        file=file.name,
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        model=MODEL,
        normalization="none",
        classes=CLASSES,
        dataset="folder",
        data_license="none",
        miou=0.5,
        split="val",
        images=4,
        step=10,
    )
    (file.parent / "index.json").write_text(json.dumps({"tiny": dataclasses.asdict(entry)}))
    monkeypatch.setattr(zoo, "FOLDER", file.parent)
    return model


def options(**given):
    return zoo.completed(config.Config(init_from="zoo:tiny", **given))


def test_the_name_says_the_network(tiny):
    assert (options().model, options().normalization) == (MODEL, "none")
    assert options(model="enet").model == "enet"  # a network that is given stays
    model, state = evaluate.trained_model(options())
    assert [c.name for c in state.class_table()] == ["road", "car", "sky"]
    for ours, theirs in zip(model.get_weights(), tiny.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_prediction_needs_nothing_else(tiny, tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "photo.png"), image[..., ::-1])
    out = tmp_path / "out"
    (label,) = predict.predict(
        options(mode="predict", images=str(tmp_path / "photo.png"), output_dir=str(out), label_ids="raw")
    )
    raw = np.array([row[2] for row in CLASSES])
    expected = raw[np.argmax(tiny(image[np.newaxis].astype("float32"))["logits"][0], -1)]
    assert np.mean(cv2.imread(str(label), cv2.IMREAD_UNCHANGED) == expected) > 0.99  # except for ties
    rows = json.loads((out / "classes.json").read_text())
    assert [row["name"] for row in rows] == ["road", "car", "sky"]


def test_a_start_on_other_classes_matches_them_by_name(tiny):
    other = models.build(MODEL, 2, normalization=None)
    classes = [input_pipeline.Class("sky", (0, 0, 0), 0), input_pipeline.Class("boat", (1, 1, 1), 1)]
    initialize.transfer(other, "zoo:tiny", classes)
    last = [layer for layer in other.layers if layer.weights][-1]
    theirs = tiny.get_layer(last.name)
    np.testing.assert_array_equal(last.kernel[..., 0], theirs.kernel[..., 2])  # sky was the third
    assert np.any(last.kernel[..., 1] != theirs.kernel[..., 1])  # boat is new


def test_what_is_wrong_is_said(tiny):
    with pytest.raises(ValueError, match=r"zoo:.*tiny.*Received: 'tinny'.*Did you mean 'tiny'"):
        zoo.find("zoo:tinny")
    (zoo.FOLDER / "tiny.safetensors").write_bytes(b"x")
    with pytest.raises(ValueError, match="SHA-256"):
        initialize.check(tiny, "zoo:tiny")
    (zoo.FOLDER / "tiny.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"tiny\.safetensors"):
        initialize.check(tiny, "zoo:tiny")
    (zoo.FOLDER / "index.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"index\.json"):
        zoo.find("zoo:tiny")


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_entry_is_described(name):
    """It has a card with its score, its rows in the documentation, and a flagfile, and is small enough for a repository."""
    entry = zoo.entries()[name]
    score = f"{100 * entry.miou:.2f}"
    assert zoo.path(f"zoo:{name}").stat().st_size <= 20_000_000
    assert score in (zoo.FOLDER / f"{name}.md").read_text()
    for page in ("README.md", "docs/zoo.md"):
        (row,) = [
            line for line in (ROOT / page).read_text().splitlines() if line.startswith("|") and f"`{name}`" in line
        ]
        assert f"{100 * entry.miou:.1f}" in row


def evaluated(name, data_dir, workdir):
    options = config.Config(
        mode="evaluate", dataset="camvid", data_dir=str(data_dir), cache_dir=str(workdir / "cache"), workdir=str(workdir),
        init_from=f"zoo:{name}", strategy="one_device",
    )  # fmt: skip
    return evaluate.evaluate(zoo.completed(options))


@pytest.mark.skipif(not CAMVID.is_dir(), reason=f"the real CamVid is not at {CAMVID}")
@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_entry_gives_its_numbers_on_four_frames(name, tmp_path):
    """Every class's pixels in each frame, to a thousandth of the frame: another CPU may decide a tie otherwise."""
    frames = json.loads((zoo.FOLDER / f"{name}.json").read_text())["frames"]
    for split, names in (("val", frames), ("train", list(frames)[:1])):
        for folder in (split, f"{split}annot"):
            (tmp_path / "data" / folder).mkdir(parents=True)
            for frame in names:
                source = CAMVID / folder.replace("train", "val") / f"{frame}.png"
                (tmp_path / "data" / folder / source.name).write_bytes(source.read_bytes())
    evaluated(name, tmp_path / "data", tmp_path)
    counts = image_counts.read(image_counts.path(tmp_path, "val"))
    assert sorted(counts.ids) == sorted(frames)
    for frame, pixels in zip(counts.ids, counts.pixels, strict=True):
        np.testing.assert_allclose(pixels, frames[frame], rtol=0, atol=360 * 480 / 1000)


@pytest.mark.slow
@pytest.mark.skipif(not CAMVID.is_dir(), reason=f"the real CamVid is not at {CAMVID}")
@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_entry_gives_the_score_of_its_card(name, tmp_path):
    assert evaluated(name, CAMVID, tmp_path)["miou"] == pytest.approx(zoo.entries()[name].miou, abs=1e-4)
