"""Tries every spec, value and combination of options on something tiny, before a run does any work.

Preparing a data set can take hours, so a mistyped --loss must not wait for it.
"""

import contextlib
import inspect
import os
import types
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

import input_pipeline
import models
from input_pipeline import labelled, mixture, ops, pairs, pipeline
from tfseg import (
    class_weights,
    counts,
    inference,
    initialize,
    losses,
    metrics,
    network,
    objects,
    optimizers,
    prepare,
    summaries,
)
from tfseg import config as config_lib
from tfseg import spec as specs

CLASSES, SIZE = 3, (8, 8)  # of the example that the options are tried on; the size is in pixels


def check(config: config_lib.Config, replicas: int) -> None:
    """Raises ValueError or FileNotFoundError, naming the option, if a run with these options could not start."""
    prepare.check_named(config)
    mixture.check(config.dataset, config.data_dir)
    first = mixture.parse(config.dataset, config.data_dir)[0]
    if not config.model:
        raise ValueError(f"Expected --model, one of: {', '.join(models.names())}. Received: none.")
    check_combinations(config, replicas)
    if config.labelled:
        labelled.share(config.labelled)
    classes = config.num_classes or CLASSES
    with trial("loss", config.loss):
        _try_losses(config, classes)
    check_augmentation(config, replicas)
    check_pairs(config)
    with trial("optimizer", config.optimizer):
        _try_optimizer(config)
    check_inference(config)
    check_metrics(config)
    check_objects(config)
    model = check_network(config)
    network.check_channels(model, config.pairs)
    steps = input_pipeline.steps(first.spec, first.data_dir)
    check_windows(config, steps, model)
    if steps:
        ops.check_copies(config.augment)
        if specs.parse(config.trainer).name != "supervised":
            raise ValueError(f"Expected --trainer=supervised with sequences. Received: --trainer={config.trainer}.")
    with trial("loss", config.loss):
        terms, features = losses.build(config.loss), input_pipeline.features(first.spec, first.data_dir)
        features = [name for name in features if name != "id"]  # for messages only: losses and counts read numbers
        losses.check_reads(terms, model.output, features)
        _trace_losses(terms, model)
    with trial("metrics", config.metrics):
        counts.check_reads(metrics.build(config.metrics, _class_names(config)), model.output, features)
    if config.freeze or config.backbone_learning_rate != 1 or config.layer_decay != 1:
        initialize.backbone_layers(model)


def check_network(config: config_lib.Config) -> keras.Model:
    """Builds the network for a few classes; raises ValueError or FileNotFoundError if it or --init_from cannot be used."""
    with trial("model", config.model):
        model = network.build(config, config.num_classes or CLASSES)
    if config.init_from:
        initialize.check(model, config.init_from)
    return model


def check_windows(config: config_lib.Config, steps: int, model: keras.Model) -> None:
    """Raises ValueError if network, metrics and --inference read other windows of past label maps than the data has.

    Args:
        config: the options.
        steps: label maps in an image of the data; 0: images are pictures.
        model: the network; an exported one does not say what it reads.
    """
    reads = getattr(model, "steps", steps)
    names = {0: "pictures", 1: "windows of 1 label map"}
    has, wants = (names.get(n, f"windows of {n} label maps") for n in (steps, reads))
    if reads != steps:
        advice = f"as drn_pred(steps={steps})" if steps else "or a data set of sequences, as camvid(sequence=4)"
        raise ValueError(
            f"Expected a network that reads {has}, which --dataset={config.dataset} has, {advice}. Received: "
            f"--model={config.model}, which reads {wants}."
        )
    for call in specs.parse_chain(config.metrics):
        function = specs.function("tfseg.metrics", call.name)
        if "steps" in inspect.signature(function).parameters:
            bound = inspect.signature(function).bind(None, *call.args, **call.kwargs)
            bound.apply_defaults()
            if bound.arguments["steps"] != steps:
                raise ValueError(
                    f"Expected in --metrics {call.name}(steps={steps}), as the data has {has}. Received: {call}."
                )
    mixing = [call.name for call in specs.parse_chain(config.inference) if call.name in ("multi_scale", "crf")]
    if steps and (mixing or config.attack or config.consistency):
        raise ValueError(
            f"Expected whole or sliding_window as --inference, no --attack and no --consistency, with images that hold "
            f"label maps: their values must not be mixed. Received: --inference={config.inference} "
            f"--attack={config.attack} --consistency={config.consistency}."
        )


def check_combinations(config: config_lib.Config, replicas: int) -> None:
    """Raises ValueError if options contradict each other or do not fit the number of devices."""
    if config.profile_steps:
        summaries.traced_steps(config.profile_steps)
    if config.batch_size % (replicas * config.accumulate_steps):
        raise ValueError(
            f"Expected --batch_size to be a multiple of the {replicas} replicas times --accumulate_steps="
            f"{config.accumulate_steps}. Received: {config.batch_size}."
        )
    if config.jit_compile and replicas > 1:
        raise ValueError(
            f"Expected one replica with --jit_compile: XLA cannot compile what replicas exchange. Received: {replicas}. "
            "Leave it out, or add --strategy=one_device."
        )


def check_inference(config: config_lib.Config) -> None:
    """Raises ValueError if --inference is not a chain of known names with valid options."""
    stand_in = types.SimpleNamespace(output={"logits": tf.zeros([1, 1, 1, CLASSES])})
    with trial("inference", config.inference):
        inference.build(config.inference, stand_in)


def check_metrics(config: config_lib.Config) -> None:
    """Raises ValueError if --metrics is not a chain of metrics with valid options."""
    with trial("metrics", config.metrics):
        metrics.build(config.metrics, _class_names(config))


