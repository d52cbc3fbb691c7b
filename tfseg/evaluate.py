"""--mode=evaluate, and the only definition of evaluation, which training and export use too.

Every image counts once, at the size of its label, in one int64 confusion matrix, which is summed over batches and replicas.
Most metrics are computed from this matrix. What else is counted, in the same pass, is a table of `counts.Count`.
"""

import contextlib
import json
import pathlib
import types
from collections.abc import Callable, Mapping, Sequence

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
    image_counts,
    inference,
    initialize,
    metrics,
    network,
    objects,
    overview,
    preflight,
    prepare,
    robustness,
    uncertainty,
)
from tfseg import config as config_lib
from tfseg import counts as counts_lib
from tfseg import report as report_lib


def evaluator(
    model: keras.Model,
    prepared: "input_pipeline.Prepared",
    strategy: tf.distribute.Strategy,
    config: config_lib.Config,
    split: str,
    counts: Mapping[str, counts_lib.Count] = types.MappingProxyType({}),
    *,
    samples: int = 0,
    order: Sequence[int] = (),
    watchers: Sequence[Callable] = (),
) -> Callable:
    """Makes `evaluate(stop=None) -> {name: total}`, which counts a split.

    The totals are "confusion" (int64 [C, C], rows are labels, columns predictions), "unlabelled" (the predictions of pixels
    without a label, int64 [C]), and those of `counts` by their names. The function may be called again whenever the weights
    have changed. It returns None if `stop()` became true meanwhile.

    Args:
        model: with the output "logits"; C is the number of its classes.
        prepared, split: the images.
        strategy, config: how they are computed; `config.inference` says how an image becomes scores.
        counts: what to count besides; losses, uncertainty, the metrics of --metrics.
        samples: how many samples of dropout make the scores; 0: none.
        order: for each class of the data set, its id in the network, and then the network's other ids (blank: they are the
            same). All that is counted has the ids of the data set.
        watchers: each is called for every example of this process as `watch(id, image, label, prediction)`, with NumPy
            arrays. Examples that only fill up the last batch come too, and their labels are IGNORE everywhere.
    """
    replicas = strategy.num_replicas_in_sync
    batch_size = config.eval_batch_size or max(1, config.batch_size // replicas)

    def batches(context=None):
        worker = (context.input_pipeline_id, context.num_input_pipelines) if context else (0, 1)
        return pipeline.evaluation(prepared, split, batch_size, replicas, worker, config.pairs)

    spec = batches().element_spec
    total = -(-prepared.splits[split] // (replicas * spec["label"].shape[0]))
    num_classes = model.output["logits"].shape[-1]
    reordered = list(order) != sorted(order)
    ids_in_data = np.argsort(order).astype(np.int32)
    table = {"confusion": counts_lib.confusion(num_classes), "unlabelled": counts_lib.unlabelled(num_classes), **counts}

    counts_lib.check_reads(table, model.output, spec)
    reads = {name for kind in table.values() for name in kind.reads}
    of_model = sorted(reads & set(model.output))
    of_data = sorted(reads & set(spec) - set(of_model))
    compute = inference.build_all(config.inference, model, of_model, samples=samples, seed=config.seed)

    @tf.function(autograph=False)
    def count(batch):
        def of_replica(batch):
            image, label = batch["image"], batch["label"]
            logits, uncertain, outputs = compute(image)
            # The prediction before the classes are put into another order, which would change what becomes of a draw.
            prediction = tf.argmax(logits, axis=-1, output_type=tf.int32)
            if reordered:
                prediction, logits = tf.gather(ids_in_data, prediction), tf.gather(logits, order, axis=-1)
            others = outputs | {n: batch[n] for n in of_data}
            seen = counts_lib.Seen(image, label, logits, prediction, uncertain, others)
            return {name: kind.update(seen) for name, kind in table.items()}, prediction if watchers else ()

        given = {name: batch[name] for name in {"image", "label", *of_data}}
        counted, predictions = strategy.run(of_replica, (given,))
        return tf.nest.map_structure(lambda value: strategy.reduce("SUM", value, axis=None), counted), predictions

    def evaluate(stop=None):
        totals = {name: kind.zero for name, kind in table.items()}
        distributed = strategy.distribute_datasets_from_function(batches)
        for batch in progress.over(pipeline.readable(distributed, prepared), f"evaluate {split}", total, "batches"):
            if stop and stop():
                return None
            counted, predictions = count(batch)
            totals = counts_lib.add(totals, counted)
            if watchers:
                shown = (batch["id"], batch["image"], batch["label"], predictions)
                for parts in zip(*map(strategy.experimental_local_results, shown), strict=True):
                    for example in zip(*(part.numpy() for part in parts), strict=True):
                        for watch in watchers:
                            watch(example[0], example[1][..., :3], *example[2:])
        return totals

    return evaluate


def report(
    totals: dict,
    prepared: "input_pipeline.Prepared",
    split: str,
    step: int,
    counts: Mapping[str, counts_lib.Count] = types.MappingProxyType({}),
) -> dict:
    """The contents of the evaluation file: `miou`, `pixel_accuracy`, ..., `iou` by class name, `images`, `step`.

    `with_unlabelled` has `miou` and `iou` by the other convention. What each of `counts` has to say follows.
    """
    names = [c.name for c in prepared.classes]
    result = metrics.compute(totals["confusion"], names, input_pipeline.categories(prepared.name))
    result["with_unlabelled"] = metrics.compute_with_unlabelled(totals["confusion"], totals["unlabelled"], names)
    result |= {"images": prepared.splits[split], "step": step}
    for name, kind in counts.items():
        result |= kind.values(totals[name])
    return result


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
    network and of the data set are matched by their names. A workdir gets the numbers as JSON, the report as HTML, and what was
    counted in each image, for --mode=compare; an exported network gets the numbers beside it.
    """
    exported = artefact.given(config)
    if exported:
        config = artefact.settled(config)
    preflight.check_inference(config)
    preflight.check_sampling(config)
    preflight.check_metrics(config)
    attack, checked = robustness.build(config)
    if not exported and not _is_run(config):
        _check_given(config)
        preflight.check_network(config)
    prepared = prepare.records(config)
    if config.split not in prepared.splits:
        raise ValueError(f"Expected --split to be one of {sorted(prepared.splits)}. Received: {config.split!r}.")
    robustness.check_sizes(checked, prepared, config.split)
    strategy = distribute.build(config.strategy)
    with strategy.scope():
        model, state = trained_model(config, prepared.num_classes)
    network.check_channels(model, config.pairs)
    if attack or checked:
        network.check_images(model, "evaluate --attack or --consistency")
    preflight.check_windows(config, prepared.steps, model)
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
    if config.workdir:
        pathlib.Path(config.workdir).mkdir(parents=True, exist_ok=True)
    gallery = report_lib.Gallery(prepared.classes, outputs, prepared.shown) if config.workdir else None
    names = [c.name for c in prepared.classes]
    cells = objects.classes_of_cells(config.loss, [c.name for c in state.class_table()] or names)
    counts = metrics.build(config.metrics, names, prepared.things, cells)
    if exported:
        counts = _given_by(counts, model, prepared, exported.path)
    if config.monte_carlo:
        counts["monte_carlo"] = uncertainty.counted(config.monte_carlo, config.seed, outputs)
    what = (model, prepared, strategy, config, config.split, counts)
    with _image_counts(config, prepared, strategy, state.step) as images:
        watchers = [kept.add for kept in (gallery, images) if kept]
        totals = evaluator(*what, samples=config.monte_carlo, order=order or (), watchers=watchers)()
    confusion = totals["confusion"]
    result = report(totals, prepared, config.split, state.step, counts)
    print(metrics.table(result, confusion))
    if totals["unlabelled"].any():
        print(f"miou with unlabelled pixels in the unions {metrics.percent(result['with_unlabelled']['miou'])} %")
    if config.monte_carlo:
        print(uncertainty.table(result["monte_carlo"]))
    if attack or checked:
        result["robustness"] = robustness.measure(model, prepared, config.split, attack, checked, config.seed)
        print(robustness.table(result["robustness"]))
    if exported:
        print(f"Written to {save(exported.folder, config.split, result)}.")
    if config.workdir:
        numbers = save(pathlib.Path(config.workdir), config.split, result)
        sections = [*(kind.section(result) for kind in counts.values()), robustness.section(result)]
        page = report_lib.write(
            config, result, confusion, gallery, prepared.classes, environment.describe(strategy), sections
        )
        print(f"Written to {numbers} and {page}.")
    return result


def _given_by(counts, model, prepared, path):
    """The counts that read no output of the network which an export lacks; the others are named."""
    known = {*model.output, *prepared.features}
    lacking = [name for name, kind in counts.items() if not set(kind.reads) <= known]
    if lacking:
        print(f"Left out     {', '.join(lacking)}: {path} has only {', '.join(model.output)}")
    return {name: kind for name, kind in counts.items() if name not in lacking}


def _image_counts(config, prepared, strategy, step):
    """The writer of what is counted in each image, a context; None inside it if this process does not see every image."""
    if not config.workdir or isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return contextlib.nullcontext()
    return image_counts.Writer(
        image_counts.path(config.workdir, config.split),
        classes=[c.name for c in prepared.classes],
        split=config.split,
        step=step,
        flags=config.text(),
    )


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
