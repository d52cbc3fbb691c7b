"""compare_<split>.html: two runs as one page that needs no other file and no network. Its form is compare.html."""

import dataclasses
import html
import pathlib

import numpy as np
import tensorflow as tf
from absl import logging

import input_pipeline
from tfseg import bootstrap, class_names, evaluate, image_counts, inference, network, page_parts, pictures, prepare
from tfseg import config as config_lib

SHOWN = 4  # images in each direction
GAINED, LOST = (31, 119, 180), (214, 39, 40)
# Options in which two runs may differ without computing anything else.
NOT_SHOWN = ("mode", "workdir", "workdirs", "cache_dir", "output_dir", "images")


def write(
    path: pathlib.Path,
    differences: list[bootstrap.Difference],
    names: tuple[str, str],
    first: image_counts.Counts,
    second: image_counts.Counts,
) -> None:
    """Writes the page.

    Args:
        path: of the page.
        differences: of `bootstrap.differences`.
        names: of the two runs.
        first, second: their evaluations, with classes and images in the same order.
    """
    shown = most_different(first, second)
    options = [
        config_lib.parse(counts.flags, f"the evaluation of {name}")
        for counts, name in zip((first, second), names, strict=True)
    ]
    try:
        drawn, classes = _tiles(options, names, (first, second), {i for part in shown for i, _ in part})
        note = ""
    except (OSError, ValueError) as error:
        logging.warning("The page has no pictures, since the networks cannot be run again: %s", error)
        drawn, classes, note = None, [], f"<p>No pictures: {html.escape(str(error))}</p>"
    text = page_parts.page(
        "compare.html",
        title=f"{names[0]} and {names[1]} on {first.split}",
        about=f"{len(first.ids)} images with labelled pixels. First run: {names[0]}, step {first.step}; second run: "
        f"{names[1]}, step {second.step}. A difference is the second run less the first.",
        cards=_cards(differences[0], names),
        classes=_class_table(differences, names),
        legend=page_parts.legend(classes),
        better=_figures(shown[0], first, drawn, note),
        worse=_figures(shown[1], first, drawn, note),
        options=_options(options, names),
    )
    page_parts.write(path, text)


def most_different(first: image_counts.Counts, second: image_counts.Counts) -> tuple[list, list]:
    """The images whose mean IoU differs most, better and worse in the second run: (index, difference), the largest first."""
    change = image_counts.miou(second.pixels) - image_counts.miou(first.pixels)
    order = np.argsort(change, kind="stable").tolist()
    worse = [(i, float(change[i])) for i in order[:SHOWN] if change[i] < 0]
    better = [(i, float(change[i])) for i in order[::-1][:SHOWN] if change[i] > 0]
    return better, worse


def _tiles(options, names, evaluations, wanted):
    """({index: {caption: picture}}, classes): both networks are run on the images with the wanted indices."""
    prepared = prepare.records(options[0])
    colors = np.array([c.color for c in prepared.classes], np.uint8)
    ids = [evaluations[0].ids[i] for i in sorted(wanted)]
    examples = {}
    for example in prepared.encoded(evaluations[0].split):
        name = example["id"].numpy().decode(errors="replace")
        if name in ids:
            decoded = input_pipeline.decode(example)
            examples[name] = decoded["image"].numpy(), decoded["label"].numpy()
    if missing := [name for name in ids if name not in examples]:
        raise ValueError(f"Expected the image {missing[0]!r} in {prepared.directory}. Received: no such image.")
    predicted = []
    for run, counts, name in zip(options, evaluations, names, strict=True):
        predict = _predictor(run, counts, name, prepared)
        predicted.append({name: predict(image) for name, (image, _) in examples.items()})
    tiles = {}
    for i in wanted:
        image, label = examples[evaluations[0].ids[i]]
        pair = [of_run[evaluations[0].ids[i]] for of_run in predicted]
        tiles[i] = {
            "image": page_parts.encoded(image, ".jpg"),
            "label": page_parts.encoded(pictures.colorize(label, colors), ".png"),
            **{
                name: page_parts.encoded(pictures.colorize(prediction, colors), ".png")
                for name, prediction in zip(names, pair, strict=True)
            },
            "difference": page_parts.encoded(difference_map(image, label, *pair), ".jpg"),
        }
    return tiles, prepared.classes


