"""Losses. Each file holds one, a function with the file's name; every file here is a loss that --loss may name.

    def name(logits, label, *, class_weights=None, <options>) -> (sum, count)

A loss names what it reads by its positional parameters: the network's outputs and the tensors of the batch (`image`, `label`,
and those that a data set has besides, `boxes`, `box_classes`, `instances`). One that reads `logits, label` is also computed of
every auxiliary output; others, such as `boundary_bce(boundary, label)` or `discriminative(embedding, label, instances)`, only
once. Outputs come at the size of the label to a loss that reads the label, and as they are to others. Losses of objects count
images.
`logits` are float [batch, height, width, classes]. `label` holds train ids [batch, height, width] of the same size, and
IGNORE for pixels that do not count. The loss is `sum / count`; both are float32. A loss returns the two separately because
the mean over the pixels of all replicas is the total of the sums divided by the total of the counts; a mean of the replicas'
means would be another number. `class_weights`, one weight for each class, are optional for a loss.

A file may declare QUERIES, the outputs of a network of mask classification that its loss reads. They are read at their own
size, and because the logits are made of them, no other loss is needed.
"""

import collections
import functools
import inspect
import sys
from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from input_pipeline import IGNORE
from tfseg import spec as specs

PIXELS = ("logits", "label")  # what most losses read


class Term(NamedTuple):
    """One term of a loss: `weight * sum / count` of `function(*reads) -> (sum, count)`."""

    name: str
    weight: float
    function: Callable
    reads: tuple[str, ...] = PIXELS
    queries: tuple[str, ...] = ()  # those of `reads` that stay at their own size


def names() -> list[str]:
    """The losses a spec may name."""
    return specs.names(__name__)


def build(spec: str, class_weights=None) -> list[Term]:
    """The terms of a spec such as `cross_entropy(label_smoothing=0.1) + 0.5*dice`.

    Args:
        spec: sum of losses with optional factors.
        class_weights: one weight for each class, given to the losses that take it; None: all 1.

    Returns:
        The terms in the spec's order. Names are unique: the second `dice` is `dice_2`.

    Raises:
        ValueError: for an unknown loss or option, and for class weights that no term can use.
    """
    terms, count, weighted = [], collections.Counter(), False
    for weight, call in specs.parse_sum(spec):
        function = specs.function(__name__, call.name, names())
        given = {}
        if class_weights is not None and "class_weights" in inspect.signature(function).parameters:
            given, weighted = {"class_weights": tuple(map(float, class_weights))}, True
        count[call.name] += 1
        name = call.name if count[call.name] == 1 else f"{call.name}_{count[call.name]}"
        queries = getattr(sys.modules[function.__module__], "QUERIES", ())
        terms.append(Term(name, weight, specs.apply(_options(function), call, **given), _reads(function), queries))
    if class_weights is not None and not weighted:
        raise ValueError(
            f"Expected a loss that takes class weights. Received: {spec!r}. Add one to it, or set --class_weights=none."
        )
    return terms


def of_pixels(terms: list[Term]) -> list[Term]:
    """The terms that read only logits and label, so that they can be computed of any output with a channel for each class."""
    return [term for term in terms if term.reads == PIXELS]


def of_network(terms: list[Term], model: keras.Model) -> tuple[dict[str, float], Callable]:
    """The terms of each output of a network, by name, such as `logits/cross_entropy` and `aux_0/cross_entropy`.

    Args:
        terms: of the loss.
        model: a network of `models.build`.

    Returns:
        {name: factor in the loss}, and a function from the network's outputs and a batch to {name: (sum, count)}.
    """
    weights = {"logits": 1.0, **model.aux_weights}
    pixels, others = of_pixels(terms), [term for term in terms if term.reads != PIXELS]
    factors = {f"{output}/{term.name}": weight * term.weight for output, weight in weights.items() for term in pixels}
    factors |= {f"{term.reads[0]}/{term.name}": term.weight for term in others}

    def totals(outputs, batch):
        pairs = {}
        for output in weights:
            logits, label = at_one_size(outputs[output], batch["label"], model.aux_resolution)
            pairs |= {f"{output}/{term.name}": term.function(logits, label) for term in pixels}
        for term in others:
            pairs[f"{term.reads[0]}/{term.name}"] = term.function(*read(term, outputs, batch))
        return pairs

    return factors, totals


def check_reads(terms: list[Term], outputs, batch) -> None:
    """Refuses a loss that reads what neither the network nor the data set provides.

    Args:
        terms: of the loss.
        outputs: the names of the network's outputs.
        batch: the names of the tensors of a batch.

    Raises:
        ValueError: with the names that there are, and if no term reads the logits and the label.
    """
    for term in terms:
        check_known(f"the loss {term.name}", term.reads, outputs, batch, "a network that has it, or leave the loss out")
    if not of_pixels(terms) and not any(term.queries for term in terms):
        received = ", ".join(f"{term.name}({', '.join(term.reads)})" for term in terms)
        raise ValueError(f"Expected a loss of logits and label, such as cross_entropy. Received: {received}.")


