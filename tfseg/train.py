"""Training, from the flags to the gradient in one file: train() -> run() -> train_step() -> replica_gradients()."""

import functools
import pathlib
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf

from input_pipeline import pipeline, progress
from tfseg import (
    checkpoint,
    class_weights,
    counts,
    distribute,
    environment,
    initialize,
    losses,
    metrics,
    network,
    objects,
    optimizers,
    overview,
    preflight,
    prepare,
    summaries,
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
                return run(config, strategy, folder, folder if chief else pathlib.Path(elsewhere))
            except FloatingPointError as error:
                workdir.recover(folder, error, config.recover, chief)


def run(
    config: config_lib.Config, strategy: tf.distribute.Strategy, folder: pathlib.Path, output: pathlib.Path
) -> dict:
    """Trains as described in `train`. Reads checkpoints from the workdir `folder` and writes to `output`."""
    replicas = strategy.num_replicas_in_sync
    config = workdir.claim(config)
    preflight.check(config, replicas)

    # --- Data ---------------------------------------------------------------------------------------------------------
    prepared = prepare.records(config)
    if "train" not in prepared.splits:
        raise ValueError(f"Expected a train split in {config.dataset}. Received: {sorted(prepared.splits)}.")
    num_classes = config.num_classes or prepared.num_classes
    if num_classes < prepared.num_classes:
        raise ValueError(f"Expected --num_classes of {prepared.num_classes} or more. Received: {num_classes}.")
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
        scale = gradients_lib.LossScale() if config.precision == "mixed_float16" else None

    # --- Resume; otherwise start from --init_from; otherwise from random weights ----------------------------------------
    values = checkpoint.variables(model, optimizer, average=average, loss_scale=scale)
    state = checkpoint.restore(folder, values)
    if state:
        checkpoint.check_data(state, prepared)
        workdir.write_flags(output, config)
    else:
        state = checkpoint.State(num_classes=num_classes)
        if config.init_from:
            initialize.transfer(model, config.init_from, prepared.classes)
        if average is not None:
            average.set_weights(model.get_weights())
    state.describe(prepared)
    if folder == output:
        print(overview.of_training(config, strategy, model, prepared, state, total_steps))

    finish = pipeline.finisher(config.augment, config.crop_size, config.batch_size // replicas, config.augment_device)

    # --- One step -------------------------------------------------------------------------------------------------------
    forward = functools.partial(model, training=True)
    if config.jit_compile:
        forward = tf.function(forward, jit_compile=True, autograph=False)
    output_weights = {"logits": 1.0, **model.aux_weights}
    of_pixels, of_others = losses.of_pixels(terms), [t for t in terms if t.reads != losses.PIXELS]
    factors = {f"{output}/{t.name}": weight * t.weight for output, weight in output_weights.items() for t in of_pixels}
    factors |= {f"{t.reads[0]}/{t.name}": t.weight for t in of_others}

    def totals(batch):
        """{"logits/cross_entropy": (sum, count)} over a replica's batch, or over a part of it."""
        outputs, pairs = forward(batch["image"]), {}
        for output in output_weights:
            logits, label = losses.at_one_size(outputs[output], batch["label"], model.aux_resolution)
            pairs |= {f"{output}/{term.name}": term.function(logits, label) for term in of_pixels}
        for term in of_others:
            pairs[f"{term.reads[0]}/{term.name}"] = term.function(*losses.read(term, outputs, batch))
        return pairs

    def shares(pairs):
        """The factor of each sum in the loss."""
        # The count of the whole batch, so that gradients do not depend on how the batch is divided over the replicas.
        counts = {
            name: tf.distribute.get_replica_context().all_reduce("SUM", count) for name, (_, count) in pairs.items()
        }
        return {name: tf.math.divide_no_nan(factors[name], count) for name, count in counts.items()}

    def replica_gradients(batch):
        batch = finish(batch)
        loss_scale = 1.0 if scale is None else scale.value
        if config.accumulate_steps > 1:
            parts, gradients = gradients_lib.accumulate(
                totals, shares, batch, config.accumulate_steps, model.trainable_variables, loss_scale
            )
        else:
            with tf.GradientTape() as tape:
                pairs = totals(batch)
                share = shares(pairs)
                parts = {name: share[name] * total for name, (total, _) in pairs.items()}
                loss = loss_scale * tf.add_n(list(parts.values()))
            gradients = gradients_lib.of(tape, loss, model.trainable_variables)
        gradients = tf.distribute.get_replica_context().all_reduce("SUM", gradients)
        gradients = [gradient / loss_scale for gradient in gradients] if scale else gradients
        norm = tf.linalg.global_norm(gradients)
        norms = gradients_lib.module_norms("gradient", gradients, model.trainable_variables) | {"gradient_norm": norm}
        norms = {name: value / replicas for name, value in norms.items()}
        gradients = optimizers.clip(gradients, norm, config.clip_norm)
        return gradients, {"loss": tf.add_n(list(parts.values())), **norms, **parts}

    @tf.function(autograph=False)  # AutoGraph would read the source of every layer, which takes seconds
    def train_step(batches):
        """Takes a step on each of the batches, a list of --steps_per_call, and returns the numbers of each step for the log."""
        numbers = []
        for batch in batches:
            gradients, sums = strategy.run(replica_gradients, (batch,))
            logged = {name: strategy.reduce("SUM", value, axis=None) for name, value in sums.items()}
            if scale is None:
                strategy.run(optimizer.apply, (gradients,))
            else:
                finite = tf.math.is_finite(logged["gradient_norm"])
                tf.cond(finite, functools.partial(strategy.run, optimizer.apply, (gradients,)), lambda: None)
                # Overflows are normal until the scale is low enough. With a scale of 1 or less, the network itself overflows.
                excused = tf.logical_and(tf.logical_not(finite), scale.value > 1.0)
                logged["gradient_norm"] = tf.where(excused, 0.0, logged["gradient_norm"])
                logged["loss_scale"] = tf.identity(scale.value)
                scale.update(finite)
            if average is not None:
                optimizers.follow(average, model, config.ema_decay, optimizer.iterations)
            numbers.append(logged)
        return numbers

    # --- The loop -------------------------------------------------------------------------------------------------------
    def stream(context):
        return pipeline.training(
            prepared,
            augment=config.augment,
            crop_size=config.crop_size,
            max_class_share=config.crop_max_class_share,
            batch_size=config.batch_size,
            seed=config.seed,
            first_batch=state.step,
            replicas=replicas,
            worker=(context.input_pipeline_id, context.num_input_pipelines),
            cache=config.cache,
            augment_device=config.augment_device,
            make_pairs=config.pairs,
        )

    batches = pipeline.readable(strategy.distribute_datasets_from_function(stream), prepared)
    evaluated = model if average is None else average
    # Without XLA: validation images have many sizes, and XLA would compile the loss again for each size.
    names = [c.name for c in prepared.classes]
    cells = objects.classes_of_cells(config.loss, names)
    counted = metrics.build(config.metrics, names, prepared.things, cells)
    validation_losses = counts.losses(plain_terms)
    what = (evaluated, prepared, strategy, config, "val", {**counted, "losses": validation_losses})
    evaluate = evaluate_lib.evaluator(*what) if "val" in prepared.splits else None
    finder = objects.build(config, evaluated.output, names, prepared.things)
    log = summaries.Log(output, config, prepared, state.step, finder)
    bar = progress.bar("train", total_steps, "steps", state.step, leave=True)
    agree = distribute.agreement(strategy)
    # `unlogged` has the steps whose numbers are still on the device: reading them after every step would make it wait.
    result, unlogged = {}, []

    def save():
        gradients_lib.check_finite(unlogged, folder)
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
                gradients_lib.check_finite(unlogged, folder)
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
                gradients_lib.check_finite(unlogged, folder)
                means = {k: float(np.mean([logged[k] for _, logged, _ in unlogged])) for k in unlogged[0][1]}
                elapsed = time.monotonic() - clock
                rate, means["data_wait"] = len(unlogged) * config.batch_size / elapsed, waited / elapsed
                means["learning_rate"] = float(schedule(state.step - 1))
                log.training(state.step, {**means, "images_per_second": rate}, model)
                bar.set_postfix(overview.beside_the_bar(means, rate))
                unlogged.clear()
                clock, waited = time.monotonic(), 0.0
            if config.checkpoint_every and state.step % config.checkpoint_every == 0:
                save()
    print(overview.of_the_end(result, state))
    return result
