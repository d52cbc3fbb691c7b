"""Gradients: computed part by part to save memory, scaled for float16, and checked to be finite."""

import pathlib
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from tfseg import optimizers
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


def shares(pairs: dict, factors: dict) -> dict[str, tf.Tensor]:
    """{term: what a unit of its sum adds to the loss}: its factor divided by its count over all replicas.

    The count of the whole batch, so that gradients do not depend on how the batch is divided over the replicas.

    Args:
        pairs: {term: (sum, count)} of a replica's batch.
        factors: {term: factor in the loss}.
    """
    context = tf.distribute.get_replica_context()
    counts = {name: context.all_reduce("SUM", count) for name, (_, count) in pairs.items()}
    return {name: tf.math.divide_no_nan(factors[name], count) for name, count in counts.items()}


def weighted(pairs: dict, factors: dict) -> dict[str, tf.Tensor]:
    """{term: its part of the loss}, the part of this replica, for the pairs that have a factor; arguments as in `shares`."""
    terms = {name: pair for name, pair in pairs.items() if name in factors}
    share = shares(terms, factors)
    return {name: share[name] * total for name, (total, _) in terms.items()}


def means(pairs: dict) -> dict[str, tf.Tensor]:
    """{name: this replica's part of sum / count} of {name: (sum, count)}, numbers for the log."""
    return weighted(pairs, dict.fromkeys(pairs, 1.0))


def accumulate(
    totals: Callable, factors: dict, batch: dict, number: int, variables: list, loss_scale: tf.Tensor
) -> tuple[dict, list]:
    """The loss of a batch and its gradients, computed part by part to save memory.

    The result is the same as for the whole batch, except for batch norm and dropout. The count of a term (of valid pixels, for
    example) is known only after the last part. So each term's sum gets its own gradient, which is divided by the count at the
    end.

    Args:
        totals: part of a batch -> {term: (sum, count)}; and other numbers, which have no factor.
        factors: {term: factor in the loss}.
        batch: {name: tensor [batch, ...]}.
        number: of parts; it must divide the batch.
        variables: the variables that the gradients are for.
        loss_scale: factor on the loss before its gradients are taken.

    Returns:
        {term: (sum, count)} of the whole batch, and the gradients.
    """
    pairs, derived = {}, {}
    for part in _split(batch, number):
        # One part after the other: otherwise the graph may compute all at once, with the memory of the whole batch.
        with tf.control_dependencies([g for of_term in derived.values() for g in of_term]):
            part = {name: tf.identity(value) for name, value in part.items()}
        with tf.GradientTape(persistent=True) as tape:
            pairs_of_part = totals(part)
            scaled = {term: loss_scale * total for term, (total, _) in pairs_of_part.items() if term in factors}
        pairs = {term: _add(pairs.get(term), pair) for term, pair in pairs_of_part.items()}
        derived = {term: _add(derived.get(term), of(tape, loss, variables)) for term, loss in scaled.items()}
    share = shares({term: pairs[term] for term in derived}, factors)
    return pairs, [tf.add_n([share[term] * derived[term][i] for term in derived]) for i in range(len(variables))]


def _split(batch, parts):
    """The rows of a batch in equal parts."""
    size = batch["image"].shape[0] // parts
    return [{name: value[i * size : (i + 1) * size] for name, value in batch.items()} for i in range(parts)]


def _add(before, values):
    return list(values) if before is None else [a + b for a, b in zip(before, values, strict=True)]


def over_replicas(
    gradients: list[tf.Tensor], variables: list, clip_norm: float = 0.0, scale: LossScale | None = None
) -> tuple[list, dict]:
    """The sum of the replicas' gradients, without the loss scale and clipped; and its norms before clipping, for the log.

    The log adds up what the replicas return, so each returns its share of the norms.
    """
    context = tf.distribute.get_replica_context()
    gradients = context.all_reduce("SUM", gradients)
    gradients = [gradient / scale.value for gradient in gradients] if scale else gradients
    norm = tf.linalg.global_norm(gradients)
    norms = module_norms("gradient", gradients, variables) | {"gradient_norm": norm}
    clipped = optimizers.clip(gradients, norm, clip_norm)
    return clipped, {name: value / context.num_replicas_in_sync for name, value in norms.items()}


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