def check_known(what: str, reads, outputs, batch, instead: str) -> None:
    """Raises ValueError if a loss or a metric reads what is neither among the network's `outputs` nor in a `batch`, both names.

    Args:
        what: reads it.
        reads: names.
        outputs, batch: names.
        instead: what the user may take.
    """
    known = [*outputs, *(name for name in batch if name not in outputs)]
    if unknown := [name for name in reads if name not in known]:
        raise ValueError(
            f"Expected what {what} reads among the network's outputs and the data set's tensors: {', '.join(known)}. "
            f"Received: {', '.join(unknown)}. Take {instead}."
        )


def read(term, outputs, batch):
    """The outputs of the network and the tensors of the batch that a loss reads.

    If it reads the label, outputs that are maps have its size, but for `queries`.
    """
    found = {name: outputs[name] if name in outputs else batch[name] for name in term.reads}
    if "label" not in term.reads:
        return list(found.values())
    maps = {name for name, x in found.items() if len(x.shape) == 4} - {*term.queries}
    return [at_one_size(x, batch["label"], "label")[0] if name in maps else x for name, x in found.items()]


def at_one_size(logits, label, resolution):
    """Logits and label with the same size: the logits of an auxiliary output are resized to the label, or the label to them.

    Sizes that are known only at run time are taken to be different; resizing to the same size changes nothing.
    """
    if logits.shape[1:3] == label.shape[1:3] and None not in tuple(logits.shape[1:3]):
        return logits, label
    if resolution == "output":
        return logits, tf.image.resize(label[..., tf.newaxis], tf.shape(logits)[1:3], "nearest")[..., 0]
    return tf.image.resize(tf.cast(logits, tf.float32), tf.shape(label)[1:3]), label


@keras.saving.register_keras_serializable("tfseg")
class KerasLoss(keras.losses.Loss):
    """A sum of losses for `model.compile(loss=...)`, for networks that return logits.

    Its value is the one that the training loop computes: the weighted sum of `sum / count` over the terms. Under
    `tf.distribute` each count is summed over the replicas, so that N replicas compute what one computes on the whole batch.
    """

    def __init__(self, spec: str, class_weights=None, name: str = "loss"):
        super().__init__(name=name, reduction=None, dtype="float32")
        self.spec = spec
        self.class_weights = None if class_weights is None else [float(weight) for weight in class_weights]
        self.terms = build(spec, self.class_weights)
        if len(of_pixels(self.terms)) < len(self.terms):
            raise ValueError(f"Expected losses of logits and label, as model.fit gives no others. Received: {spec!r}.")

    def __call__(self, y_true, y_pred, sample_weight=None):
        """Computes the loss of a batch. Keras' own method would cast labels to floats and take a mean."""
        if sample_weight is not None:
            raise ValueError(
                "Expected no sample_weight. Received: one. Set the label of pixels that must not count to "
                f"{IGNORE}; weigh classes with keras_loss(..., class_weights=...)."
            )
        return self.call(y_true, y_pred)

    def call(self, y_true, y_pred):
        """The loss, a float32 scalar, of labels [batch, height, width] and logits [batch, height, width, classes]."""
        label = tf.cast(y_true, tf.int32)
        if len(label.shape) == 4 and label.shape[-1] == 1:
            label = label[..., 0]
        loss = 0.0
        for term in self.terms:
            total, count = term.function(y_pred, label)
            # Keras' optimizers sum the gradients of the replicas, so each replica gives its part of the loss.
            if not tf.distribute.in_cross_replica_context():
                count = tf.distribute.get_replica_context().all_reduce("SUM", count)
            loss += term.weight * tf.math.divide_no_nan(total, count)
        return loss

    def get_config(self):
        """The arguments of the constructor, so that a compiled model can be saved."""
        return {"spec": self.spec, "class_weights": self.class_weights, "name": self.name}


def keras_loss(spec: str, class_weights=None) -> keras.losses.Loss:
    """The losses of a spec as one `keras.losses.Loss`, to train with `model.fit` instead of the training loop.

        network = keras.Model(model.input, model.output["logits"])
        network.compile("adam", loss=keras_loss("cross_entropy + 0.5*dice"))

    Args:
        spec: sum of losses with optional factors, as for --loss.
        class_weights: one weight for each class, for the losses that take it; None: all 1.

    Returns:
        A loss of labels, integers [batch, height, width] or [batch, height, width, 1], 0..classes-1 or 255 where a pixel is
        ignored, and of logits, float [batch, height, width, classes].

    Raises:
        ValueError: for an unknown loss or option, and for class weights that no term can use.
    """
    return KerasLoss(spec, class_weights)


def _options(function):
    """A function from the options of a loss to the loss with these options fixed. It refuses wrong options at once."""

    def fix(**options):
        return functools.partial(function, **options)

    signature = inspect.signature(function)
    fix.__signature__ = signature.replace(parameters=list(signature.parameters.values())[len(_reads(function)) :])
    return fix


def _reads(function):
    """The names of the tensors that a loss reads: its positional parameters."""
    return tuple(p.name for p in inspect.signature(function).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD)
