"""Training, from the flags to the gradient in one file: train() -> train_step() -> replica_step()."""

import time

import keras
import numpy as np
import tensorflow as tf
from absl import logging
from tqdm import tqdm

import input_pipeline
import models
from input_pipeline import pipeline
from tfseg import checkpoint, class_weights, distribute, initialize, losses, metrics, optimizers, summaries
from tfseg import config as config_lib
from tfseg import evaluate as evaluate_lib
from tfseg.interruption import Interruption


def train(config: config_lib.Config) -> dict:
    """Trains until --steps (or --epochs), going on from the workdir's last checkpoint. Returns the last evaluation.

    Raises:
        SystemExit: after Ctrl-C or SIGTERM, with the state saved.
        FloatingPointError: for a loss or gradient that is not finite; the last checkpoint is from before it.
    """
    if not config.workdir:
        raise ValueError("Expected --workdir, the folder for checkpoints and logs. Received: none.")
    strategy = distribute.build(config.strategy)
    replicas = strategy.num_replicas_in_sync
    if config.batch_size % replicas:
        raise ValueError(
            f"Expected --batch_size to be a multiple of the {replicas} replicas. Received: {config.batch_size}."
        )

    # --- Data ---------------------------------------------------------------------------------------------------------
    prepared = input_pipeline.prepare(config.dataset, config.data_dir, config.cache_dir)
    if "train" not in prepared.splits:
        raise ValueError(f"Expected a train split in {config.dataset}. Received: {sorted(prepared.splits)}.")
    num_classes = config.num_classes or prepared.num_classes
    if num_classes < prepared.num_classes:
        raise ValueError(f"Expected --num_classes of {prepared.num_classes} or more. Received: {num_classes}.")
    steps_per_epoch = prepared.splits["train"] / config.batch_size
    total_steps = config.steps or max(1, round(config.epochs * steps_per_epoch))
    eval_steps = max(1, round(config.eval_every * steps_per_epoch)) if config.eval_every else total_steps
    workdir = checkpoint.claim(config)

    # --- Network, loss, optimizer: everything with variables, inside the scope ------------------------------------------
    weights = class_weights.build(config.class_weights, prepared.statistics["train"], num_classes)
    # Compiled by XLA on its own, cross entropy takes 0.4 of the time on a CPU; the whole step would take longer.
    terms = [t._replace(function=tf.function(t.function, jit_compile=True)) for t in losses.build(config.loss, weights)]
    # Only now: preparing the data draws from Python's generator, and a first run must begin as its repetition does.
    keras.utils.set_random_seed(config.seed)
    schedule = optimizers.Schedule(config.schedule, config.learning_rate, total_steps, config.warmup_steps)
    with strategy.scope():
        model = models.build(config.model, num_classes, normalization=config.normalization)
        optimizer = optimizers.build(config.optimizer, schedule)
        optimizer.build(model.trainable_variables)

    # --- Resume, else start from --init_from, else from random weights --------------------------------------------------
    values = checkpoint.variables(model, optimizer)
    state = checkpoint.restore(workdir, values)
    if state:
        logging.info("Resumed at step %d of %d.", state.step, total_steps)
    else:
        state = checkpoint.State(num_classes=num_classes, classes=[[c.name, list(c.color)] for c in prepared.classes])
        if config.init_from:
            initialize.load(model, config.init_from)

    # --- One step -------------------------------------------------------------------------------------------------------
    def replica_step(batch):
        context = tf.distribute.get_replica_context()
        with tf.GradientTape() as tape:
            outputs = model(batch["image"], training=True)
            parts = {}
            for output, output_weight in {"logits": 1.0, **model.aux_weights}.items():
                for term in terms:
                    total, count = term.function(_at_label_size(outputs[output], batch["label"]), batch["label"])
                    # The count of the whole batch: gradients must not depend on how the batch is split over replicas.
                    count = context.all_reduce("SUM", count)
                    parts[f"{output}/{term.name}"] = output_weight * term.weight * tf.math.divide_no_nan(total, count)
            loss = tf.add_n(list(parts.values()))
        gradients = tape.gradient(loss, model.trainable_variables)
        gradients = context.all_reduce("SUM", gradients)
        norm = tf.linalg.global_norm(gradients)
        gradients = optimizers.clip(gradients, norm, config.clip_norm)
        gradients = optimizers.decay(gradients, model.trainable_variables, config.weight_decay)
        # Keras' optimizer sums over the replicas once more, and would clip before that sum: hence all of the above.
        optimizer.apply([gradient / replicas for gradient in gradients], model.trainable_variables)
        return {"loss": loss, "gradient_norm": norm / replicas, **parts}

    @tf.function
    def train_step(batch):
        sums = strategy.run(replica_step, args=(batch,))
        return {name: strategy.reduce("SUM", value, axis=None) for name, value in sums.items()}

    # --- The loop -------------------------------------------------------------------------------------------------------
    stream = pipeline.training(
        prepared,
        augment=config.augment,
        crop_size=config.crop_size,
        batch_size=config.batch_size,
        seed=config.seed,
        first_batch=state.step,
    )
    batches = pipeline.readable(strategy.experimental_distribute_dataset(stream), prepared)
    evaluate = evaluate_lib.evaluator(model, prepared, strategy, config, "val") if "val" in prepared.splits else None
    log = summaries.Log(workdir, config, prepared, state.step)
    bar = tqdm(total=total_steps, initial=state.step, desc="train", unit="step", mininterval=evaluate_lib.BAR_SECONDS)
    result, unlogged = {}, []  # Steps whose numbers are still on the device: reading each at once would stall it.

    def save():
        _check_finite(unlogged, workdir)
        checkpoint.save(workdir, values, state, config)

    with bar, log, Interruption() as interruption:
        clock = time.monotonic()
        while True:
            due = state.step > 0 and (state.step % eval_steps == 0 or state.step >= total_steps)
            if due and state.evaluated != state.step:
                _check_finite(unlogged, workdir)
                pause = time.monotonic()
                confusion = evaluate(lambda: interruption.requested) if evaluate else None
                if not interruption.requested:
                    state.evaluated = state.step
                    if confusion is not None:
                        result = evaluate_lib.report(confusion, prepared, "val", state.step)
                        if result["miou"] is not None and result["miou"] > state.best:
                            state.best, state.best_step = result["miou"], state.step
                        evaluate_lib.save(workdir, "val", result)
                        log.evaluation(state.step, result, confusion, model)
                        bar.write(f"step {state.step}: val mIoU {metrics.percent(result['miou'])}")
                    save()
                clock += time.monotonic() - pause
            if interruption.requested:
                save()
                bar.write(f"Stopped at step {state.step} of {total_steps}, saved. The same command goes on from there.")
                raise SystemExit(128 + interruption.requested)
            if state.step >= total_steps:
                break
            batch = next(batches)
            unlogged.append((state.step + 1, train_step(batch), strategy.experimental_local_results(batch["id"])))
            state.step += 1
            bar.update()
            if state.step % config.log_every == 0:
                _check_finite(unlogged, workdir)
                means = {k: float(np.mean([outputs[k] for _, outputs, _ in unlogged])) for k in unlogged[0][1]}
                rate = len(unlogged) * config.batch_size / (time.monotonic() - clock)
                learning_rate = float(schedule(state.step - 1))
                log.training(state.step, {**means, "learning_rate": learning_rate, "images_per_second": rate})
                bar.set_postfix(loss=f"{means['loss']:.4f}", lr=f"{learning_rate:.2e}", images_per_s=f"{rate:.1f}")
                unlogged.clear()
                clock = time.monotonic()
            if config.checkpoint_every and state.step % config.checkpoint_every == 0:
                save()
    if result:
        print(metrics.table(result))
    if state.best_step >= 0:
        print(f"Best val mIoU {metrics.percent(state.best)} at step {state.best_step}.")
    print(f"tensorboard --logdir={workdir}")
    return result


def _at_label_size(logits, label):
    """Logits of an auxiliary output at lower resolution, brought to the label's."""
    if logits.shape[1:3] == label.shape[1:3]:
        return logits
    return tf.image.resize(tf.cast(logits, tf.float32), tf.shape(label)[1:3])


def _check_finite(steps, workdir):
    """Raises FloatingPointError naming the first step, loss term and examples that are not finite."""
    for step, outputs, ids in steps:
        wrong = [name for name, value in outputs.items() if not np.isfinite(value)]
        if wrong:
            examples = ", ".join(i.decode() for replica in ids for i in replica.numpy())
            raise FloatingPointError(
                f"Expected finite losses and gradients. Received: {', '.join(wrong)} not finite at step {step}, "
                f"examples {examples}. The last checkpoint in {workdir} is from before this step: look at these images "
                "and labels, or go on from it with a lower --learning_rate or with --clip_norm."
            )
