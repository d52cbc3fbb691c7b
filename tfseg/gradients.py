"""Gradients: computed part by part to save memory, scaled for float16, and checked to be finite."""

import pathlib
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from tfseg.workdir import has_checkpoint

INITIAL, GROWTH_STEPS = 2.0**15, 2000


class LossScale(tf.Module):
    """Scales the loss of a float16 run, so that small gradients do not become 0. Create it inside the strategy's scope.

    `value` is a power of 2. It is halved when a gradient overflows, and doubled after 2000 steps without an overflow. The step
    multiplies its loss by it and divides its gradients by it; both are exact. A step that overflows is not applied.
    """

    def __init__(self):
        super().__init__()
        self.value = tf.Variable(INITIAL, trainable=False)
        self._steps = tf.Variable(0, trainable=False)  # since the last change

    def update(self, finite: tf.Tensor) -> None:
        """Adapts the scale to whether the step's gradients were finite; called outside the replicas."""
        steps = tf.where(finite, self._steps + 1, 0)
        grown = tf.where(steps == GROWTH_STEPS, 2.0 * self.value, self.value)
        self.value.assign(tf.where(finite, grown, tf.maximum(0.5 * self.value, 1.0)))
        self._steps.assign(tf.where(steps == GROWTH_STEPS, 0, steps))


def of(tape: tf.GradientTape, loss: tf.Tensor, variables: list) -> list[tf.Tensor]:
    """The gradients of a loss; zeros for a variable that it does not depend on, such as one of a head that no loss reads."""
    values = [variable.value for variable in variables]  # TensorFlow cannot make zeros for Keras' own variables
    return tape.gradient(loss, values, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def accumulate(
    totals: Callable, shares: Callable, batch: dict, parts: int, variables: list, loss_scale: tf.Tensor
) -> tuple[dict, list]:
    """The loss of a batch and its gradients, computed part by part to save memory.

    The result is the same as for the whole batch, except for batch norm and dropout. The count of a term (of valid pixels, for
    example) is known only after the last part. So each term's sum gets its own gradient, which is divided by the count at the
    end.

    Args:
        totals: part of a batch -> {term: (sum, count)}.
        shares: {term: (sum, count)} of the batch -> {term: what a unit of its sum adds to the loss}.
        batch: {name: tensor [batch, ...]}.
        parts: number of parts; it must divide the batch.
        variables: the variables that the gradients are for.
        loss_scale: factor on the loss before its gradients are taken.

    Returns:
        {term: its part of the loss}, and the gradients.
    """
    pairs, derived = {}, {}
    for part in _split(batch, parts):
        # One part after the other: otherwise the graph may compute all at once, with the memory of the whole batch.
        with tf.control_dependencies([g for of_term in derived.values() for g in of_term]):
            part = {name: tf.identity(value) for name, value in part.items()}
        with tf.GradientTape(persistent=True) as tape:
            pairs_of_part = totals(part)
            scaled = {term: loss_scale * total for term, (total, _) in pairs_of_part.items()}
        for term, pair in pairs_of_part.items():
            gradient = of(tape, scaled[term], variables)
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


def module_norms(kind: str, values: Sequence[tf.Tensor], variables: Sequence) -> dict[str, tf.Tensor]:
    """{"norms/<kind>/<module>": the L2 norm of the values of the module's variables}; 0 where it is not finite.

    A module is what layers have in common before the first dot of their names, such as a backbone or a decoder.

    Args:
        kind: `gradient` or `weight`.
        values: a tensor for each variable.
        variables: of the network, which name the modules.
    """
    squares = {}
    for value, variable in zip(values, variables, strict=True):
        module = variable.path.split("/")[-2].split(".")[0]
        squares.setdefault(module, []).append(2.0 * tf.nn.l2_loss(tf.cast(value, tf.float32)))
    norms = {f"norms/{kind}/{module}": tf.sqrt(tf.add_n(parts)) for module, parts in squares.items()}
    return {name: tf.where(tf.math.is_finite(norm), norm, 0.0) for name, norm in norms.items()}


def weight_norms(model: keras.Model) -> dict[str, tf.Tensor]:
    """`module_norms` of the weights that are trained."""
    return module_norms("weight", [variable.value for variable in model.trainable_variables], model.trainable_variables)


def check_finite(steps: list[tuple], workdir: pathlib.Path) -> None:
    """Raises FloatingPointError naming the first step, loss term and examples that are not finite.

    Args:
        steps: (step, {name: number}, ids of the examples on each replica) of the steps since the last check.
        workdir: of the run.
    """
    for step, logged, ids in steps:
        wrong = [name for name, value in logged.items() if not np.isfinite(value)]
        if wrong:
            examples = ", ".join(i.decode() for replica in ids for i in replica.numpy())
            advice = f"resume from the last checkpoint in {workdir}, which is from before this step,"
            if not has_checkpoint(workdir):
                advice = "start again (there is no checkpoint yet)"
            raise FloatingPointError(
                f"Expected finite losses and gradients. Received: {', '.join(wrong)} not finite at step {step}, "
                f"examples {examples}. Look at these images and labels, or {advice} with a lower --learning_rate or with "
                "--clip_norm."
            )
