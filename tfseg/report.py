"""<workdir>/report_<split>.html: an evaluation as one page that needs no other file and no network.

The page's form is report.html, a template of the standard library's `string.Template`.
"""

import html
import json
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

import input_pipeline
from tfseg import config as config_lib
from tfseg import metrics, page_parts, pictures
from tfseg.metrics.miou import miou

SHOWN = 4  # best and worst images
MANY = 25  # classes; the cells of a larger confusion matrix are small and without numbers
WORDS = {"iou": "IoU", "f1": "F1"}
NAMES = {"miou": "mean IoU", "frequency_weighted_iou": "frequency-weighted IoU"}


class Gallery:
    """Pictures of the images with the best and the worst mIoU; `add` takes one image after the other.

    It keeps 2 * SHOWN images, however many there are.
    """

    def __init__(self, classes: Sequence["input_pipeline.Class"], outputs: int, shown: Callable = np.asarray):
        """Begins without images. `outputs` is the number of classes of the network, `shown` makes the picture of an image."""
        self.images, self.best, self.worst = 0, [], []
        self._count, self._outputs, self._shown = len(classes), outputs, shown
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
        score, place = float(miou(confusion)), self.images
        self.images += 1
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
        half = self.images // 2
        kept = self.best[: self.images - half], self.worst[:half]
        return tuple([entry[2:] for entry in part] for part in kept)

    def _tiles(self, image, label, prediction):
        image = self._shown(image)
        return {
            "image": page_parts.encoded(image, ".jpg"),
            "label": page_parts.encoded(pictures.colorize(label, self._colors), ".png"),
            "prediction": page_parts.encoded(pictures.colorize(prediction, self._colors), ".png"),
            "error map": page_parts.encoded(pictures.error_map(image, label, prediction), ".jpg"),
        }


def write(
    config: config_lib.Config,
    result: dict,
    confusion: np.ndarray,
    gallery: Gallery,
    classes: Sequence["input_pipeline.Class"],
    environment: dict,
    sections: Sequence[str] = (),
) -> pathlib.Path:
    """Writes the page, first under another name, and returns its path.

    Args:
        config: the options; the page is written to `workdir` and shows all of them.
        result: the contents of the evaluation file.
        confusion: integer [C, C], rows are labels, columns predictions; the columns beyond the classes are shown as one.
        gallery: that has seen the images.
        classes: of the data set.
        environment: of `environment.describe`.
        sections: further parts of the page, HTML with a heading each.
    """
    path = pathlib.Path(config.workdir) / f"report_{config.split}.html"
    page_parts.write(path, page(config, result, confusion, gallery, classes, environment, sections))
    return path


def page(
    config: config_lib.Config,
    result: dict,
    confusion: np.ndarray,
    gallery: Gallery,
    classes: Sequence["input_pipeline.Class"],
    environment: dict,
    sections: Sequence[str] = (),
) -> str:
    """The page as HTML; the arguments are those of `write`."""
    best, worst = gallery.chosen()
    return page_parts.page(
        "report.html",
        title=f"{config.model} on {config.dataset}, {config.split}",
        about=f"{result['images']} images, weights of step {result['step']}, inference {config.inference}",
        cards=_cards(result),
        classes=_class_table(result, confusion, classes),
        categories=_category_table(result),
        size="confusion many" if len(classes) > MANY else "confusion",
        confusion=_confusion_table(confusion, [c.name for c in classes]),
        sections="\n".join(sections),
        legend=page_parts.legend(classes),
        best=_figures(best),
        worst=_figures(worst),
        flags=html.escape(config.text()),
        environment=html.escape(json.dumps(environment, indent=1)),
    )


def _cards(result):
    numbers = metrics.numbers(result)
    first = sorted(numbers, key=lambda name: name != "miou")
    return [(metrics.percent(numbers[name]), f"{_name(name)} %") for name in first]


def _class_table(result, confusion, classes):
    columns = metrics.by_class(result)
    pixels = np.asarray(confusion)[: len(classes)].sum(1)
    shares = (pixels / max(pixels.sum(), 1)).tolist()
    columns["pixels"] = {c.name: share for c, share in zip(classes, shares, strict=True)}
    heads = ["class", *map(_name, columns)]
    head = "".join(f'<th scope="col"><button type="button">{html.escape(name)}</button></th>' for name in heads)
    rows = []
    for c in classes:
        name, values = html.escape(c.name), [column[c.name] for column in columns.values()]
        cells = (f'<td data-v="{"" if v is None else v}">{metrics.percent(v)}</td>' for v in values)
        rows.append(f'<tr><td data-v="{name}">{page_parts.swatch(c)}{name}</td>{"".join(cells)}</tr>')
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


def _category_table(result):
    if "category_iou" not in result:
        return ""
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{metrics.percent(value)}</td></tr>"
        for name, value in result["category_iou"].items()
    )
    head = '<thead><tr><th scope="col">category</th><th scope="col">IoU</th></tr></thead>'
    return f'<h2>Categories</h2>\n<div class="wide"><table class="categories">{head}<tbody>{rows}</tbody></table></div>'


def _figures(entries):
    return page_parts.figures((name, f"<b>{metrics.percent(score)} %</b>", tiles) for name, score, tiles in entries)


def _name(name):
    return NAMES.get(name, " ".join(WORDS.get(word, word) for word in name.split("_")))