def _predictor(run, counts, name, prepared):
    """A function from an image, uint8 [height, width, 3], to its prediction with the ids of the data set."""
    model, state = evaluate.trained_model(run, prepared.num_classes)
    network.check_images(model, "compare")
    if state.step != counts.step:
        raise ValueError(
            f"Expected the weights of step {counts.step} in {name}, which were evaluated. Received: step {state.step}. "
            "Evaluate it again."
        )
    outputs = model.output["logits"].shape[-1]
    ids = np.arange(outputs)
    if state.classes:
        ids = np.argsort(class_names.columns(state.class_table(), prepared.classes, outputs))
    if run.monte_carlo:
        sampled = inference.build_sampled(run.inference, model, run.monte_carlo, run.seed)
        scores = tf.function(lambda image: sampled(image)[0])
    else:
        scores = tf.function(inference.build(run.inference, model))
    return lambda image: ids[np.argmax(scores(image[np.newaxis])[0], -1)]


def difference_map(image: np.ndarray, label: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """RGB uint8 [height, width, 3]: GAINED where only the second prediction is right, LOST where only the first one is."""
    gray = image.mean(-1, keepdims=True)
    drawn = np.repeat(170 + gray / 3, 3, -1)
    drawn[(first != label) & (second == label)] = GAINED
    drawn[(first == label) & (second != label)] = LOST
    drawn[label == input_pipeline.IGNORE] = 0
    return np.minimum(drawn, 255).astype(np.uint8)


def _cards(mean, names):
    values = zip(names, (mean.first, mean.second), strict=True)
    cards = [(bootstrap.points(value), f"mean IoU % of {name}") for name, value in values]
    interval = f"{bootstrap.points(mean.low, '+')} to {bootstrap.points(mean.high, '+')}"
    return [*cards, (bootstrap.points(mean.value, "+"), f"difference, {interval}")]


def _class_table(differences, names):
    heads = ["class", *names, "difference", "from", "to"]
    head = "".join(f'<th scope="col"><button type="button">{html.escape(name)}</button></th>' for name in heads)
    rows = []
    for d in differences:
        cells = []
        clear = f' class="{"better" if d.value > 0 else "worse"}"' if d.is_clear else ""
        shown_values = (
            (d.first, "", ""),
            (d.second, "", ""),
            (d.value, "+", clear),
            (d.low, "+", ""),
            (d.high, "+", ""),
        )
        for value, sign, kind in shown_values:
            shown = "" if np.isnan(value) else value
            cells.append(f'<td data-v="{shown}"{kind}>{bootstrap.points(value, sign)}</td>')
        name = html.escape(d.name)
        rows.append(f'<tr><td data-v="{name}">{name}</td>{"".join(cells)}</tr>')
    return f"<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody>"


def _figures(entries, counts, tiles, note):
    if tiles is None:
        rows = (f"<p><b>{bootstrap.points(change, '+')}</b> {html.escape(counts.ids[i])}</p>" for i, change in entries)
        return note + "\n".join(rows)
    return page_parts.figures(
        (counts.ids[i], f"<b>{bootstrap.points(change, '+')}</b>", tiles[i]) for i, change in entries
    )


def _options(options, names):
    first, second = map(dataclasses.asdict, options)
    rows = "".join(
        f"<tr><td>--{name}</td><td>{html.escape(str(first[name]))}</td><td>{html.escape(str(second[name]))}</td></tr>"
        for name in first
        if first[name] != second[name] and name not in NOT_SHOWN
    )
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in ("option", *names))
    return f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody>"
