"""Training: train() -> run() -> loop() -> train_step() -> replica_gradients().

`run` is the ordinary run. Others, in `trainers/`, have a step of their own and share what is here.
"""

import functools
import pathlib
import tempfile
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from input_pipeline import pipeline, progress
from tfseg import (
    assembly,
    checkpoint,
    counts,
    distribute,
    environment,
    losses,
    metrics,
    objects,
    optimizers,
    overview,
    summaries,
    trainers,
    workdir,
)
from tfseg import config as config_lib
from tfseg import evaluate as evaluate_lib
from tfseg import gradients as gradients_lib
from tfseg.interruption import Interruption


def train(config: config_lib.Config) -> dict:
    """Trains until --steps (or --epochs) and returns the last evaluation. Resumes from the last checkpoint of the workdir.

    Raises:
        SystemExit: after Ctrl-C or SIGTERM, with the state saved.
        FloatingPointError: if a loss or gradient is not finite; the last checkpoint is from before that step. With --recover
            the run first goes back to that checkpoint, as often as the option says.
    """
    trainer = trainers.build(config.trainer)
    strategy = distribute.build(config.strategy)
    chief = distribute.is_chief(strategy)
    with (
        workdir.held(config, chief) as folder,
        tempfile.TemporaryDirectory() as elsewhere,
        environment.recorded(folder, strategy, chief),
        distribute.together(),
    ):
        while True:
            try:
                # All workers do the same; only what the chief writes is kept.
                return trainer(config, strategy, folder, folder if chief else pathlib.Path(elsewhere))
            except FloatingPointError as error:
                workdir.recover(folder, error, config.recover, chief)


def run(
    config: config_lib.Config, strategy: tf.distribute.Strategy, folder: pathlib.Path, output: pathlib.Path
) -> dict:
    """The ordinary run, --trainer=supervised. Reads checkpoints from the workdir `folder` and writes to `output`."""
    parts = assembly.build(config, strategy, folder, output)
    state, values = assembly.resume(parts)
    factors, of_outputs = losses.of_network(parts.terms, parts.model)

    def totals(batch):
        """{"logits/cross_entropy": (sum, count)} over a replica's batch, or over a part of it."""
        return of_outputs(parts.forward(batch["image"]), batch)

    step = step_of(parts, gradients_of(parts, totals, factors), parts.optimizer.apply)
    return loop(parts, state, values, step, lambda context: parts.stream(context, state.step))


# --- One step -------------------------------------------------------------------------------------------------------------


def gradients_of(parts: assembly.Parts, totals: Callable, factors: dict[str, float]) -> Callable:
    """Makes the part of a step that each replica does: batch -> the network's gradients, and the numbers for the log.

    Args:
        parts: of the run.
        totals: a replica's batch, or a part of it -> {term: (sum, count)}; what has no factor is only logged.
        factors: {term: factor in the loss}.
    """
    variables, config, scale = parts.model.trainable_variables, parts.config, parts.scale

    def replica_gradients(batch):
        batch = parts.finish(batch)
        loss_scale = 1.0 if scale is None else scale.value
        if config.accumulate_steps > 1:
            pairs, gradients = gradients_lib.accumulate(
                totals, factors, batch, config.accumulate_steps, variables, loss_scale
            )
            terms = gradients_lib.weighted(pairs, factors)
        else:
            with tf.GradientTape() as tape:
                pairs = totals(batch)
                terms = gradients_lib.weighted(pairs, factors)
                loss = loss_scale * tf.add_n(list(terms.values()))
            gradients = gradients_lib.of(tape, loss, variables)
        gradients, norms = gradients_lib.over_replicas(gradients, variables, config.clip_norm, scale)
        others = gradients_lib.means({name: pair for name, pair in pairs.items() if name not in factors})
        return gradients, {"loss": tf.add_n(list(terms.values())), **norms, **terms, **others}

    return replica_gradients


def step_of(parts: assembly.Parts, replica_gradients: Callable, apply: Callable) -> Callable:
    """Makes a step of a run from what its replicas do.

    Args:
        parts: of the run.
        replica_gradients: a replica's batch -> gradients summed over the replicas, and its share of the numbers for the log.
        apply: changes the variables by these gradients, on each replica.
    """
    strategy, scale = parts.strategy, parts.scale

    @tf.function(autograph=False)  # AutoGraph would read the source of every layer, which takes seconds
    def train_step(batches):
        """Takes a step on each of the batches, a list of --steps_per_call, and returns the numbers of each step for the log."""
        numbers = []
        for batch in batches:
            gradients, sums = strategy.run(replica_gradients, (batch,))
            logged = {name: strategy.reduce("SUM", value, axis=None) for name, value in sums.items()}
            if scale is None:
                strategy.run(apply, (gradients,))
            else:
                finite = tf.math.is_finite(logged["gradient_norm"])
                tf.cond(finite, functools.partial(strategy.run, apply, (gradients,)), lambda: None)
                # Overflows are normal until the scale is low enough. With a scale of 1 or less, the network itself overflows.
                excused = tf.logical_and(tf.logical_not(finite), scale.value > 1.0)
                logged["gradient_norm"] = tf.where(excused, 0.0, logged["gradient_norm"])
                logged["loss_scale"] = tf.identity(scale.value)
                scale.update(finite)
            if parts.average is not None:
                optimizers.follow(parts.average, parts.model, parts.config.ema_decay, parts.optimizer.iterations)
            numbers.append(logged)
        return numbers

    return train_step


