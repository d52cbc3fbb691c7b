"""The page of an evaluation: its numbers are those of a result so small that they are derived by hand."""

import base64
import html.parser
import json
import re
import shutil
import subprocess

import cv2
import keras
import numpy as np
import pytest

import input_pipeline
from tests.tfseg.conftest import STREETS
from tfseg import checkpoint, evaluate, metrics, report
from tfseg.config import Config

CLASSES = [input_pipeline.Class("road", (128, 64, 128)), input_pipeline.Class("car <b>&", (0, 0, 200))]
CONFUSION = [[3, 1, 0], [0, 2, 2], [0, 0, 0]]  # a network of one class more than the data set
IMAGE = np.full((2, 2, 3), 90, "uint8")


class Page(html.parser.HTMLParser):
    """The rows of every table, as text; the addresses that the page has; the titles of its cells."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.addresses, self.titles, self.captions, self._open, self._in_table = [], [], [], [], "", False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self._open = tag
        found = dict(attributes)
        self.addresses += [found[key] for key in ("src", "href") if key in found]
        if tag == "tr":
            self.rows.append([])
            self._in_table = True
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.titles += [found["title"]] if "title" in found else []
        if tag == "figcaption":
            self.captions.append("")

    def handle_endtag(self, tag):
        if tag in ("tr", "figcaption"):
            self._open, self._in_table = "", False

    def handle_data(self, data):
        if self._open in ("td", "th", "button", "i") and self._in_table:
            self.rows[-1][-1] += data.strip()
        if self._open in ("figcaption", "b") and self.captions:
            self.captions[-1] += data


def gallery(scores=(1, 3)):
    """Of an image of four road pixels for each score, of which so many quarters are right and none is a car."""
    found = report.Gallery(CLASSES, 3)
    for i, right in enumerate(scores):
        prediction = np.where(np.arange(4) < right, 0, 2).reshape(2, 2)
        found.add(f"image_{i}".encode(), IMAGE, np.zeros((2, 2), "uint8"), prediction)
    return found


def page(seen):
    names = [c.name for c in CLASSES]
    result = {**metrics.compute(CONFUSION, names), "images": 2, "step": 70}
    config = Config(model="unet(width=2)", dataset="streets<x>", split="val", workdir="run")
    return report.page(config, result, np.array(CONFUSION), seen, CLASSES, {"python": "3.<11>"}, ["<h2>More</h2>"])


def test_numbers():
    text = page(gallery())
    shown = Page(text)
    # IoU 3/4 and 2/5 (its union: 4 labels and 1 other prediction), mean 57.5 %
    assert "<b>57.50</b><span>mean IoU %</span>" in text
    assert shown.rows[:3] == [
        ["class", "dice", "IoU", "precision", "recall", "pixels"],
        ["road", "85.71", "75.00", "100.00", "75.00", "50.00"],  # dice 6/7
        ["car <b>&", "57.14", "40.00", "66.67", "50.00", "50.00"],  # dice 4/7
    ]
    assert shown.rows[3:] == [
        ["", "road", "car <b>&", "other"],
        ["road", "75", "25", ""],
        ["car <b>&", "", "50", "50"],
    ]
    assert shown.titles[1] == "road predicted as car <b>&: 25.00 % of its pixels (1)"
    assert "streets&lt;x&gt;" in text
    assert "3.&lt;11&gt;" in text
    assert "--dataset=streets&lt;x&gt;\n" in text
    assert "<b>&," not in text


def test_the_page_needs_nothing_else():
    text = page(gallery())
    addresses = Page(text).addresses
    assert len([a for a in addresses if a.startswith("data:image/")]) == 8  # two images of four pictures
    assert all(a.startswith("data:") for a in addresses)
    assert not re.search(r"https?://|@import|url\(", text)


def test_best_and_worst_images_and_no_more_are_kept():
    # Image mIoU is right/4: other predictions are of no class that the data set has.
    seen = gallery((2, 4, 0, 3, 1, 2, 4, 0, 3, 1, 2))
    best, worst = seen.chosen()
    assert [(name, score) for name, score, _ in best] == [
        ("image_1", 1.0), ("image_6", 1.0), ("image_3", 0.75), ("image_8", 0.75)
    ]  # fmt: skip
    assert [(name, score) for name, score, _ in worst] == [
        ("image_2", 0.0), ("image_7", 0.0), ("image_4", 0.25), ("image_9", 0.25)
    ]  # fmt: skip
    assert seen.images == 11
    assert len(seen.best) == len(seen.worst) == 4


def test_few_images_are_shown_once():
    best, worst = gallery((4, 1, 2)).chosen()
    assert [name for name, *_ in best] == ["image_0", "image_2"]
    assert [name for name, *_ in worst] == ["image_1"]
    assert [len(part) for part in gallery((3,)).chosen()] == [1, 0]


def test_images_without_labelled_pixels_do_not_count():
    seen = gallery(())
    seen.add(b"filled up", IMAGE, np.full((2, 2), 255, "uint8"), np.zeros((2, 2), int))
    assert seen.images == 0
    assert page(seen).count("<p>None.</p>") == 2


def test_pictures_of_an_image():
    label, prediction = np.array([[0, 0], [1, 255]], "uint8"), np.array([[0, 1], [1, 1]])
    seen = report.Gallery(CLASSES, 2)
    seen.add(
        b"a",
        np.kron(IMAGE, np.ones((8, 8, 1), "uint8")),
        *(np.kron(x, np.ones((8, 8), int)) for x in (label, prediction)),
    )
    ((_, score, tiles),) = seen.chosen()[0]
    assert score == pytest.approx((1 / 2 + 1 / 2) / 2)  # road: 1 of 2; car: 1 of 2
    assert list(tiles) == ["image", "label", "prediction", "error map"]
    decoded = {}
    for name, address in tiles.items():
        data = np.frombuffer(base64.b64decode(address.partition(",")[2]), np.uint8)
        decoded[name] = cv2.imdecode(data, cv2.IMREAD_COLOR)[::8, ::8, ::-1].astype(int)
    road, car = (c.color for c in CLASSES)
    np.testing.assert_array_equal(decoded["label"], [[road, road], [car, (0, 0, 0)]])
    np.testing.assert_array_equal(decoded["prediction"], [[road, car], [car, car]])
    red, gray = (214, 39, 40), (200, 200, 200)  # 170 + 90 / 3
    np.testing.assert_allclose(decoded["error map"], [[gray, red], [gray, (0, 0, 0)]], atol=40)  # JPEG


@pytest.mark.parametrize("strategy", ["one_device", "mirrored"])
def test_evaluate_writes_it(monkeypatch, cache, tmp_path, strategy):
    """The classes of the network come in another order: pictures and matrix are in that of the data set."""
    prepared = input_pipeline.prepare(STREETS, cache_dir=cache)
    seen = []

    def trained_model(config, num_classes=0):
        inputs = keras.Input((None, None, 3), dtype="float32")
        logits = keras.layers.Conv2D(num_classes, 1, kernel_initializer="zeros", name="logits")(inputs)
        model = keras.Model(inputs, {"logits": logits})
        kernel, bias = model.get_weights()
        bias[0] = 1.0  # always the network's first class, which is the data set's last
        model.set_weights([kernel, bias])
        return model, checkpoint.State(classes=[[c.name, list(c.color), c.raw] for c in prepared.classes[::-1]])

    add = report.Gallery.add

    def watched(self, name, image, label, prediction):
        seen.append((name, set(np.unique(prediction).tolist())))
        add(self, name, image, label, prediction)

    monkeypatch.setattr(report.Gallery, "add", watched)
    monkeypatch.setattr(evaluate, "trained_model", trained_model)
    monkeypatch.setattr(evaluate, "_is_run", lambda config: True)
    options = {"workdir": str(tmp_path), "batch_size": 2, "strategy": strategy}
    result = evaluate.evaluate(Config(mode="evaluate", dataset=STREETS, cache_dir=cache, **options))
    assert json.loads((tmp_path / "evaluation_val.json").read_text()) == result
    assert len({name for name, _ in seen}) == 3
    assert all(ids == {prepared.num_classes - 1} for _, ids in seen)
    text = (tmp_path / "report_val.html").read_text()
    assert f"<b>{metrics.percent(result['miou'])}</b><span>mean IoU %</span>" in text
    assert len(Page(text).captions) == 3  # the image that fills up the last batch is none
    assert not list(tmp_path.glob("*.writing"))


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium")
def test_a_browser_sorts_the_classes_and_reports_no_error(tmp_path):
    press = 'document.querySelectorAll(".classes button")[2].click();'
    click = f"<script>{press * 2}</script>"
    path = tmp_path / "page.html"
    path.write_text(page(gallery()).replace("</body>", click + "</body>"), encoding="utf-8")
    words = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}")
    command = ["chromium", *words, "--enable-logging=stderr", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "CONSOLE" not in done.stderr
    assert [row[0] for row in Page(done.stdout).rows[:3]] == ["class", "car <b>&", "road"]  # by IoU, rising
    assert 'aria-sort="ascending"' in done.stdout
