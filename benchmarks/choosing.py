"""`make zoo`: docs/choosing.md and its picture, for people who choose a network. `make latency`: the column of latencies.

The scores are in REFERENCE["scores"] of the networks' files, the licences in the tables of docs/weights.md, parameters and
multiply-accumulates in docs/models.md; networks that it lacks are counted here.
"""

import hashlib
import importlib
import json
import re
import sys

from matplotlib.figure import Figure
from PIL import Image
from tqdm import tqdm

import models
from benchmarks import zoo
from tfseg import config, profile
from tfseg import spec as specs

PAGE, PICTURE = zoo.ROOT / "docs" / "choosing.md", zoo.ROOT / "docs" / "pictures" / "choosing.png"
WEIGHTS, LATENCY = zoo.ROOT / "docs" / "weights.md", zoo.ROOT / "docs" / "results" / "latency.json"
# Data set and split of the scores -> what its table says, in this order; the first PANELS are in the picture.
SECTIONS = {
    "Cityscapes val": "Street scenes from a car, 19 classes.",
    "ADE20K val": "Indoors and outdoors, 150 classes: the hardest of these.",
    "VOC val": "Photographs of objects, 20 classes and the background; some networks were trained on COCO too.",
    "COCO val2017, VOC's classes": "torchvision's networks, trained on COCO with the 21 classes of VOC.",
    "CamVid test": "Street scenes, 11 classes, 233 images of 480x360 or 960x720.",
    "Cityscapes test": "From the benchmark's server; older networks have only this one.",
    "VOC test": "From the benchmark's server.",
}
PANELS = 3
HEAD = f"""# Choosing a network

`make zoo` writes this page, from the networks' files. For every data set it lists the networks whose authors, or whose
well-known port, published a score on it, the cheapest first. mIoU is that score in percent, with one scale where the source
tells; [Every network, counted](models.md#papers-references-published-scores) names the source. **Bold** is a network that no
other in its table beats at the same cost or less: start with one of these.

![Published mIoU against multiply-accumulates, a panel for each data set](pictures/{PICTURE.name})

- GMACs are 1e9 multiply-accumulates for one image of {zoo.SIZE[0]}x{zoo.SIZE[1]} pixels, and parameters are counted with
  {zoo.CLASSES} classes. A dash means that the network does not take this size. MACs are not time: a network of many small
  layers, or with much memory traffic, is slower than its MACs say. `--mode=profile --model="pidnet | segformer"` measures on
  your device.
- The scores come from different trainings: other pretraining, image sizes and tricks. A difference below one or two points
  says little about the architecture; our own trainings are in [Results](results.md).
- The licence is that of the published weights that we know ([Published weights](weights.md)), which is often stricter than
  that of the code; a dash means that we know of none. All code here is Apache 2.0, and a network that you train yourself,
  or from a backbone with a free licence, has no other. *Other* is a licence of its own: read it.
"""


def main(device: str = "") -> None:
    """Writes page and picture; with the name of this device first measures the latencies."""
    if device:
        LATENCY.write_text(json.dumps(measured(device), indent=1) + "\n")
    listed = costs(zoo.ROOT / "docs" / "models.md")
    every = {spec: listed.get(canonical(spec)) for table in scores().values() for spec in table}
    for spec in tqdm([spec for spec, cost in every.items() if cost is None], "choosing", unit="network"):
        every[spec] = zoo.cost(spec)
    latency = json.loads(LATENCY.read_text()) if LATENCY.is_file() else None
    PAGE.write_text(page(every, latency))
    draw(every)
    print(f"{len(every)} networks in {PAGE.relative_to(zoo.ROOT)}")


def scores() -> dict[str, dict[str, float]]:
    """{data set and split: {spec: mIoU in percent}}, with the data sets in the order of SECTIONS."""
    found = {data: {} for data in SECTIONS}
    for name in models.names():
        for data, of in getattr(importlib.import_module(f"models.{name}"), "REFERENCE", {}).get("scores", {}).items():
            found[data] |= of
    return found


def canonical(spec: str) -> str:
    """The same text for all spellings of a network: its options with their defaults."""
    name, options = zoo.options(specs.parse(spec))
    return f"{name} {sorted(options.items())}"


def costs(path) -> dict[str, tuple[str, str]]:
    """{canonical spec: (parameters, GMACs)} of docs/models.md or of this page; {} if it is not there."""
    text = path.read_text() if path.is_file() else ""
    rows = re.findall(r"^\| (?:\*\*)?`(.+?)`(?:\*\*)? \| (?:[\d.]+ \| )?([\d,]+) \| ([\d.]+|-) \|", text, re.MULTILINE)
    return {canonical(spec): (parameters, macs) for spec, parameters, macs in rows}


def licences() -> dict[str, list[str]]:
    """{canonical spec: the licences of published weights} of the tables of docs/weights.md."""
    found: dict[str, dict] = {}
    for row in re.findall(r"^\| .* \|$", WEIGHTS.read_text(), re.MULTILINE):
        cells = [cell.strip(" `") for cell in row.strip("|").split("|")]
        # The table of files has network, repository, file, size, licence, score, spec; that of the Hub has repository,
        # commit, licence, data, spec.
        places = {9: (4, 6), 7: (2, 4)}.get(len(cells))
        if places and cells[places[1]].partition("(")[0] in models.names():
            licence, spec = (cells[place] for place in places)
            found.setdefault(canonical(spec), {})[licence] = None  # in order, each once
    return {spec: list(of) for spec, of in found.items()}


