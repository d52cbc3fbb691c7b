"""<workdir>/report_<split>.html: an evaluation as one page that needs no other file and no network.

The page's form is report.html, a template of the standard library's `string.Template`.
"""

import base64
import html
import json
import pathlib
import statistics
import string
from collections.abc import Sequence

import cv2
import numpy as np

import input_pipeline
from tfseg import config as config_lib
from tfseg import metrics, pictures, uncertainty
from tfseg.metrics.miou import miou

SHOWN = 4  # best and worst images
WIDTH = 480  # of a picture at most, pixels
MANY = 25  # classes; the cells of a larger confusion matrix are small and without numbers
BINS = 20  # of the histogram of the images' mIoU
NAMES = {"miou": "mean IoU", "iou": "IoU", "frequency_weighted_iou": "frequency-weighted IoU"}


class Gallery:
    """The mIoU of every image, and pictures of the best and worst ones; `add` takes one image after the other.

    It keeps one number for each image, and pictures of 2 * SHOWN images.
    """

    def __init__(self, classes: Sequence["input_pipeline.Class"], outputs: int):
        """Begins without images; `outputs` is the number of classes of the network."""
        self.scores, self.best, self.worst = [], [], []
        self._count, self._outputs = len(classes), outputs
        self._colors = np.array([c.color for c in classes], np.uint8)

    def add(self, name: bytes, image: np.ndarray, label: np.ndarray, prediction: np.ndarray) -> None:
        """Takes an image. If no pixel of it has a label, it is left out.

        Args:
            name: the id of the image.
            image: RGB uint8 [height, width, 3].
            label: integer [height, width].
            prediction: integer [height, width], ids of the data set.
        """
        confusion = metrics.confusion_matrix(label, prediction, self._outputs).numpy()[: self._count]
        if not confusion.any():
            return
        score, place = float(miou(confusion)), len(self.scores)
        self.scores.append(score)
        drawn = None
        for kept, rank in ((self.best, -score), (self.worst, score)):
            if len(kept) == SHOWN and rank >= kept[-1][0]:
                continue
            drawn = drawn or self._tiles(image, label, prediction)
            kept.append((rank, place, name.decode(errors="replace"), score, drawn))
            kept.sort(key=lambda entry: entry[:2])
            del kept[SHOWN:]

    def chosen(self) -> tuple[list, list]:
        """(best, worst), each a list of (id, mIoU, {caption: encoded picture}); no image is in both."""
        half = len(self.scores) // 2
        kept = self.best[: len(self.scores) - half], self.worst[:half]
        return tuple([entry[2:] for entry in part] for part in kept)

    def _tiles(self, image, label, prediction):
        return {
            "image": _encoded(image, ".jpg"),
            "label": _encoded(pictures.colorize(label, self._colors), ".png"),
            "prediction": _encoded(pictures.colorize(prediction, self._colors), ".png"),
            "error map": _encoded(pictures.error_map(image, label, prediction), ".jpg"),
        }


def write(
    config: config_lib.Config,
    result: dict,
    confusion: np.ndarray,
    gallery: Gallery,
    classes: Sequence["input_pipeline.Class"],
    environment: dict,
) -> pathlib.Path:
    """Writes the page, first under another name, and returns its path.

    Args:
        config: the options; the page is written to `workdir` and shows all of them.
        result: the contents of the evaluation file.
        confusion: integer [C, C], rows are labels, columns predictions; the columns beyond the classes are shown as one.
        gallery: that has seen the images.
        classes: of the data set.
        environment: of `environment.describe`.
    """
    path = pathlib.Path(config.workdir) / f"report_{config.split}.html"
    aside = path.with_suffix(".writing")
    aside.write_text(page(config, result, confusion, gallery, classes, environment), encoding="utf-8")
    aside.replace(path)
    return path


def page(
    config: config_lib.Config,
    result: dict,
    confusion: np.ndarray,
    gallery: Gallery,
    classes: Sequence["input_pipeline.Class"],
    environment: dict,
) -> str:
    """The page as HTML; the arguments are those of `write`."""
    template = string.Template((pathlib.Path(__file__).parent / "report.html").read_text(encoding="utf-8"))
    best, worst = gallery.chosen()
    return template.substitute(
        title=html.escape(f"{config.model} on {config.dataset}, {config.split}"),
        about=html.escape(f"{result['images']} images, weights of step {result['step']}, inference {config.inference}"),
        cards=_cards(result),
        classes=_class_table(result, confusion, classes),
        uncertainty=_uncertainty(result),
        size="confusion many" if len(classes) > MANY else "confusion",
        confusion=_confusion_table(confusion, [c.name for c in classes]),
        distribution=_distribution(gallery.scores),
        bars=_bars(gallery.scores),
        legend="".join(f"<span>{_swatch(c)}{html.escape(c.name)}</span>" for c in classes),
        best=_figures(best),
        worst=_figures(worst),
        flags=html.escape(config.text()),
        environment=html.escape(json.dumps(environment, indent=1)),
    )


