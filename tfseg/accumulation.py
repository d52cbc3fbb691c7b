"""--accumulate_steps: the gradient of a batch, computed in parts that fit into memory one after the other."""

from collections.abc import Callable

import tensorflow as tf


def gradients(
    totals: Callable, shares: Callable, batch: dict, parts: int, variables: list, loss_scale: tf.Tensor
) -> tuple[dict, list]:
    """The loss of a batch and its gradients, part by part: the same as at once, batch norm and dropout aside.

    A mean over the batch cannot be had part by part, since its count (of valid pixels, of hard ones) is known after the
    last part only. So each term's sum has a gradient of its own, which is divided by the count in the end.

    Args:
        totals: part of a batch -> {term: (sum, count)}.
        shares: {term: (sum, count)} of the batch -> {term: what a unit of its sum adds to the loss}.
        batch: {name: tensor [batch, ...]}.
        parts: how many; must divide the batch.
        variables: what to derive for.
        loss_scale: factor on the loss whose gradients are returned.

    Returns:
        {term: its part of the loss}, and the gradients.
    """
    pairs, derived = {}, {}
    values = [variable.value for variable in variables]  # of Keras' own TensorFlow cannot make zeros
    for part in _split(batch, parts):
        # One after the other: all at once, which the graph would else allow, they take the memory of the whole.
        with tf.control_dependencies([g for of_term in derived.values() for g in of_term]):
            part = {name: tf.identity(value) for name, value in part.items()}
        with tf.GradientTape(persistent=True) as tape:
            pairs_of_part = totals(part)
            scaled = {term: loss_scale * total for term, (total, _) in pairs_of_part.items()}
        for term, pair in pairs_of_part.items():
            gradient = tape.gradient(scaled[term], values, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            pairs[term] = _add(pairs.get(term), pair)
            derived[term] = _add(derived.get(term), gradient)
    share = shares(pairs)
    return (
        {term: share[term] * total for term, (total, _) in pairs.items()},
        [tf.add_n([share[term] * derived[term][i] for term in derived]) for i in range(len(variables))],
    )


def _split(batch, parts):
    """The rows of a batch in equal parts."""
    size = next(iter(batch.values())).shape[0] // parts
    return [{name: value[i * size : (i + 1) * size] for name, value in batch.items()} for i in range(parts)]


def _add(before, values):
    return list(values) if before is None else [a + b for a, b in zip(before, values, strict=True)]
