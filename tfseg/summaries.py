"""Writes the numbers and pictures of a run: TensorBoard events in <workdir>/train and eval, and <workdir>/metrics.jsonl."""

import dataclasses
import functools
import json
import pathlib

import keras
import numpy as np
import tensorflow as tf
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import summary as custom_scalar
from tensorboard.plugins.hparams import api as hparams_api
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams import summary as hparams_summary

import input_pipeline
from input_pipeline import pairs
from tfseg import config as config_lib
from tfseg import config_values, gradients, objects, pictures

NORMS = "norms/"  # of modules: they are in TensorBoard, and not in metrics.jsonl
PANELS = 4  # Pictures of the val split, the same ones at every evaluation.
# Options that do not change what a run computes; they are not shown as hyperparameters.
NO_HPARAMS = (
    ("mode", *config_values.PATHS, "overwrite", "skip_bad", "eval_every", "checkpoint_every", "log_every", "keep")
    + ("strategy", "steps_per_call", "profile_steps", "split", "eval_batch_size", "metrics", "attack", "consistency")
    + ("workdirs", "checkpoint", "suppress", "cluster", "reidentify", "peaks")
)  # fmt: skip
FIRST_HPARAMS = (
    "dataset",
    "model",
    "loss",
    "learning_rate",
    "batch_size",
)  # the columns that TensorBoard shows at first
TABLE_METRICS = {
    "metrics/miou": "mIoU",
    "metrics/pixel_accuracy": "pixel accuracy",
    "metrics/mean_accuracy": "mean accuracy",
    "loss/total": "validation loss",
}


