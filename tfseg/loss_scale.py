"""Loss scaling: keeps the small gradients of float16 from becoming 0 (Micikevicius et al., ICLR 2018, section 3.2)."""

import tensorflow as tf

INITIAL, GROWTH_STEPS = 2.0**15, 2000


class LossScale(tf.Module):
    """A power of 2 that halves at an overflow and doubles after 2000 steps without one; made inside the strategy's scope.

    The step multiplies its loss by `value` and divides its gradients by it, both exact. A step that overflows all the same
    is not applied.
    """

    def __init__(self):
        super().__init__()
        self.value = tf.Variable(INITIAL, trainable=False)
        self._steps = tf.Variable(0, trainable=False)  # since the last change

    def update(self, finite: tf.Tensor) -> None:
        """Adapts the scale to whether the step's gradients were finite; called across replicas."""
        steps = tf.where(finite, self._steps + 1, 0)
        grown = tf.where(steps == GROWTH_STEPS, 2.0 * self.value, self.value)
        self.value.assign(tf.where(finite, grown, tf.maximum(0.5 * self.value, 1.0)))
        self._steps.assign(tf.where(steps == GROWTH_STEPS, 0, steps))
