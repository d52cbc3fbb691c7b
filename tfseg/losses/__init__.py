"""Losses: one a file, a function of the file's name; a file is a loss by being here.

    def name(logits, label, *, class_weights=None, <options>) -> (sum, count)

`logits` are float [batch, height, width, classes], `label` train ids [batch, height, width] of the same size with
IGNORE where nothing counts. `sum / count` is the loss, both are float32. They come apart because the mean over the
pixels of all replicas is the sum of the sums over the sum of the counts; the mean of the replicas' means is another
number. `class_weights`, which a loss may leave out, are one weight a class.
"""

import collections
import functools
import inspect
from collections.abc import Callable
from typing import NamedTuple

from tfseg import spec as specs


class Term(NamedTuple):
    """One term of a loss: `weight * sum / count` of `function(logits, label) -> (sum, count)`."""

    name: str
    weight: float
    function: Callable


def names() -> list[str]:
    """The losses a spec may name."""
    return specs.names(__name__)


def build(spec: str, class_weights=None) -> list[Term]:
    """The terms of a spec such as `cross_entropy(label_smoothing=0.1) + 0.5*dice`.

    Args:
        spec: sum of losses with optional factors.
        class_weights: one weight a class, handed to the losses that take it; None: all 1.

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
        terms.append(Term(name, weight, specs.apply(_options(function), call, **given)))
    if class_weights is not None and not weighted:
        raise ValueError(
            f"Expected a loss that takes class weights. Received: {spec!r}. Add one to it, or set --class_weights=none."
        )
    return terms


def _options(function):
    """Takes a loss's options and returns it with them fixed, so that a wrong one is refused before the first step."""

    def fix(**options):
        return functools.partial(function, **options)

    signature = inspect.signature(function)
    fix.__signature__ = signature.replace(parameters=list(signature.parameters.values())[2:])
    return fix
