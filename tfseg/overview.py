"""The summary that a run prints before its first step, and its line at each evaluation."""

import collections
import math
import pathlib

import keras
import tensorflow as tf

import input_pipeline
from tfseg import checkpoint, environment, metrics
from tfseg import config as config_lib


def of_training(
    config: config_lib.Config,
    strategy: tf.distribute.Strategy,
    model: keras.Model,
    prepared: "input_pipeline.Prepared",
    state: checkpoint.State,
    total_steps: int,
) -> str:
    """The devices, the network, the data, the schedule and the folders of a run; one line each."""
    folder = pathlib.Path(config.workdir)
    epoch = prepared.splits["train"] / config.batch_size
    counts = ", ".join(f"{count} {split}" for split, count in prepared.splits.items())
    ignored = [f"{count} of {split}" for split, count in prepared.skipped.items()]
    rows = {
        "Devices": device_line(strategy, config.precision),
        "Network": f"{config.model}, {parameters(model)}",
        "Start": f"{_start(config, state)} of {total_steps}",
        "Data": f"{config.dataset}, {counts} images of {sizes(prepared)}, {prepared.num_classes} classes"
        + (f"; left out as bad: {', '.join(ignored)}" if ignored else ""),
        "Batches": f"{config.batch_size} crops of {config.crop_size[0]}x{config.crop_size[1]}, {epoch:.4g} steps an epoch, "
        f"{total_steps} steps in all ({total_steps / epoch:.4g} epochs)",
        **_mixture(prepared),
        "Loss": f"{config.loss}, {config.optimizer} at {config.learning_rate:g}, {config.schedule}",
        "Records": prepared.directory,
        "Workdir": f"{folder} (checkpoints/, log.txt, metrics.jsonl)",
        "TensorBoard": f"tensorboard --logdir={folder}",
    }
    return "\n".join(f"{name:12} {value}" for name, value in rows.items())


def _mixture(prepared):
    """The row of a mixture: how often an image of each data set is seen in an epoch."""
    seen = [
        f"{number} of {part.name} ({number / part.splits['train']:.3g} times each of {part.splits['train']})"
        for number, part in prepared.parts
    ]
    return {"Mixture": f"an epoch has {', '.join(seen)}"} if seen else {}


def of_weights(config: config_lib.Config, model: keras.Model, origin: str) -> str:
    """The network and where its weights are from: what evaluation, prediction and export print first."""
    return f"Network      {config.model}, {parameters(model)}\nWeights      {origin}"


def device_line(strategy: tf.distribute.Strategy, precision: str) -> str:
    """For example `2 x NVIDIA A100, 2 replicas, mixed_bfloat16`, or `CPU, float32`."""
    count = strategy.num_replicas_in_sync
    names = collections.Counter(environment.devices())
    here = " + ".join(f"{n} x {name}" if n > 1 else name for name, n in names.items())
    return ", ".join([here, *([f"{count} replicas"] if count > 1 else []), precision])


def parameters(model: keras.Model) -> str:
    """For example `0.35 M parameters (0.35 M trainable)`."""
    total, trainable = (sum(math.prod(w.shape) for w in part) for part in (model.weights, model.trainable_weights))
    return f"{total / 1e6:.2f} M parameters ({trainable / 1e6:.2f} M trainable)"


def sizes(prepared: "input_pipeline.Prepared") -> str:
    """The most common image size, height x width in pixels, and how many other sizes there are."""
    found = collections.Counter()
    for statistics in prepared.statistics.values():
        found.update(statistics["sizes"])
    (most, _), *others = found.most_common()
    return f"{most} pixels" + (f" and {len(others)} other sizes" if others else "")


def evaluated(result: dict, state: checkpoint.State, val_loss: float | None) -> str:
    """For example `step 1200: val mIoU 43.21 (best 44.02 at step 900), pixel accuracy 88.10, loss 0.4312`."""
    best = (
        "best so far"
        if state.best_step == state.step
        else f"best {metrics.percent(state.best)} at step {state.best_step}"
    )
    parts = [
        f"step {state.step}: val mIoU {metrics.percent(result['miou'])}"
        + (f" ({best})" if state.best_step >= 0 else ""),
        f"pixel accuracy {metrics.percent(result['pixel_accuracy'])}",
    ]
    return ", ".join(parts + ([] if val_loss is None else [f"loss {val_loss:.4f}"]))


def beside_the_bar(means: dict[str, float], rate: float) -> dict[str, str]:
    """The numbers beside the progress bar: means over the steps since the last ones; `rate` in images per second."""
    rates = {"lr": f"{means['learning_rate']:.2e}", "images_per_s": f"{rate:.1f}"}
    return {"loss": f"{means['loss']:.4f}", **rates}


def of_the_end(result: dict, state: checkpoint.State) -> str:
    """The table of the last evaluation, and the best one; result {}: this start evaluated nothing."""
    best = f"Best val mIoU {metrics.percent(state.best)} at step {state.best_step}."
    lines = [metrics.table(result)] if result else []
    return "\n".join(lines + [best] * (state.best_step >= 0)) or f"Finished at step {state.step}."


def _start(config, state):
    if state.step:
        return f"resumed at step {state.step}"
    return f"weights of {config.init_from}, step 0" if config.init_from else "random weights, step 0"