def check_objects(config: config_lib.Config) -> None:
    """Raises ValueError if --suppress, --cluster or --peaks has wrong options."""
    for option in objects.WAYS:
        with trial(option, getattr(config, option)):
            objects.chosen(option, getattr(config, option))


def check_sampling(config: config_lib.Config) -> None:
    """Raises ValueError if --monte_carlo is given for a network that has no dropout."""
    if config.monte_carlo and config.model:
        with trial("model", config.model):
            model = network.build(config, config.num_classes or CLASSES)
        inference.build_sampled(config.inference, model, config.monte_carlo, config.seed)


def check_augmentation(config: config_lib.Config, replicas: int = 1) -> None:
    """Raises ValueError if --augment is not a chain of known names with valid options, or cannot run where it is to."""
    with trial("augment", config.augment):
        augment = ops.build(config.augment, SIZE, (0.0, 0.0, 0.0), config.crop_max_class_share)
        example = {"image": tf.zeros([*SIZE, 3], tf.uint8), "label": tf.zeros(SIZE, tf.uint8)}
        augment(example, tf.constant([0, 0]))
        pipeline.finisher(config.augment, config.crop_size, config.batch_size // replicas, config.augment_device)


def check_pairs(config: config_lib.Config) -> None:
    """Raises ValueError if --pairs has wrong options, or cannot be used with the data set and the augmentation."""
    with trial("pairs", config.pairs):
        make = pairs.build(config.pairs)
    if make is None:
        return
    first = mixture.parse(config.dataset, config.data_dir)[0]
    if "instances" not in input_pipeline.features(first.spec, first.data_dir):
        raise ValueError(f"Expected a data set with instances for --pairs. Received: --dataset={config.dataset}.")
    if specs.parse(config.trainer).name != "supervised":
        raise ValueError(f"Expected --trainer=supervised with --pairs. Received: --trainer={config.trainer}.")
    if config.augment_device != "host" or ops.mix(config.augment, 1):
        raise ValueError(
            "Expected for --pairs augmentation on the host that mixes no images. Received: --augment_device="
            f"{config.augment_device} --augment={config.augment}."
        )


@contextlib.contextmanager
def trial(option: str, value: str) -> Iterator[None]:
    """Turns any exception that a wrong value causes in Python, Keras or TensorFlow into a ValueError that names the option."""
    try:
        yield
    except ValueError as error:
        if str(error).startswith("Expected"):
            if value in str(error):
                raise
            raise ValueError(f"{error} In --{option}={value}.") from error
        raise ValueError(f"Expected valid options in --{option}. Received: --{option}={value}: {error}") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, tf.errors.OpError) as error:
        said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"Expected valid options in --{option}. Received: --{option}={value}: {said}") from error


def _class_names(config):
    """The names of the data set's classes. If only its files say them, also all that the metrics' options name is one."""
    try:
        return [c.name for c in input_pipeline.classes(specs.parse(mixture.parse(config.dataset)[0].spec).name)]
    except ValueError:
        options = [value for call in specs.parse_chain(config.metrics) for value in (*call.args, *call.kwargs.values())]
        named = {name for option in options if isinstance(option, (list, tuple)) for name in option}
        return [*(str(i) for i in range(CLASSES)), *sorted(name for name in named if isinstance(name, str))]


def _try_losses(config, classes):
    if config.class_weights not in class_weights.RULES and not os.path.isfile(config.class_weights):
        raise ValueError(class_weights.unknown(config.class_weights))
    weights = None if config.class_weights == "none" else [1.0] * classes
    logits = np.linspace(-1, 1, classes * SIZE[0] * SIZE[1], dtype=np.float32).reshape(1, *SIZE, classes)
    label = np.arange(SIZE[0] * SIZE[1]).reshape(1, *SIZE).astype(np.uint8) % classes
    for term in losses.of_pixels(losses.build(config.loss, weights)):
        total, count = term.function(logits, label)
        if not np.isfinite(total) or not np.isfinite(count):
            raise ValueError(f"Expected finite losses from --loss={config.loss}. Received: {total} from {term.name}.")


def _trace_losses(terms, model):
    """Makes the graph of each loss that reads more than logits and label, as a step does: wrong options are found now."""
    known = {
        "image": tf.TensorSpec([None, None, None, 3], tf.float32),
        "label": tf.TensorSpec([None, None, None], tf.uint8),
        "boxes": tf.TensorSpec([None, None, 4], tf.float32),
        "box_classes": tf.TensorSpec([None, None], tf.int32),
        "instances": tf.TensorSpec([None, None, None], tf.int32),
    } | {name: tf.TensorSpec(output.shape, tf.float32) for name, output in model.output.items()}
    for term in terms:
        if term.reads != losses.PIXELS:
            tf.function(term.function, autograph=False).get_concrete_function(*(known[name] for name in term.reads))


def _try_optimizer(config):
    with trial("schedule", config.schedule):
        schedule = optimizers.Schedule(config.schedule, config.learning_rate, 10, min(config.warmup_steps, 1))
        rates = [float(schedule(step)) for step in (0, 5, 9)]
        if not np.all(np.isfinite(rates)) or min(rates) < 0:
            raise ValueError(
                f"Expected learning rates of 0 or more. Received: {rates} from --schedule={config.schedule}."
            )
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    optimizer = optimizers.build(config.optimizer, schedule, model, weight_decay=config.weight_decay)
    optimizer.apply([tf.ones_like(variable) for variable in model.trainable_variables])
    if not all(np.all(np.isfinite(variable)) for variable in model.trainable_variables):
        raise ValueError(f"Expected a finite step of --optimizer={config.optimizer}. Received: NaN or infinity.")
