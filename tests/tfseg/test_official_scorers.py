"""Our numbers are those of the benchmarks' own scorers: Cityscapes' package, and VOC's and ADE20K's definitions.

What we evaluate and what the scorer reads are the same predictions, written by --mode=predict with the ids of the benchmark.
"""

import importlib
import importlib.util

import keras
import numpy as np
import pytest
from PIL import Image

import input_pipeline
from input_pipeline.datasets import cityscapes
from tfseg import checkpoint, evaluate, metrics, predict
from tfseg.config import Config

SIZE = (24, 40)


@pytest.fixture
def tree(tmp_path):
    """Cityscapes with three images of noise, and masks with every id of the benchmark but -1, most of them ignored ones."""
    rng = np.random.default_rng(3)
    for i in range(3):
        name = f"bonn_00000{i}_000019"
        for folder, kind, pixels in (
            ("leftImg8bit", "leftImg8bit", rng.integers(0, 256, (*SIZE, 3))),
            ("gtFine", "gtFine_labelIds", np.kron(rng.integers(0, 34, (6, 10)), np.ones((4, 4), int))),
        ):
            for split in ("train", "val"):
                (tmp_path / "data" / folder / split / "bonn").mkdir(parents=True, exist_ok=True)
                path = tmp_path / "data" / folder / split / "bonn" / f"{name}_{kind}.png"
                Image.fromarray(pixels.astype(np.uint8)).save(path)
    return tmp_path / "data"


@pytest.fixture
def files(tree, tmp_path, monkeypatch):
    """(the evaluation of a network, its predictions, the masks); the network is right on some pixels of every class."""
    rows = [[c.name, list(c.color), c.raw] for c in cityscapes.CLASSES]
    inputs = keras.Input((None, None, 3), dtype="float32")
    model = keras.Model(inputs, {"logits": keras.layers.Conv2D(19, 1, name="logits")(inputs / 255.0 - 0.5)})
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=(1, 1, 3, 19)), rng.normal(size=19) / 10])
    monkeypatch.setattr(evaluate, "trained_model", lambda *_: (model, checkpoint.State(classes=rows)))
    monkeypatch.setattr(evaluate, "_is_run", lambda config: True)
    options = {"dataset": "cityscapes", "data_dir": str(tree), "cache_dir": str(tmp_path / "cache"), "split": "val"}
    result = evaluate.evaluate(Config(mode="evaluate", batch_size=1, strategy="one_device", **options))
    written = predict.predict(
        Config(mode="predict", output_dir=str(tmp_path / "out"), label_ids="raw", model="given", **options)
    )
    return result, sorted(map(str, written)), sorted(map(str, tree.glob("gtFine/val/*/*_labelIds.png")))


@pytest.mark.skipif(
    not importlib.util.find_spec("cityscapesscripts"), reason="needs cityscapesscripts: the extra `test`"
)
def test_cityscapes(files, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    official = importlib.import_module("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")

    result, predictions, labels = files
    assert len(predictions) == len(labels) == 3
    for name, value in {"evalInstLevelScore": False, "JSONOutput": False, "quiet": True}.items():
        monkeypatch.setattr(official.args, name, value)
    expected = official.evaluateImgLists(predictions, labels, official.args)
    scores = {name: value for name, value in expected["classScores"].items() if not np.isnan(value)}
    assert result["iou"] == pytest.approx(scores, abs=1e-6)
    assert len(scores) == 19
    assert result["miou"] == pytest.approx(expected["averageScoreClasses"], abs=1e-6)
    categories = {name: value for name, value in expected["categoryScores"].items() if not np.isnan(value)}
    assert result["category_iou"] == pytest.approx(categories, abs=1e-6)
    assert len(categories) == 7
    assert result["mean_category_iou"] == pytest.approx(expected["averageScoreCategories"], abs=1e-6)
    assert 0 < result["miou"] < result["mean_category_iou"] < 0.5  # noise, but not all wrong


def maps(classes, ignored, seed=0):
    """Three label maps of blocks with ignored pixels, and predictions that are right on about half of the pixels."""
    rng = np.random.default_rng(seed)
    label = np.stack([np.kron(rng.integers(0, classes, (5, 6)), np.ones((4, 5), int)) for _ in range(3)])
    prediction = np.where(rng.random(label.shape) < 0.5, label, rng.integers(0, classes, label.shape))
    label[rng.random(label.shape) < 0.15] = ignored
    return label, prediction


def test_pascal_voc():
    """VOCevalseg: of each class, the pixels in both by the pixels in either, where the label is not 255; mean of 21 classes."""
    label, prediction = maps(21, 255)
    label[..., :6], prediction[..., :6] = np.arange(3 * 20 * 6).reshape(3, 20, 6) % 21, 0  # every class occurs
    expected = []
    for c in range(21):
        true = {tuple(place) for place in np.argwhere(label == c)}
        predicted = {tuple(place) for place in np.argwhere((prediction == c) & (label != 255))}
        expected.append(len(true & predicted) / len(true | predicted))
    names = [str(c) for c in range(21)]
    result = metrics.compute(metrics.confusion_matrix(label, prediction, 21).numpy(), names)
    assert list(result["iou"].values()) == pytest.approx(expected, abs=1e-12)
    assert result["miou"] == pytest.approx(sum(expected) / 21, abs=1e-12)


def test_ade20k():
    """The scene-parsing scorer: ids 1..150, 0 is unlabelled; predictions there are set to 0 before areas are counted.

    Its mean divides by 150 whether a class occurs or not. On the 2,000 images of val all occur, and ours is the same number.
    """
    label, prediction = (ids.astype(np.int64) for ids in maps(150, 149, seed=1))
    label, prediction = (label + 1) % 150, prediction + 1  # 0 is without a label; 150 is in no label
    label[0, 0, 0] = 150
    seen = prediction * (label > 0)
    hits = seen * (seen == label)
    areas = [np.histogram(ids, bins=150, range=(1, 150))[0] for ids in (hits, seen, label)]
    official = areas[0] / (areas[1] + areas[2] - areas[0] + 1e-10)
    accuracy = ((prediction == label) & (label > 0)).sum() / (label > 0).sum()
    train_ids = np.where(label == 0, 255, label - 1)
    names = [str(c) for c in range(150)]
    result = metrics.compute(metrics.confusion_matrix(train_ids, prediction - 1, 150).numpy(), names)
    ours = np.array([np.nan if value is None else value for value in result["iou"].values()])
    occurs = areas[1] + areas[2] > 0
    np.testing.assert_array_equal(np.isnan(ours), ~occurs)
    np.testing.assert_allclose(ours[occurs], official[occurs], atol=1e-12)
    assert result["pixel_accuracy"] == pytest.approx(accuracy, abs=1e-12)
    assert result["miou"] == pytest.approx(official[occurs].mean(), abs=1e-12)


def test_the_tree_is_read_as_cityscapes(tree, tmp_path):
    prepared = input_pipeline.prepare("cityscapes", data_dir=str(tree), cache_dir=str(tmp_path / "cache"))
    assert prepared.splits == {"train": 3, "val": 3}
    assert input_pipeline.categories(prepared.name)