class Log:
    """Writes the log of a run. Use it in a `with` statement, which closes the files."""

    def __init__(
        self,
        workdir: pathlib.Path,
        config: config_lib.Config,
        prepared: "input_pipeline.Prepared",
        first_step: int,
        finder: objects.Finder = objects.NONE,
    ):
        self._train = tf.summary.create_file_writer(str(workdir / "train"))
        self._eval = tf.summary.create_file_writer(str(workdir / "eval"))
        self._names = [c.name for c in prepared.classes]
        self._colors = np.array([c.color for c in prepared.classes], np.uint8)
        self._shown = prepared.shown
        self._lines = _open_after(workdir / "metrics.jsonl", first_step)
        self._examples, self._finder = [], finder
        if "val" in prepared.splits:
            make = functools.partial(pairs.of_evaluation, pairs.build(config.pairs))
            examples = prepared.encoded("val").take(PANELS).map(input_pipeline.decode)
            examples = examples.enumerate().map(lambda index, example: make(example, index))
            self._examples = list(examples.as_numpy_iterator())
        with self._train.as_default():
            tf.summary.text("flags", "    " + config.text().replace("\n", "\n    "), step=first_step)
        with self._eval.as_default():  # beside the metrics, so that TensorBoard's table of runs shows their last values
            tf.summary.experimental.write_raw_pb(_table().SerializeToString(), step=0)
            hparams_api.hparams(hparams(config))
            # The tab "Custom scalars" draws the IoU of all classes into one chart, beside the losses of both splits.
            tf.summary.experimental.write_raw_pb(_charts().SerializeToString(), step=0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._train.close()
        self._eval.close()
        self._lines.close()

    def training(self, step: int, values: dict[str, float], model: keras.Model) -> None:
        """Scalars of the steps since the last call, e.g. `loss`, `learning_rate`, `images_per_second`; norms of the weights."""
        with self._train.as_default(step):
            for name, value in {**values, **gradients.weight_norms(model)}.items():
                tf.summary.scalar(tag(name), value)
        self._write({"step": step, **{name: value for name, value in values.items() if not name.startswith(NORMS)}})

    def evaluation(
        self,
        step: int,
        result: dict,
        confusion: np.ndarray,
        model: keras.Model,
        losses: dict[str, float] | None = None,
    ) -> None:
        """Scalars, the confusion matrix as a picture, and input | label | prediction of a few images; true and found objects.

        Args:
            step: the step of the weights.
            result: the result of `evaluate.report`.
            confusion: int64 [classes, classes].
            model: the network that predicts the pictures.
            losses: the losses of the split: {"loss": 0.43, "logits/cross_entropy": 0.43}, named as in training.
        """
        numbers = {name: value for name, value in result.items() if isinstance(value, float)}
        losses = losses or {}
        with self._eval.as_default(step):
            for name, value in losses.items():
                tf.summary.scalar(tag(name), value)
            for name in sorted(numbers, key=lambda name: name != "miou"):
                tf.summary.scalar(f"metrics/{name}", numbers[name])
            for name, value in result["iou"].items():
                if value is not None:
                    tf.summary.scalar(f"iou/{name}", value)
            tf.summary.image("pictures/confusion", pictures.confusion_picture(confusion, self._names)[np.newaxis])
            for i, example in enumerate(self._examples):
                outputs, name = model(example["image"][np.newaxis], training=False), example["id"].decode()
                prediction = np.argmax(outputs["logits"][0], axis=-1)
                shown = self._shown(example["image"])[..., :3]  # what else a network sees is no picture
                panel = pictures.panel(shown, example["label"], prediction, self._names, self._colors)
                tf.summary.image(f"pictures/example_{i}", panel[np.newaxis], description=name)
                if self._finder.reads:
                    columns = {
                        "true": self._finder.true(example),
                        "found": self._finder.of_outputs(outputs, prediction),
                    }
                    panel = pictures.objects_panel(shown, columns, self._names, self._colors)
                    tf.summary.image(f"pictures/objects_{i}", panel[np.newaxis], description=name)
        self._eval.flush()
        val_loss = {"val_loss": losses["loss"]} if losses else {}
        self._write({"step": step, "split": "val", **numbers, **val_loss, "iou": result["iou"]})

    def _write(self, values):
        self._lines.write(json.dumps(values) + "\n")
        self._lines.flush()


class Trace:
    """TensorBoard's profiler over some steps (`--profile_steps`); to be used in a `with` statement, which ends it.

    The trace is in <workdir>/plugins/profile: TensorBoard shows it where the package tensorboard-plugin-profile is installed.
    """

    def __init__(self, steps: str, workdir: pathlib.Path):
        """Args: steps: `first:last`, both are traced, or blank for none. workdir: of the run."""
        self._first, self._last = traced_steps(steps) if steps else (0, -1)
        self._workdir, self._running = str(workdir), False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stop()

    def before(self, step: int) -> None:
        """To be called before each step, or each call of several, with its number from 1."""
        if self._running and step > self._last:
            self._stop()
        if not self._running and self._first <= step <= self._last:
            tf.profiler.experimental.start(self._workdir)
            self._running = True

    def _stop(self):
        if self._running:
            tf.profiler.experimental.stop()
            self._running = False


def traced_steps(text: str) -> tuple[int, int]:
    """The steps that `10:20` names, from the first to the last.

    Raises:
        ValueError: if the text is not two numbers from 1, the first not above the second.
    """
    first, colon, last = text.partition(":")
    if not (colon and first.strip().isdecimal() and last.strip().isdecimal() and 1 <= int(first) <= int(last)):
        raise ValueError(f"Expected --profile_steps=FIRST:LAST, steps from 1, such as 10:20. Received: {text!r}.")
    return int(first), int(last)


def tag(name: str) -> str:
    """TensorBoard's tag of a number: `loss` -> `loss/total`, `logits/dice` -> `loss/dice`, others -> `rates/<name>`.

    Names that start with `norms/` stay.
    """
    if name.startswith(NORMS):
        return name
    output, _, term = name.rpartition("/")
    if output:
        return f"loss/{term}" if output == "logits" else f"loss/{output}/{term}"
    return "loss/total" if name == "loss" else f"rates/{name}"


def hparams(config: config_lib.Config) -> dict[str, str | int | float | bool]:
    """The options that TensorBoard's table of runs shows: FIRST_HPARAMS, and those that differ from the default."""
    default, found = config_lib.Config(), {}
    for name in _hparam_names():
        value = getattr(config, name)
        if name in FIRST_HPARAMS or value != getattr(default, name):
            found[name] = config_lib.as_text(value) if isinstance(value, tuple) else value
    return found


def _hparam_names():
    return [field.name for field in dataclasses.fields(config_lib.Config) if field.name not in NO_HPARAMS]


def _table():
    """The columns of TensorBoard's table. They are the same for every run, because TensorBoard takes them from any one.

    It first shows the columns that are declared to differ, and at most five until the user selects more.
    """
    columns = [api_pb2.HParamInfo(name=name, differs=name in FIRST_HPARAMS) for name in _hparam_names()]
    metrics = [
        api_pb2.MetricInfo(name=api_pb2.MetricName(tag=name), display_name=shown)
        for name, shown in TABLE_METRICS.items()
    ]
    return hparams_summary.experiment_pb(columns, metrics)


def _charts():
    """The charts of TensorBoard's tab "Custom scalars"."""
    charts = [
        layout_pb2.Chart(title=title, multiline=layout_pb2.MultilineChartContent(tag=[pattern]))
        for title, pattern in (("IoU of every class", "iou/.*"), ("loss", "loss/total"), ("mIoU", "metrics/miou"))
    ]
    return custom_scalar.pb(layout_pb2.Layout(category=[layout_pb2.Category(title="tfseg", chart=charts)]))


def _open_after(path, step):
    """Opens metrics.jsonl for appending. Removes the lines of steps that a resumed run will repeat."""
    lines = path.read_text().splitlines() if path.is_file() else []
    kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
    aside = path.with_suffix(".writing")
    aside.write_text("".join(line + "\n" for line in kept))
    aside.replace(path)
    return path.open("a")
