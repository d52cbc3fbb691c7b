"""--mode=compare: two runs class by class and image by image, or the table of many runs.

Both read what --mode=evaluate has written to the workdirs. Only for the pictures of two runs their networks are run again, on
the few images that are shown.
"""

import dataclasses
import glob
import json
import os
import pathlib

from tfseg import bootstrap, compare_page, image_counts, metrics, tables
from tfseg import config as config_lib

COLUMNS = ("miou", "pixel_accuracy", "mean_accuracy", "frequency_weighted_iou", "expected_calibration_error")


def compare(config: config_lib.Config) -> list:
    """--mode=compare: prints the table; of two runs it also writes `compare_<split>.html`.

    The page goes to --output_dir, or to the second workdir if that is blank.

    Returns:
        Of two runs, each a path without a pattern, a list of `bootstrap.Difference`: the mean IoU and every class. Of more
        runs, or of a pattern, a list of (workdir, contents of the evaluation file or None), the best first.

    Raises:
        FileNotFoundError: if --workdirs matches nothing, or a run of two has not been evaluated on --split.
        ValueError: if two runs were evaluated on different classes or images.
    """
    words = [word.strip() for word in config.workdirs.split(",") if word.strip()]
    if not words:
        raise ValueError("Expected --workdirs, e.g. --workdirs=runs/a,runs/b or --workdirs='runs/*'. Received: none.")
    if len(words) == 2 and not any(map(glob.has_magic, words)):
        return _two(config, [os.path.abspath(os.path.expanduser(word)) for word in words])
    return _many(config, words)


def _two(config, workdirs):
    first, second = (_counts(workdir, config.split) for workdir in workdirs)
    second = bootstrap.matched(first, second, workdirs)
    found = bootstrap.differences(first, second, config.seed)
    names = short_names(workdirs)
    print(table(found, names, len(first.ids)))
    folder = pathlib.Path(config.output_dir or workdirs[1])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"compare_{config.split}.html"
    compare_page.write(path, found, names, first, second)
    print(f"Written to {path}.")
    return found


def _counts(workdir, split):
    file = image_counts.path(workdir, split)
    if not file.is_file():
        there = "a folder without it" if os.path.isdir(workdir) else "no such folder"
        raise FileNotFoundError(
            f"Expected {file}, which --mode=evaluate writes. Received: {there}. Run: python main.py --mode=evaluate "
            f"--workdir={workdir} --split={split}"
        )
    return image_counts.read(file)


def table(differences: list[bootstrap.Difference], names: tuple[str, str], images: int) -> str:
    """The differences in percent as a table; a star marks those whose interval leaves out 0."""
    rows = [
        [
            d.name,
            *map(bootstrap.points, (d.first, d.second)),
            *(bootstrap.points(x, "+") for x in (d.value, d.low, d.high)),
            "*" * d.is_clear,
        ]
        for d in differences
    ]
    head = ["IoU %", *names, "difference", "from", "to", ""]
    said = (
        f"from, to: {bootstrap.LEVEL:.0%} interval of the paired bootstrap over {images} images ({bootstrap.RESAMPLES} "
        "drawings); *: it leaves out 0"
    )
    return f"{tables.text(head, rows[:1] + [[]] + rows[1:])}\n{said}"


def short_names(workdirs) -> tuple[str, ...]:
    """The last parts of paths, as many as tell them apart."""
    parts = [pathlib.PurePath(workdir).parts for workdir in workdirs]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(p[-count:]) for p in parts]
        if len(set(names)) == len(names):
            return tuple(names)
    return tuple(map(str, workdirs))


def _many(config, words):
    workdirs = []
    for word in words:
        matches = sorted(glob.glob(os.path.expanduser(word)))
        found = [path for path in matches if os.path.isdir(path)]
        if not found:
            raise FileNotFoundError(f"Expected folders of runs in --workdirs={word}. Received: nothing there.")
        workdirs += [os.path.abspath(path) for path in found]
    workdirs = list(dict.fromkeys(workdirs))
    runs = [(workdir, _evaluation(workdir, config.split)) for workdir in workdirs]
    if not any(result for _, result in runs):
        raise FileNotFoundError(
            f"Expected evaluation_{config.split}.json in a folder of --workdirs={config.workdirs}. Received: none in "
            f"{len(workdirs)} folders. Run --mode=evaluate --split={config.split} on them first."
        )
    runs.sort(key=lambda run: -((run[1] or {}).get("miou") or -1))
    print(sweep_table(runs))
    return runs


def _evaluation(workdir, split):
    file = pathlib.Path(workdir) / f"evaluation_{split}.json"
    if not file.is_file():
        return None
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(
            f"Expected the numbers of an evaluation in {file}. Received: {error}. Evaluate again."
        ) from error


def sweep_table(runs: list[tuple[str, dict | None]]) -> str:
    """A row for each run: its numbers in percent, and those of its options in which the runs differ."""
    names = short_names([workdir for workdir, _ in runs])
    columns = [c for c in COLUMNS if any(result and result.get(c) is not None for _, result in runs)]
    options = [_options(workdir) for workdir, _ in runs]
    differing = [
        name
        for name in dict.fromkeys(name for chosen in options for name in chosen)
        if len({chosen[name] for chosen in options if name in chosen}) > 1
    ]
    rows = []
    for name, (_, result), chosen in zip(names, runs, options, strict=True):
        result = result or {}
        numbers = [metrics.percent(result.get(column)) for column in columns]
        about = [str(result.get(key, "-")) for key in ("images", "step")]
        rows.append([name, *numbers, *about, *(chosen.get(option) or "-" for option in differing)])
    return tables.text(["run", *(f"{c} %" for c in columns), "images", "step", *(f"--{o}" for o in differing)], rows)


def _options(workdir):
    """The options that a run was started with, as text; {} for a folder that only holds an evaluation."""
    if not (pathlib.Path(workdir) / "flags").is_file():
        return {}
    options = dataclasses.asdict(config_lib.load(workdir))
    return {name: config_lib.as_text(value) for name, value in options.items() if name not in compare_page.NOT_SHOWN}