def measured(device: str) -> dict:
    """The device, and the median latency of each network in milliseconds, for one image."""
    chain = " | ".join({spec for table in scores().values() for spec in table})
    options = config.Config(mode="profile", model=chain, num_classes=zoo.CLASSES, crop_size=zoo.SIZE)
    return {
        "device": device,
        "milliseconds": {row["model"]: round(row["p50_ms"], 2) for row in profile.profile(options)},
    }


def page(every: dict[str, tuple[str, str]], latency: dict | None = None) -> str:
    """The page's text.

    Args:
        every: {spec: (parameters, GMACs)}, as texts; "-" where they are not known.
        latency: {"device": its name, "milliseconds": {spec: median}}; None leaves the column out.
    """
    text, known = [HEAD], licences()
    if latency:
        text.append(f"Latency is the median for one image of this size on {latency['device']} (`make latency`).\n")
    header = ["network", "mIoU", "parameters", "GMACs", *(["ms"] if latency else []), "licence of weights"]
    for data, table in scores().items():
        rows, best = [], front(table, every)
        for spec, score in sorted(table.items(), key=lambda item: (gmacs(every[item[0]]), item[1])):
            mark = "**" if spec in best else ""
            cells = [f"{mark}`{spec}`{mark}", str(score), *every[spec]]
            if latency:
                cells.append(f"{latency['milliseconds'][spec]:.1f}" if spec in latency["milliseconds"] else "-")
            rows.append("| " + " | ".join([*cells, " or ".join(known.get(canonical(spec), ["-"]))]) + " |")
        text.append(f"## {data}\n\n{SECTIONS[data]}\n\n| {' | '.join(header)} |\n|{'---|' * len(header)}")
        text.append("\n".join(rows) + "\n")
    return "\n".join(text)


def gmacs(cost: tuple[str, str]) -> float:
    """1e9 multiply-accumulates as a number; infinity where they are not known."""
    return float("inf") if cost[1] == "-" else float(cost[1])


def front(table: dict[str, float], every: dict[str, tuple[str, str]]) -> list[str]:
    """The networks that none beats at the same cost or less, the cheapest first."""
    found, best = [], float("-inf")
    for spec in sorted(table, key=lambda spec: (gmacs(every[spec]), -table[spec])):
        if table[spec] > best and gmacs(every[spec]) < float("inf"):
            found.append(spec)
            best = table[spec]
    return found


def points(every: dict[str, tuple[str, str]]) -> list:
    """What the picture shows: [data set, [spec, GMACs, mIoU, whether it is on the front], ..]."""
    shown = []
    for data, table in list(scores().items())[:PANELS]:
        best, known = front(table, every), [spec for spec in table if gmacs(every[spec]) < float("inf")]
        shown.append([data, [[spec, gmacs(every[spec]), table[spec], spec in best] for spec in known]])
    return shown


def digest(shown: list) -> str:
    """Of what a picture shows; it is stored in the picture, so that a test can tell whether it is stale."""
    return hashlib.sha256(json.dumps(shown).encode()).hexdigest()


def label(spec: str) -> str:
    """A short name for a dot: the network and the values of its options."""
    call = specs.parse(spec)
    return " ".join([call.name, *(str(value) for value in call.kwargs.values())])


def draw(every: dict[str, tuple[str, str]]) -> None:
    """Writes the picture: a panel for each data set, the front as a line with names, the others as grey dots."""
    shown, size = points(every), (13.5, 5.2)
    figure = Figure(size, 100, layout="constrained")
    for axes, (data, dots) in zip(figure.subplots(1, len(shown)), shown, strict=True):
        best = sorted(dot[1:] + dot[:1] for dot in dots if dot[3])
        others = [dot for dot in dots if not dot[3]]
        axes.scatter([x for _, x, *_ in others], [y for _, _, y, _ in others], s=18, color="#b0b0b0", zorder=2)
        axes.plot([x for x, *_ in best], [y for _, y, *_ in best], "o-", color="#4682b4", ms=5, lw=1.2, zorder=3)
        axes.set(
            xscale="log",
            title=data,
            xlabel=f"GMACs for one image of {zoo.SIZE[0]}x{zoo.SIZE[1]}",
            ylabel="published mIoU, %",
        )
        low, high = min(x for _, x, *_ in dots), max(x for _, x, *_ in dots)
        bottom, top = min(y for _, _, y, _ in dots), max(y for _, _, y, _ in dots)
        axes.set(xlim=(low / 40, 1.6 * high), ylim=(bottom - 0.06 * (top - bottom), top + 0.12 * (top - bottom)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.grid(which="major", color="#e6e6e6", zorder=0)
        step, last = 0.035 * (top - bottom), float("-inf")
        for x, y, _, spec in best:  # above the front on its left, where no dot can be
            last = max(y + 0.3 * step, last + step)
            axes.annotate(
                label(spec), (x, y), (x / 1.25, last), size=8, ha="right", va="center",
                arrowprops={"arrowstyle": "-", "color": "#4682b4", "lw": 0.5, "shrinkA": 0, "shrinkB": 2},
            )  # fmt: skip
    figure.savefig(PICTURE, metadata={"Description": digest(shown)})


def drawn() -> str:
    """The digest of what the picture shows."""
    with Image.open(PICTURE) as image:
        return image.text["Description"]


if __name__ == "__main__":
    main(*sys.argv[1:])