# --- The loop -------------------------------------------------------------------------------------------------------------


def loop(
    parts: assembly.Parts,
    state: checkpoint.State,
    values: tf.train.Checkpoint,
    train_step: Callable,
    stream: Callable,
) -> dict:
    """Takes steps to the end, evaluates, saves and logs; returns the last evaluation.

    Args:
        parts: of the run.
        state: where it begins.
        values: what its checkpoints hold.
        train_step: a list of batches -> the numbers of each step.
        stream: the input context of a worker -> its batches, from the step of `state` on.
    """
    config, strategy, prepared, output = parts.config, parts.strategy, parts.prepared, parts.output
    total_steps, eval_steps = parts.total_steps, parts.eval_steps
    batches = pipeline.readable(strategy.distribute_datasets_from_function(stream), prepared)
    evaluated = parts.model if parts.average is None else parts.average
    # Without XLA: validation images have many sizes, and XLA would compile the loss again for each size.
    names = [c.name for c in prepared.classes]
    cells = objects.classes_of_cells(config.loss, names)
    counted = metrics.build(config.metrics, names, prepared.things, cells)
    validation_losses = counts.losses(parts.plain_terms)
    what = (evaluated, prepared, strategy, config, "val", {**counted, "losses": validation_losses})
    evaluate = evaluate_lib.evaluator(*what) if "val" in prepared.splits else None
    finder = objects.build(config, evaluated.output, names, prepared.things)
    log = summaries.Log(output, config, prepared, state.step, finder)
    bar = progress.bar("train", total_steps, "steps", state.step, leave=True)
    agree = distribute.agreement(strategy)
    # `unlogged` has the steps whose numbers are still on the device: reading them after every step would make it wait.
    result, unlogged = {}, []

    def save():
        gradients_lib.check_finite(unlogged, parts.folder)
        checkpoint.save(output, values, state, config)

    with bar, log, summaries.Trace(config.profile_steps, output) as trace, Interruption() as interruption:
        if not state.step and config.recover:
            save()
        # The time of the last line in the log, and how long the loop has waited for data since then, in seconds.
        clock, waited = time.monotonic(), 0.0
        while True:
            # Between two steps: evaluate and save if that is due, then stop after a signal or at the end. A run that was
            # stopped before an evaluation makes up for it when it resumes, which `state.evaluated` shows. All workers call
            # `agree` at the same places, so that they stop together, also in the middle of an evaluation.
            due = state.step > 0 and (state.step % eval_steps == 0 or state.step >= total_steps)
            signal = agree(interruption.requested)
            if due and state.evaluated != state.step and not signal:
                gradients_lib.check_finite(unlogged, parts.folder)
                pause = time.monotonic()
                found = evaluate(lambda: agree(interruption.requested)) if evaluate else None
                signal = agree(interruption.requested)
                if not signal:
                    state.evaluated = state.step
                    if found is not None:
                        confusion, val_losses = found["confusion"], validation_losses.values(found["losses"])
                        result = evaluate_lib.report(found, prepared, "val", state.step, counted)
                        state.stale += 1
                        if result["miou"] is not None and result["miou"] > state.best:
                            state.best, state.best_step, state.stale = result["miou"], state.step, 0
                        evaluate_lib.save(output, "val", result)
                        log.evaluation(state.step, result, confusion, evaluated, val_losses)
                        bar.write(overview.evaluated(result, state, val_losses["loss"]))
                    save()
                clock += time.monotonic() - pause
                bar.unpause()
            if signal:
                save()
                bar.write(f"Stopped at step {state.step} of {total_steps}, saved. The same command resumes there.")
                raise SystemExit(128 + signal)
            if state.step >= total_steps:
                break
            if 0 < config.patience <= state.stale:
                bar.write(f"Ended at step {state.step}: no better mIoU in {state.stale} evaluations.")
                break
            pauses = (eval_steps, config.log_every, config.checkpoint_every)
            ahead = min(total_steps - state.step, *(n - state.step % n for n in pauses if n))
            trace.before(state.step + 1)
            asked = time.monotonic()
            some = [next(batches) for _ in range(config.steps_per_call if config.steps_per_call <= ahead else 1)]
            waited += time.monotonic() - asked
            for batch, logged in zip(some, train_step(some), strict=True):
                state.step += 1
                unlogged.append((state.step, logged, strategy.experimental_local_results(batch["id"])))
            bar.update(len(some))
            if state.step % config.log_every == 0:
                gradients_lib.check_finite(unlogged, parts.folder)
                means = {k: float(np.mean([logged[k] for _, logged, _ in unlogged])) for k in unlogged[0][1]}
                elapsed = time.monotonic() - clock
                rate, means["data_wait"] = len(unlogged) * config.batch_size / elapsed, waited / elapsed
                means["learning_rate"] = float(parts.schedule(state.step - 1))
                log.training(state.step, {**means, "images_per_second": rate}, parts.model)
                bar.set_postfix(overview.beside_the_bar(means, rate))
                unlogged.clear()
                clock, waited = time.monotonic(), 0.0
            if config.checkpoint_every and state.step % config.checkpoint_every == 0:
                save()
    print(overview.of_the_end(result, state))
    return result
