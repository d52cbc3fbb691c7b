"""--mode=compare of runs that were evaluated on drawn streets."""

import html.parser
import json
import pathlib
import shutil
import subprocess

import keras
import numpy as np
import pytest

import input_pipeline
from tests.tfseg.conftest import STREETS
from tfseg import checkpoint, compare, compare_page, evaluate, image_counts
from tfseg.config import Config


class Page(html.parser.HTMLParser):
    """The rows of every table, as text, and the addresses that the page has."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.addresses, self._in_cell = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.addresses += [value for key, value in attributes if key in ("src", "href")]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data):
        if self._in_cell:
            self.rows[-1][-1] += data.strip()


@pytest.fixture
def runs(cache, tmp_path, monkeypatch):
    """Two evaluated workdirs: a network of fixed random weights, and the same whose classes come in the reversed order.

    The bias of the second is larger, so that its predictions differ.
    """
    prepared = input_pipeline.prepare(STREETS, cache_dir=cache)
    classes = prepared.num_classes
    rows = [[c.name, list(c.color), c.raw] for c in prepared.classes]

    def trained_model(config, num_classes=0):
        inputs = keras.Input((None, None, 3), dtype="float32")
        model = keras.Model(inputs, {"logits": keras.layers.Conv2D(classes, 1, name="logits")(inputs / 255.0)})
        kernel = np.random.default_rng(0).normal(size=(1, 1, 3, classes))
        second = pathlib.Path(config.workdir).name == "b"
        bias = np.eye(classes)[0] * (0.5 if second else 0)
        order = slice(None, None, -1) if second else slice(None)
        model.set_weights([kernel[..., order], bias[order]])
        return model, checkpoint.State(classes=rows[order], step=2 if second else 1)

    monkeypatch.setattr(evaluate, "trained_model", trained_model)
    monkeypatch.setattr(evaluate, "_is_run", lambda config: True)
    for name in ("a", "b"):
        options = {"workdir": str(tmp_path / name), "model": f"net_{name}", "dataset": STREETS, "cache_dir": cache}
        config = Config(mode="evaluate", batch_size=2, strategy="one_device", **options)
        evaluate.evaluate(config)
        config.save(tmp_path / name / "flags")
    return tmp_path, prepared


def options(folder, workdirs, **others):
    return Config(mode="compare", workdirs=",".join(str(folder / word) for word in workdirs.split(",")), **others)


def test_two_runs(runs, capsys):
    folder, _ = runs
    capsys.readouterr()
    found = compare.compare(options(folder, "a,b"))
    first, second = (json.loads((folder / name / "evaluation_val.json").read_text()) for name in ("a", "b"))
    assert [d.name for d in found] == ["mean IoU", *first["iou"]]
    assert (found[0].first, found[0].second) == pytest.approx((first["miou"], second["miou"]))
    for d in found[1:]:
        for value, result in ((d.first, first), (d.second, second)):
            assert value == pytest.approx(
                result["iou"][d.name] if result["iou"][d.name] is not None else np.nan, nan_ok=True
            )
    printed = capsys.readouterr().out
    assert printed.split("\n")[0].split() == ["IoU", "%", "a", "b", "difference", "from", "to"]
    assert printed.split("\n")[1].split()[:3] == ["mean", "IoU", f"{100 * first['miou']:.2f}"]
    page = Page(text := (folder / "b" / "compare_val.html").read_text())
    assert len(page.rows) > len(found)
    assert page.rows[1][:3] == ["mean IoU", f"{100 * first['miou']:.2f}", f"{100 * second['miou']:.2f}"]
    assert ["--model", "net_a", "net_b"] in page.rows
    assert all(address.startswith("data:") for address in page.addresses)
    assert len([a for a in page.addresses if a.startswith("data:image/")]) == 5 * text.count("<figure>") > 0
    assert "No pictures" not in text


def test_the_predictions_that_are_shown_are_those_that_were_counted(runs):
    """Of every image, both networks run again have the pixels that the evaluation counted; one has its classes reversed."""
    folder, prepared = runs
    for name in ("a", "b"):
        counts = image_counts.read(folder / name / "images_val.npz")
        config = Config(mode="evaluate", workdir=str(folder / name), dataset=STREETS)
        predict = compare_page._predictor(config, counts, name, prepared)
        for example in prepared.encoded("val").map(input_pipeline.decode).as_numpy_iterator():
            prediction, valid = predict(example["image"]), example["label"] != 255
            right = np.bincount(
                example["label"][valid & (prediction == example["label"])], minlength=prepared.num_classes
            )
            assert right.tolist() == counts.pixels[counts.ids.index(example["id"].decode()), 0].tolist()


def test_weights_that_have_changed_are_not_drawn(runs, monkeypatch):
    folder, _ = runs
    trained_model = evaluate.trained_model

    def later(*args):
        model, state = trained_model(*args)
        state.step += 1
        return model, state

    monkeypatch.setattr(evaluate, "trained_model", later)
    compare.compare(options(folder, "a,b", output_dir=str(folder / "out")))
    text = (folder / "out" / "compare_val.html").read_text()
    assert "No pictures: Expected the weights of step 1 in a" in text
    assert "<figure>" not in text


def test_a_sweep(runs, capsys):
    folder, _ = runs
    (folder / "c").mkdir()
    (folder / "file").write_text("")
    capsys.readouterr()
    found = compare.compare(options(folder, "*"))
    assert [pathlib.Path(workdir).name for workdir, result in found if result] == sorted(
        ("a", "b"), key=lambda name: -json.loads((folder / name / "evaluation_val.json").read_text())["miou"]
    )
    assert [pathlib.Path(workdir).name for workdir, result in found if not result] == ["c"]
    lines = capsys.readouterr().out.split("\n")
    assert lines[0].split("  ")[0] == "run"
    assert lines[0].endswith("images  step  --model")
    assert {tuple(line.split()[-2:]) for line in lines[1:3]} == {("1", "net_a"), ("2", "net_b")}
    assert lines[3].split() == ["c", *["-"] * (len(lines[1].split()) - 1)]


@pytest.mark.parametrize(
    ("workdirs", "error", "message"),
    [
        ("a,none", FileNotFoundError, r"none/images_val\.npz, which --mode=evaluate writes\. Received: no such folder"),
        ("a,c", FileNotFoundError, "Received: a folder without it. Run: python main.py --mode=evaluate"),
        ("no*", FileNotFoundError, "Expected folders of runs"),
        ("c*", FileNotFoundError, r"evaluation_val\.json in a folder"),
    ],
)
def test_what_is_not_there_is_said(tmp_path, workdirs, error, message):
    (tmp_path / "c").mkdir()
    image = image_counts.Writer(tmp_path / "images_val.npz", classes=["x"], split="val", step=0, flags="")
    with image:
        pass
    (tmp_path / "a").mkdir()
    shutil.move(tmp_path / "images_val.npz", tmp_path / "a" / "images_val.npz")
    with pytest.raises(error, match=message):
        compare.compare(options(tmp_path, workdirs))


def test_no_workdirs():
    with pytest.raises(ValueError, match=r"Expected --workdirs, e\.g\."):
        compare.compare(Config(mode="compare"))


def test_difference_map():
    image = np.full((1, 4, 3), 90, np.uint8)
    drawn = compare_page.difference_map(
        image, np.array([[0, 0, 1, 255]]), np.array([[1, 0, 1, 0]]), np.array([[0, 1, 1, 1]])
    )
    assert drawn.tolist() == [[list(compare_page.GAINED), list(compare_page.LOST), [200] * 3, [0] * 3]]


def test_short_names():
    assert compare.short_names(["/x/runs/a", "/x/runs/b"]) == ("a", "b")
    assert compare.short_names(["/x/a/last", "/x/b/last"]) == ("a/last", "b/last")


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium")
def test_a_browser_reports_no_error(runs):
    folder, _ = runs
    compare.compare(options(folder, "a,b"))
    path = folder / "b" / "compare_val.html"
    words = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}")
    command = ["chromium", *words, "--enable-logging=stderr", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "CONSOLE" not in done.stderr
    assert "mean IoU" in done.stdout
