"""--mode=evaluate, and the only definition of evaluation, which training and export use too.

Every image counts once, at the size of its label, in one int64 confusion matrix, which is summed over batches and replicas. All
metrics are computed from this matrix.
"""

import json
import pathlib
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

import input_pipeline
from input_pipeline import pipeline, progress
from tfseg import (
    artefact,
    checkpoint,
    class_names,
    distribute,
    environment,
    inference,
    initialize,
    losses,
    metrics,
    network,
    overview,
    preflight,
    prepare,
    uncertainty,
)
from tfseg import config as config_lib
from tfseg import report as report_lib


def evaluator(
    model: keras.Model,
    prepared: "input_pipeline.Prepared",
    strategy: tf.distribute.Strategy,
    config: config_lib.Config,
    split: str,
    terms: Sequence[losses.Term] = (),
    samples: int = 0,
    order: Sequence[int] = (),
    unlabelled: bool = False,
    watch: Callable | None = None,
) -> Callable:
    """Makes `evaluate(stop=None) -> confusion matrix` (int64 [classes, classes], rows label, columns prediction).

    With `terms` it returns (confusion matrix, {"loss": .., "logits/<term>": ..}): for each term its weight times its sum over
    the split divided by its count over the split, and the sum of the terms. They are computed from the scores of
    `config.inference`, without auxiliary outputs. With `samples`, of dropout, the dict has "monte_carlo", the numbers of
    uncertainty.py; `order` is then, for each class of the data set, its id in the network, and the network's other ids
    (blank: they are the same). With `unlabelled` the dict has "unlabelled", the predictions of pixels without a label (int64
    [classes]). The function may be called again whenever the weights have changed. It returns None if `stop()` became true
    meanwhile. `watch(id, image, label, prediction)` is called for each example of this process, with the ids of the data
    set; examples that only fill up the last batch come too, and their labels are IGNORE everywhere.
    """
    replicas = strategy.num_replicas_in_sync
    batch_size = config.eval_batch_size or max(1, config.batch_size // replicas)

    def batches(context=None):
        worker = (context.input_pipeline_id, context.num_input_pipelines) if context else (0, 1)
        return pipeline.evaluation(prepared, split, batch_size, replicas, worker)

    total = -(-prepared.splits[split] // (replicas * batches().element_spec["label"].shape[0]))
    num_classes = model.output["logits"].shape[-1]
    if samples:
        sampled = inference.build_sampled(config.inference, model, samples, config.seed)
    else:
        scores = inference.build(config.inference, model)
    ids_in_data = np.argsort(order).astype(np.int32) if len(order) else np.arange(num_classes, dtype=np.int32)

    @tf.function
    def count(batch):
        def replica_count(image, label):
            logits, maps = sampled(image) if samples else (scores(image), {})
            prediction = tf.argmax(logits, axis=-1, output_type=tf.int32)
            sums = [tf.stack(term.function(logits, label)) for term in terms]
            confusion = metrics.confusion_matrix(label, prediction, num_classes)
            tallied = uncertainty.count(maps, label, tf.gather(ids_in_data, prediction), num_classes) if samples else ()
            ignored = metrics.unlabelled(label, prediction, num_classes) if unlabelled else ()
            return (confusion, sums, tallied, ignored), tf.gather(ids_in_data, prediction) if watch else ()

        counted, predictions = strategy.run(replica_count, (batch["image"], batch["label"]))
        return tf.nest.map_structure(lambda value: strategy.reduce("SUM", value, axis=None), counted), predictions

    def evaluate(stop=None):
        confusion, sums = np.zeros([num_classes, num_classes], np.int64), np.zeros([len(terms), 2])
        tally, without_label = (), np.zeros(num_classes, np.int64)
        distributed = strategy.distribute_datasets_from_function(batches)
        for batch in progress.over(pipeline.readable(distributed, prepared), f"evaluate {split}", total, "batches"):
            if stop and stop():
                return None
            (counted, summed, tallied, ignored), predictions = count(batch)
            confusion += counted.numpy()
            sums += np.reshape(summed, sums.shape)
            if watch:
                shown = (batch["id"], batch["image"], batch["label"], predictions)
                for parts in zip(*map(strategy.experimental_local_results, shown), strict=True):
                    for example in zip(*(part.numpy() for part in parts), strict=True):
                        watch(*example)
            tally = [a + b.numpy() for a, b in zip(tally or (0, 0), tallied, strict=True)] if samples else ()
            without_label += ignored.numpy() if unlabelled else 0
        found = _losses(terms, sums) if terms else {}
        if samples:
            found["monte_carlo"] = {"samples": samples, "seed": config.seed, **uncertainty.numbers(*tally)}
        if unlabelled:
            found["unlabelled"] = without_label
        return (confusion, found) if found else confusion

    return evaluate


def _losses(terms, sums):
    """{"loss": .., "logits/<term>": ..} from the (sum, count) of each term; a term with a count of 0 is 0."""
    parts = {f"logits/{t.name}": t.weight * (n and s / n) for t, (s, n) in zip(terms, sums.tolist(), strict=True)}
    return {"loss": sum(parts.values()), **parts}


def report(
    confusion: np.ndarray,
    prepared: "input_pipeline.Prepared",
    split: str,
    step: int,
    unlabelled: np.ndarray | None = None,
) -> dict:
    """The contents of the evaluation file: `miou`, `pixel_accuracy`, ..., `iou` by class name, `images`, `step`.

    With the predictions of pixels without a label, also `with_unlabelled`: `miou` and `iou` by the other convention.
    """
    names = [c.name for c in prepared.classes]
    result = metrics.compute(confusion, names)
    if unlabelled is not None:
        result["with_unlabelled"] = metrics.compute_with_unlabelled(confusion, unlabelled, names)
    return {**result, "images": prepared.splits[split], "step": step}


def save(workdir: pathlib.Path, split: str, result: dict) -> pathlib.Path:
    """Writes `<workdir>/evaluation_<split>.json`, first under another name, and returns its path."""
    path = workdir / f"evaluation_{split}.json"
    aside = path.with_suffix(".writing")
    aside.write_text(json.dumps(result, indent=2) + "\n")
    aside.replace(path)
    return path


def evaluate(config: config_lib.Config) -> dict:
    """--mode=evaluate: evaluates the best checkpoint of a workdir, or --model with --init_from, on --split.

    Or it evaluates an exported network, which --saved_model, --tflite, --onnx or another format names. The classes of the
    network and of the data set are matched by their names. A workdir gets the numbers as JSON, and the report as HTML; an
    exported network gets the numbers beside it.
    """
    exported = artefact.given(config)
    if exported:
        config = artefact.settled(config)
    preflight.check_inference(config)
    preflight.check_sampling(config)
    if not exported and not _is_run(config):
        _check_given(config)
        preflight.check_network(config)
    prepared = prepare.records(config)
    if config.split not in prepared.splits:
        raise ValueError(f"Expected --split to be one of {sorted(prepared.splits)}. Received: {config.split!r}.")
    strategy = distribute.build(config.strategy)
    with strategy.scope():
        model, state = trained_model(config, prepared.num_classes)
    outputs, order = model.output["logits"].shape[-1], None
    if outputs < prepared.num_classes:
        raise ValueError(
            f"Expected a network of {prepared.num_classes} classes, as many as {prepared.name} has, or more. Received: "
            f"{outputs}. Give weights of such a network and their --num_classes."
        )
    if state.classes:
        order = class_names.columns(state.class_table(), prepared.classes, outputs)
    print(f"Data         {prepared.splits[config.split]} images of {config.split} in {prepared.directory}")
    print(f"Devices      {overview.device_line(strategy, config.precision)}")
    gallery = report_lib.Gallery(prepared.classes, outputs) if config.workdir else None
    compute = evaluator(
        model,
        prepared,
        strategy,
        config,
        config.split,
        (),
        config.monte_carlo,
        order or (),
        True,
        gallery and gallery.add,
    )
    confusion, found = compute()
    unlabelled = found.pop("unlabelled")
    if order:
        confusion, unlabelled = confusion[:, order], unlabelled[order]
    result = {**report(confusion, prepared, config.split, state.step, unlabelled), **found}
    print(metrics.table(result, confusion))
    if unlabelled.any():
        print(f"miou with unlabelled pixels in the unions {metrics.percent(result['with_unlabelled']['miou'])} %")
    if config.monte_carlo:
        print(uncertainty.table(found["monte_carlo"]))
    if exported:
        print(f"Written to {save(exported.folder, config.split, result)}.")
    if config.workdir:
        pathlib.Path(config.workdir).mkdir(parents=True, exist_ok=True)
        numbers = save(pathlib.Path(config.workdir), config.split, result)
        page = report_lib.write(config, result, confusion, gallery, prepared.classes, environment.describe(strategy))
        print(f"Written to {numbers} and {page}.")
    return result


def trained_model(config: config_lib.Config, num_classes: int = 0) -> tuple[keras.Model, checkpoint.State]:
    """The network with the weights of the checkpoint in --workdir, or of --init_from if there is no run.

    If --saved_model, --tflite, --onnx or another format names an exported network, it is that one.

    Args:
        config: the options; `model` and `normalization` say what to build.
        num_classes: used if neither the options nor a checkpoint say how many classes the network has.
    """
    if exported := artefact.given(config):
        return artefact.opened(exported)
    if _is_run(config):
        folder, state = checkpoint.latest(config.workdir, config.checkpoint)
        model = network.build(config, config.num_classes or state.num_classes)
        checkpoint.restore_model(folder, model)
        print(overview.of_weights(config, model, f"{folder}, step {state.step}"))
        return model, state
    _check_given(config)
    _, state = initialize.origin(config.init_from)
    state.num_classes = state.num_classes or config.num_classes or num_classes
    model = network.build(config, config.num_classes or state.num_classes)
    initialize.load(model, config.init_from)
    print(overview.of_weights(config, model, config.init_from))
    return model, state


def _is_run(config):
    return bool(config.workdir) and (pathlib.Path(config.workdir) / "checkpoints").is_dir()


def _check_given(config):
    """Raises ValueError if there is no run, and no network and weights in its place."""
    if not (config.model and config.init_from):
        raise ValueError(
            "Expected --workdir of a run with a checkpoint, or --model and --init_from. "
            f"Received: --workdir={config.workdir!r} --model={config.model!r} --init_from={config.init_from!r}."
        )
