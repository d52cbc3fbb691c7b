"""Draws the confusion matrix and the costs of networks with matplotlib. It opens no window and changes no global state."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from tfseg.pictures import text

DPI = 72  # so that a point of type is a pixel
MARGIN = 10
RIGHT, WRONG, PALE, GRID = (26, 84, 144), (196, 62, 28), (240, 240, 240), (225, 225, 225)


def confusion_picture(confusion: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """A confusion matrix with rows of 100 %: what became of each class's pixels.

    Args:
        confusion: integer [C, C], rows are labels, columns predictions; classes beyond the names are drawn as one
            column "other". A row without pixels is gray.
        names: of the classes.

    Returns:
        RGB uint8 [height, width, 3].
    """
    confusion, count = np.asarray(confusion, np.float64), len(names)
    extra = confusion[:count, count:].sum(1, keepdims=True)
    confusion, columns = confusion[:count, :count], [*names]
    if extra.any():
        confusion, columns = np.hstack([confusion, extra]), [*columns, "other"]
    pixels = confusion.sum(1, keepdims=True)
    share = np.divide(confusion, pixels, out=np.zeros_like(confusion), where=pixels > 0)

    cell = max(40 if count <= 12 else 34 if count <= 25 else 26 if count <= 40 else 12, 84 // count)
    size = min(text.SIZE, cell - 3)
    rows, heads = ([text.shorten(name, 180, size) for name in some] for some in (names, columns))
    left, top = (MARGIN + text.SIZE + 16 + max(text.width(name, size) for name in some) for some in (rows, heads))
    width, height = left + len(columns) * cell + MARGIN, top + count * cell + MARGIN
    figure = Figure((width / DPI, height / DPI), DPI)
    axes = figure.add_axes((left / width, MARGIN / height, len(columns) * cell / width, count * cell / height))
    colors = np.empty((*share.shape, 3), np.uint8)
    for (i, j), value in np.ndenumerate(share):
        # The square root lets a few percent be seen.
        shade = 255 + (np.array(RIGHT if i == j else WRONG) - 255) * value**0.5
        colors[i, j] = np.rint(shade) if pixels[i] else PALE
        percent = f"{100 * value:.0f}"
        if cell > text.SIZE and pixels[i] and percent != "0":
            color = "white" if colors[i, j].sum() < 390 else "black"
            axes.text(j, i, percent, size=min(size, cell // 2 - 2), color=color, ha="center", va="center_baseline")
    axes.imshow(colors, interpolation="nearest", aspect="auto")
    axes.set_xticks(range(len(columns)), heads, size=size, rotation=90)
    axes.set_yticks(range(count), rows, size=size)
    axes.tick_params(which="both", length=0, top=True, labeltop=True, bottom=False, labelbottom=False, pad=4)
    axes.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(count + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=np.array(GRID) / 255, linewidth=1)
    axes.spines[:].set_visible(False)
    title = {"size": text.SIZE, "weight": "bold", "ha": "center", "va": "center"}
    figure.text((left + len(columns) * cell / 2) / width, 1 - (MARGIN + 8) / height, "prediction", **title)
    figure.text((MARGIN + 8) / width, (MARGIN + count * cell / 2) / height, "label", rotation=90, **title)
    return _pixels(figure)


def costs_picture(rows: Sequence[dict], label: Callable[[dict], str], size: tuple[int, int] = (960, 640)) -> np.ndarray:
    """Latency against parameters, both logarithmic; the area of a dot is its multiply-accumulates.

    Args:
        rows: with `parameters`, `p50_ms` (milliseconds an image, median) and `gmacs` (1e9 multiply-accumulates).
        label: what is written beside the dot of a row.
        size: width and height of the picture, pixels.

    Returns:
        RGB uint8 [height, width, 3].
    """
    figure = Figure((size[0] / DPI, size[1] / DPI), DPI, layout="constrained")
    axes = figure.subplots()
    x, y, macs = (np.array([row[key] for row in rows], float) for key in ("parameters", "p50_ms", "gmacs"))
    axes.scatter(
        x, y, s=np.maximum(9, 900 * macs / max(macs.max(), 1e-9)), color="#4682b4", edgecolors="white", zorder=2
    )
    axes.set(xscale="log", yscale="log", xlabel="parameters", ylabel="milliseconds an image (median)")
    axes.set_title("The area of a dot is its multiply-accumulates", size=text.SIZE, loc="left")
    axes.grid(which="both", color="#e6e6e6", zorder=0)
    axes.margins(0.12)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    figure.draw_without_rendering()  # only now are the places of the dots known in pixels
    taken = []
    for i in np.argsort(-macs):
        name, radius = label(rows[i]), 15 * (macs[i] / max(macs.max(), 1e-9)) ** 0.5
        across, up = axes.transData.transform((x[i], y[i]))
        length = text.width(name, 11)
        beside = across + radius + 5 + length < size[0]
        place = (across + radius + 5, up) if beside else (size[0] - length - 4, up - radius - 9)
        taken.append(_free_place(taken, *place, length))
        figure.text(taken[-1][0] / size[0], taken[-1][1] / size[1], name, size=11, va="center")
    return _pixels(figure)


def _free_place(taken, x, y, width):
    """Where a label goes, (x, y, its width): moved down until it covers none of those before it."""
    while any(abs(y - below) < 13 and x < start + length and start < x + width for start, below, length in taken):
        y -= 13
    return x, y, width


def _pixels(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