def _cards(result):
    numbers = {name: result[name] for name in metrics.names() if name in result and not isinstance(result[name], dict)}
    first = sorted(numbers, key=lambda name: name != "miou")
    return "\n".join(
        f'<div class="card"><b>{metrics.percent(numbers[name])}</b><span>{html.escape(_name(name))} %</span></div>'
        for name in first
    )


def _class_table(result, confusion, classes):
    columns = {name: result[name] for name in metrics.names() if isinstance(result.get(name), dict)}
    pixels = np.asarray(confusion)[: len(classes)].sum(1)
    shares = (pixels / max(pixels.sum(), 1)).tolist()
    columns["pixels"] = {c.name: share for c, share in zip(classes, shares, strict=True)}
    heads = ["class", *map(_name, columns)]
    head = "".join(f'<th scope="col"><button type="button">{html.escape(name)}</button></th>' for name in heads)
    rows = []
    for c in classes:
        name, values = html.escape(c.name), [column[c.name] for column in columns.values()]
        cells = (f'<td data-v="{"" if v is None else v}">{metrics.percent(v)}</td>' for v in values)
        rows.append(f'<tr><td data-v="{name}">{_swatch(c)}{name}</td>{"".join(cells)}</tr>')
    return f"<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody>"


def _confusion_table(confusion, names):
    """Cells with the percent of their row; what they say in full is their title."""
    count = len(names)
    confusion = np.asarray(confusion)[:count]
    columns, extra = list(names), confusion[:, count:].sum(1, keepdims=True)
    confusion = confusion[:, :count]
    if extra.any():
        confusion, columns = np.hstack([confusion, extra]), [*columns, "other"]
    escaped = [html.escape(name) for name in columns]
    head = "<th></th>" + "".join(f'<th scope="col">{name}</th>' for name in escaped)
    rows = []
    for i, row in enumerate(confusion.tolist()):
        total, cells = sum(row), []
        for j, pixels in enumerate(row):
            if not pixels:
                cells.append("<td></td>" if total else '<td class="none"></td>')
                continue
            share = pixels / total
            shade = share**0.5  # lets a few percent be seen
            title = f"{escaped[i]} predicted as {escaped[j]}: {100 * share:.2f} % of its pixels ({pixels:,})"
            kind = ("r" if i == j else "w") + (" dark" if shade > 0.6 else "")
            percent = f"{100 * share:.0f}"
            shown = "" if percent == "0" else percent
            cells.append(f'<td class="{kind}" style="--v:{shade:.2f}" title="{title}">{shown}</td>')
        rows.append(f'<tr><th scope="row">{escaped[i]}</th>{"".join(cells)}</tr>')
    return f"<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody>"


def _uncertainty(result):
    if "monte_carlo" not in result:
        return ""
    return f"<h2>Uncertainty</h2>\n<pre>{html.escape(uncertainty.table(result['monte_carlo']))}</pre>"


def _distribution(scores):
    if not scores:
        return "No image has a labelled pixel."
    numbers = {"lowest": min(scores), "median": statistics.median(scores), "highest": max(scores)}
    said = ", ".join(f"{name} {metrics.percent(value)}" for name, value in numbers.items())
    return f"Mean IoU in percent of {len(scores)} images with labelled pixels: {said}."


def _bars(scores):
    counts = np.histogram(scores, BINS, (0, 1))[0].tolist()
    width, most = 100 // BINS, max(*counts, 1)
    bars = (
        f'<div style="height:{100 * n / most:.1f}%" title="{width * i} to {width * (i + 1)} %: {n} images"></div>'
        for i, n in enumerate(counts)
    )
    ends = "<span>0 %</span><span>mean IoU of an image</span><span>100 %</span>"
    return f'<div class="bars">{"".join(bars)}</div>\n<div class="scale">{ends}</div>'


def _figures(entries):
    if not entries:
        return "<p>None.</p>"
    return "\n".join(_figure(*entry) for entry in entries)


def _figure(name, score, tiles):
    name = html.escape(name)
    shown = (f'<div>{what}<img src="{data}" alt="{what} of {name}"></div>' for what, data in tiles.items())
    caption = f"<figcaption><b>{metrics.percent(score)} %</b> {name}</figcaption>"
    return f'<figure>{caption}<div class="tiles">{"".join(shown)}</div></figure>'


def _swatch(c):
    return '<i class="swatch" style="background:rgb({},{},{})"></i>'.format(*c.color)


def _name(name):
    return NAMES.get(name, name.replace("_", " "))


def _encoded(picture, suffix):
    """The picture, RGB uint8 [height, width, 3], as a data URL, no wider than WIDTH."""
    height, width = picture.shape[:2]
    if width > WIDTH:
        size = (WIDTH, max(1, round(height * WIDTH / width)))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    data = cv2.imencode(suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    kind = {".jpg": "jpeg", ".png": "png"}[suffix]
    return f"data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode()}"
