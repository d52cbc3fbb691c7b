"""Archives for the servers of benchmarks; Cityscapes' with the benchmark's own scorer."""

import json
import zipfile

import keras
import numpy as np
import pytest
from PIL import Image

import input_pipeline
from tfseg.prediction import outputs, submissions

TABLES = {"cityscapes": "cityscapes", "voc": "pascal_voc", "ade20k": "ade20k"}
NAMES = {
    "cityscapes": "berlin_000000_000019_leftImg8bit",
    "voc": "2008_000006",
    "ade20k": "ADE_test_00000001",
}
PLACES = {
    "cityscapes": "berlin_000000_000019_labelIds.png",
    "voc": "results/VOC2012/Segmentation/comp6_test_cls/2008_000006.png",
    "ade20k": "ADE_test_00000001.png",
}


def table(name):
    return [[c.name, list(c.color), c.raw] for c in input_pipeline.classes(TABLES[name])]


def network(classes):
    """The class is the red channel."""
    inputs = keras.Input((None, None, 3), dtype="float32")
    distance = keras.ops.abs(inputs[..., :1] - np.arange(classes, dtype=np.float32))
    return keras.Model(inputs, {"logits": -distance})


@pytest.mark.parametrize("name", submissions.names())
def test_each_benchmark_has_its_ids_and_names(run, tmp_path, name):
    """A run whose classes are in another order than the benchmark's: they are matched by name."""
    classes = table(name)[::-1]
    label = np.arange(6 * 40).reshape(6, 40) % len(classes)
    Image.fromarray(np.dstack([label] * 3).astype(np.uint8)).save(tmp_path / "in" / f"{NAMES[name]}.png")
    out = run(network(len(classes)), classes, outputs="labels", submission=name)
    with zipfile.ZipFile(out / f"submission_{name}.zip") as archive:
        assert archive.namelist() == [PLACES[name]]
        with Image.open(archive.open(PLACES[name])) as image:
            found, mode, colors = np.asarray(image), image.mode, image.getpalette()
    expected = np.array([raw for _, _, raw in classes], np.uint8)[label]
    if name == "cityscapes":  # 1024 x 2048; each pixel of the small image is a rectangle
        assert found.shape == (1024, 2048)
        found = found[85::171, 25::51][:6, :40]
        expected = expected[:, np.minimum(np.arange(25, 2048, 51)[:40] * 40 // 2048, 39)]
        expected = expected[np.arange(85, 1024, 171) * 6 // 1024]
    np.testing.assert_array_equal(found, expected)
    assert mode == ("P" if name == "voc" else "L")
    if name == "voc":
        assert colors[15 * 3 : 16 * 3] == [192, 128, 128]  # a person
    with pytest.raises(ValueError, match=rf"the first submission_{name}\.zip"):
        run(network(len(classes)), classes, outputs="palette", submission=name)


def test_ids_of_ade20k_are_1_to_150():
    assert [c.raw for c in input_pipeline.classes("ade20k")] == list(range(1, 151))


@pytest.mark.parametrize("name", submissions.names())
def test_other_names_and_classes_are_refused_before_the_work(run, tmp_path, name):
    Image.new("RGB", (8, 8)).save(tmp_path / "in" / "photo.png")
    with pytest.raises(ValueError, match=rf"names such as {NAMES[name]}\. Received: photo"):
        run(network(3), table(name)[:3], submission=name)
    (tmp_path / "in" / "photo.png").rename(tmp_path / "in" / f"{NAMES[name]}.png")
    with pytest.raises(ValueError, match=rf"the classes of {TABLES[name]}.*lagoon"):
        run(network(3), [*table(name)[:2], ["lagoon", [0, 0, 0], 3]], submission=name)
    (tmp_path / "in" / "again").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "in" / "again" / f"{NAMES[name]}.png")
    with pytest.raises(ValueError, match="Expected one image for"):
        run(network(3), table(name)[:3], submission=name)


def test_wrong_specs_are_refused():
    for spec, message in (("voc(competition=3)", "competition 5 or 6"), ("kitti", "cityscapes, voc|ade20k")):
        with pytest.raises(ValueError, match=message):
            submissions.build(spec)
    assert "comp5_val_cls" in submissions.voc.voc(competition=5, split="val").place("2008_000006")


def test_cityscapes_own_scorer_reads_the_archive(tmp_path, monkeypatch):
    """Perfect predictions of two images have an IoU of 1 in every class that occurs."""
    reason = "cityscapesscripts is not installed: pip install '.[test]'"
    monkeypatch.setenv("CITYSCAPES_DATASET", str(tmp_path))
    scorer = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling", reason=reason)
    classes = input_pipeline.classes("cityscapes")
    rows = [{"id": i, "raw": c.raw, "name": c.name, "color": list(c.color)} for i, c in enumerate(classes)]
    run = outputs.Run(rows, np.arange(19, dtype=np.uint8), np.array([c.color for c in classes], np.uint8), 0.5)
    output = submissions.build("cityscapes")
    truth, archive = [], tmp_path / "submission.zip"
    with output.collect(archive, run, 0.0) as add:
        for i, city in enumerate(("berlin", "bad-honnef")):
            label = np.repeat(np.repeat(np.arange(128).reshape(8, 16) % 19, 128, 0), 128, 1).astype(np.uint16)
            name = f"{city}_00000{i}_000019"
            prediction = outputs.Prediction(f"{city}/{name}_leftImg8bit", "", i, None, label, None, {})
            add(prediction, output.draw(prediction, run))
            truth.append(tmp_path / f"{name}_gtFine_labelIds.png")
            Image.fromarray(np.array([c.raw for c in classes], np.uint8)[label]).save(truth[-1])
    zipfile.ZipFile(archive).extractall(tmp_path / "results")
    scorer.args.predictionPath, scorer.args.predictionWalk = str(tmp_path / "results"), None
    scorer.args.evalInstLevelScore, scorer.args.quiet, scorer.args.JSONOutput = False, True, False
    predictions = [scorer.getPrediction(scorer.args, str(path)) for path in truth]
    result = scorer.evaluateImgLists(predictions, [str(path) for path in truth], scorer.args)
    assert result["averageScoreClasses"] == pytest.approx(1.0, abs=1e-6)
    assert json.dumps(result["classScores"]["road"]) == "1.0"
