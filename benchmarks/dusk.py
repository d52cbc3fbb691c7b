"""`make dusk`: what helps a network that was trained by day to see at dusk? The table of docs/few_labels.md.

    python -m benchmarks.dusk --data_dir=/path/to/CamVid --workdir=runs/dusk

CamVid's drive 0001TP is at dusk, the others are by day. A network is trained by day, and from it every row trains for the same
number of further steps. All are scored on the last 31 frames of the dusk, which no row has seen; only the last row has the
labels of the first 31. Options of main.py may follow. Rows that are done are kept in the workdir, so that the same command goes
on after an interruption.

Dai and Van Gool, Dark Model Adaptation, ITSC 2018 (arXiv:1810.02575). AdaBN: Li et al., Pattern Recognition 2018
(arXiv:1603.04779).
"""

import dataclasses
import json
import pathlib
import statistics
import sys
from collections.abc import Callable

from absl import flags

from input_pipeline import pipeline
from tfseg import batch_statistics, evaluate, flagfiles, prepare, pseudo_label, train
from tfseg import config as config_lib

ROOT = pathlib.Path(__file__).parents[1]
SEEDS = (0, 1, 2)
FURTHER = 100  # steps of each row after the day
FIRST, LAST = "camvid(sequences='0001TP[:31]')", "camvid(sequences='0001TP[31:]')"
DARKER = " | darken(gamma=(1.0, 1.6), gain=(0.4, 1.1))"


class Course:
    """The rows of one seed, each a method that returns the workdir of the run to score, or the options that replace it."""

    def __init__(self, base: config_lib.Config, seed: int):
        self.folder = pathlib.Path(base.workdir) / str(seed)
        self.base = dataclasses.replace(base, mode="train", seed=seed)

    def day(self):
        """The day model."""
        return self._run("day")

    def adabn(self):
        """The day model, with statistics of batch norm from the first dusk frames."""
        config = dataclasses.replace(self.base, workdir=self.day(), dataset=FIRST)
        prepared, (model, _) = prepare.records(config), evaluate.trained_model(config)
        images = (batch["image"] for batch in pipeline.evaluation(prepared, "train", config.batch_size))
        batch_statistics.recompute(model, images)
        file = self.folder / "adabn.weights.h5"
        model.save_weights(file)
        return {"init_from": str(file), "workdir": str(self.folder / "adabn")}

    def more_day(self):
        """More steps by day."""
        return self._further("more_day", self.day())

    def darkened(self):
        """More steps by day, on darkened images."""
        return self._further("darkened", self.day(), augment=self.base.augment + DARKER)

    def direct(self):
        """Pseudo-labels of the first dusk frames."""
        return self._further("direct", self.day(), self._labels(self.day(), "dusk", FIRST, "train"))

    def gradual(self):
        """Pseudo-labels of val, which is darker than the day, then of the first dusk frames."""
        return self._stages("gradual", self.day())

    def darkened_gradual(self):
        """The same from the darkened model, on darkened images."""
        return self._stages("darkened_gradual", self.darkened(), augment=self.base.augment + DARKER)

    def with_labels(self):
        """The true labels of the first dusk frames: the ceiling."""
        return self._further("with_labels", self.day(), f"{self.base.dataset} + 1.0*{FIRST}")

    def _stages(self, name, start, **options):
        """Half of the steps for each darker set."""
        options["steps"] = FURTHER // 2
        middle = self._labels(start, f"{name}_val", self.base.dataset, "val")
        between = self._further(f"{name}_between", start, middle, **options)
        return self._further(name, between, self._labels(between, f"{name}_dusk", FIRST, "train"), **options)

    def _further(self, name, start, dataset="", **options):
        options = {"steps": FURTHER, **options}
        return self._run(name, init_from=start, dataset=dataset or self.base.dataset, **options)

    def _run(self, name, **options):
        config = dataclasses.replace(self.base, workdir=str(self.folder / name), **options)
        done = self.folder / name / "done"
        if not done.is_file():
            train.train(config)
            done.touch()
        return config.workdir

    def _labels(self, workdir, name, dataset, split):
        """The day and, image for image, a data set that the run has labelled."""
        folder = self.folder / "labels" / name
        config = dataclasses.replace(
            self.base,
            mode="pseudo_label",
            workdir=workdir,
            dataset=dataset,
            split=split,
            output_dir=str(folder),
            overwrite=True,
        )
        pseudo_label.pseudo_label(config)
        return f"{self.base.dataset} + 1.0*folder(data_dir={str(folder)!r})"


ROWS = (
    Course.day, Course.adabn, Course.more_day, Course.darkened, Course.direct, Course.gradual, Course.darkened_gradual,
    Course.with_labels,
)  # fmt: skip


def score(course: Course, row: Callable) -> float:
    """The mIoU of a row on the last dusk frames, 0..1; computed once."""
    file = course.folder / f"{row.__name__}.json"
    if not file.is_file():
        found = row(course)
        config = dataclasses.replace(course.base, mode="evaluate", dataset=LAST, split="train")
        given = found if isinstance(found, dict) else {"workdir": found}
        result = evaluate.evaluate(dataclasses.replace(config, **given))
        file.write_text(json.dumps(result))
    return json.loads(file.read_text())["miou"]


def main() -> None:
    """Runs what is not there yet and prints the table after each seed."""
    given = flags.FlagValues()
    config_lib.define_flags(given)
    given(["dusk", *flagfiles.expanded([f"--flagfile={ROOT / 'configs' / 'camvid_dusk.flags'}", *sys.argv[1:]])])
    base, scores = config_lib.from_flags(given), {row: [] for row in ROWS}
    for seed in SEEDS:
        for row in ROWS:
            scores[row].append(100 * score(Course(base, seed), row))
        print("| mIoU on the last dusk frames |" + "".join(f" seed {s} |" for s in SEEDS[: seed + 1]) + " mean |")
        print("|---|" + "---|" * (seed + 2))
        for row, values in scores.items():
            cells = [f"{value:.1f}" for value in (*values, statistics.mean(values))]
            print(f"| {row.__doc__} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
