"""What a run is made of before its first step: its data, loss, network and optimizer, new or from its last checkpoint."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable

import keras
import tensorflow as tf

import input_pipeline
from input_pipeline import labelled, pipeline
from tfseg import (
    checkpoint,
    class_weights,
    gradients,
    initialize,
    losses,
    network,
    optimizers,
    overview,
    preflight,
    prepare,
    workdir,
)
from tfseg import config as config_lib

LABELLED = "labelled.txt"  # in the workdir: the ids of the examples that have labels, where --labelled chose them


@dataclasses.dataclass(frozen=True)
class Parts:
    """The parts of a run that its steps are made of."""

    config: config_lib.Config
    strategy: tf.distribute.Strategy
    folder: pathlib.Path  # the workdir, from which checkpoints are read
    output: pathlib.Path  # where the run writes: the workdir, or elsewhere for all workers but the chief
    prepared: "input_pipeline.Prepared"
    total_steps: int
    eval_steps: int  # between evaluations
    terms: list[losses.Term]  # of the loss, compiled
    plain_terms: list[losses.Term]
    model: keras.Model
    average: keras.Model | None  # the moving average of its weights
    schedule: optimizers.Schedule
    optimizer: keras.optimizers.Optimizer
    scale: gradients.LossScale | None
    forward: Callable  # images -> the network's outputs, in training
    finish: Callable  # what the input pipeline leaves to the device: batch -> batch

    def stream(self, context: tf.distribute.InputContext, step: int, **options) -> tf.data.Dataset:
        """The batches of a worker from `step` on; `options` are those of `pipeline.training`, such as split."""
        config = self.config
        chosen = {
            "augment": config.augment,
            "crop_size": config.crop_size,
            "max_class_share": config.crop_max_class_share,
            "batch_size": config.batch_size,
            "seed": config.seed,
            "first_batch": step,
            "replicas": self.strategy.num_replicas_in_sync,
            "worker": (context.input_pipeline_id, context.num_input_pipelines),
            "cache": config.cache,
            "augment_device": config.augment_device,
            "make_pairs": config.pairs,
        }
        return pipeline.training(self.prepared, **{**chosen, **options})

    def unlabelled(self, context: tf.distribute.InputContext, step: int) -> tf.data.Dataset:
        """Batches of the same number of images without labels, which the host augments as `pipeline.training` describes."""
        return self.stream(context, step, split=labelled.UNLABELLED, stream=1, augment_device="host")


def build(
    config: config_lib.Config,
    strategy: tf.distribute.Strategy,
    folder: pathlib.Path,
    output: pathlib.Path,
    unlabelled: bool = False,
) -> Parts:
    """Checks the options, prepares the data, and builds network, loss and optimizer.

    Args:
        config: the options.
        strategy: the devices.
        folder: the workdir.
        output: as in `Parts`.
        unlabelled: whether the trainer needs examples without labels.

    Raises:
        ValueError, FileNotFoundError: naming the option with which the run could not start.
    """
    config, replicas = workdir.claim(config), strategy.num_replicas_in_sync
    preflight.check(config, replicas)
    if unlabelled and not config.labelled:
        raise ValueError(_no_unlabelled(config))

    # --- Data ---------------------------------------------------------------------------------------------------------
    prepared = prepare.mixed(config)
    if "train" not in prepared.splits:
        raise ValueError(f"Expected a train split in {config.dataset}. Received: {sorted(prepared.splits)}.")
    num_classes = config.num_classes or prepared.num_classes
    if num_classes < prepared.num_classes:
        raise ValueError(f"Expected --num_classes of {prepared.num_classes} or more. Received: {num_classes}.")
    if config.labelled and prepared.parts:
        raise ValueError(
            f"Expected one data set with --labelled. Received: --dataset={config.dataset}. Give the images without labels "
            "masks by --mode=pseudo_label, or leave --labelled out."
        )
    if config.labelled:
        prepared = _labelled(prepared, config, folder, output)
    if unlabelled and labelled.UNLABELLED not in prepared.splits:
        raise ValueError(_no_unlabelled(config))
    steps_per_epoch = prepared.splits["train"] / config.batch_size
    total_steps = config.steps or max(1, round(config.epochs * steps_per_epoch))
    eval_steps = max(1, round(config.eval_every * steps_per_epoch)) if config.eval_every else total_steps

    # --- Network, loss, optimizer: everything with variables, inside the scope ------------------------------------------
    weights = class_weights.build(config.class_weights, prepared.statistics["train"], num_classes)
    plain_terms = losses.build(config.loss, weights)
    # The loss alone is compiled by XLA: cross entropy then takes 0.4 of the time on a CPU. The whole step would be slower.
    terms = [t._replace(function=tf.function(t.function, jit_compile=True, autograph=False)) for t in plain_terms]
    # Not earlier: preparing the data uses Python's random generator, and must not change the results of the run.
    keras.utils.set_random_seed(config.seed)
    learning_rate = config.learning_rate * 0.5 ** len(workdir.recoveries(folder))
    schedule = optimizers.Schedule(config.schedule, learning_rate, total_steps, config.warmup_steps)
    with strategy.scope():
        model = network.build(config, num_classes)
        average = network.build(config, num_classes) if config.ema_decay else None
        if config.freeze:
            initialize.freeze(model, config.freeze)
        optimizer = optimizers.build(
            config.optimizer,
            schedule,
            model,
            weight_decay=config.weight_decay,
            backbone_multiplier=config.backbone_learning_rate,
            layer_decay=config.layer_decay,
        )
        scale = gradients.LossScale() if config.precision == "mixed_float16" else None
    forward = functools.partial(model, training=True)
    if config.jit_compile:
        forward = tf.function(forward, jit_compile=True, autograph=False)
    finish = pipeline.finisher(config.augment, config.crop_size, config.batch_size // replicas, config.augment_device)
    return Parts(
        config, strategy, folder, output, prepared, total_steps, eval_steps, terms, plain_terms, model, average, schedule,
        optimizer, scale, forward, finish,
    )  # fmt: skip


def resume(parts: Parts, **more) -> tuple[checkpoint.State, tf.train.Checkpoint]:
    """Restores the last checkpoint; otherwise starts from --init_from; otherwise from random weights.

    Args:
        parts: of the run.
        more: what its checkpoints hold besides, such as a second network.

    Returns:
        The state of the run, and the variables that its checkpoints hold.
    """
    config, model, average = parts.config, parts.model, parts.average
    values = checkpoint.variables(model, parts.optimizer, average=average, loss_scale=parts.scale, **more)
    state = checkpoint.restore(parts.folder, values)
    if state:
        checkpoint.check_data(state, parts.prepared)
        workdir.write_flags(parts.output, config)
    else:
        state = checkpoint.State(num_classes=model.output["logits"].shape[-1])
        if config.init_from:
            initialize.transfer(model, config.init_from, parts.prepared.classes)
        if average is not None:
            average.set_weights(model.get_weights())
    state.describe(parts.prepared)
    if parts.folder == parts.output:
        print(overview.of_training(config, parts.strategy, model, parts.prepared, state, parts.total_steps))
    return state, values


def _labelled(prepared, config, folder, output):
    """The data set with the labels that --labelled leaves it, whose ids are written into the workdir.

    A run that resumes takes them from there: the file that the option names may have changed.
    """
    written = folder / LABELLED
    resumes = workdir.has_checkpoint(folder) and written.is_file()
    ids = labelled.choose(prepared, str(written) if resumes else config.labelled, config.seed)
    divided = labelled.divide(prepared, ids)
    (output / LABELLED).write_text("".join(f"{name}\n" for name in ids), encoding="utf-8")
    return divided


def _no_unlabelled(config):
    return (
        f"Expected --labelled to leave some examples unlabelled for --trainer={config.trainer}, such as --labelled=0.125. "
        f"Received: --labelled={config.labelled}."
    )
