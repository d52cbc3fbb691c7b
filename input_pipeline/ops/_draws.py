"""Helpers for the draws of several ops. The leading underscore keeps this module out of the search for ops."""

import tensorflow as tf

SHARE = 1 << 19  # folded into the seed for the draw of whether an op acts, so that `share` changes no other draw


def check(**options: tuple[float, float, float]) -> None:
    """Raises ValueError for an option outside its range: `check(delta=(delta, 0, 1))` is (value, lowest, largest).

    A tensor is not checked, because it is a draw and not an option.
    """
    for name, (value, low, high) in options.items():
        if tf.is_tensor(value):
            continue
        if not isinstance(value, (int, float)) or not low <= value <= high:
            raise ValueError(f"Expected {name} from {low} to {high}. Received: {name}={value!r}.")


def check_range(name: str, value: tuple[float, float], low: float, high: float) -> None:
    """Raises ValueError unless `value` is (smallest, largest) within [low, high]."""
    numbers = isinstance(value, (tuple, list)) and all(isinstance(v, (int, float)) for v in value)
    if not numbers or len(value) != 2 or not low <= value[0] <= value[1] <= high:
        raise ValueError(f"Expected {name}=(a, b) with {low} <= a <= b <= {high}. Received: {name}={value!r}.")


def acts(seed: tf.Tensor, share: float) -> tf.Tensor:
    """Whether an op acts on this example: true for `share` of the seeds, bool []."""
    check(share=(share, 0, 1))
    return tf.random.stateless_uniform([], tf.random.experimental.stateless_fold_in(seed, SHARE)) < share


def either_way(seed: tf.Tensor, delta: float) -> tf.Tensor:
    """A number uniform within +-`delta`, float32 []."""
    return tf.random.stateless_uniform([], seed, -delta, delta)
