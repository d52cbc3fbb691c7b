"""Optimizers, learning-rate schedules, weight decay and clipping, each by spec."""

import keras
import tensorflow as tf

from tfseg import spec


def sgd(learning_rate, momentum=0.9, nesterov=False):
    """Stochastic gradient descent with momentum."""
    return keras.optimizers.SGD(learning_rate, momentum=momentum, nesterov=nesterov)


def adam(learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
    """Adam (Kingma and Ba, 2015). Its epsilon is PyTorch's 1e-8, with which the published recipes ran."""
    return keras.optimizers.Adam(learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon)


def constant(progress):
    """Factor 1 from beginning to end."""
    return tf.ones_like(progress)


def poly(progress, power=0.9, end=0.0):
    """Factor (1 - progress)^power, down to `end` (DeepLab, arXiv:1606.00915, section 4.1)."""
    return end + (1.0 - end) * (1.0 - progress) ** power


OPTIMIZERS = {"sgd": sgd, "adam": adam}
SCHEDULES = {"constant": constant, "poly": poly}


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A peak rate times a factor of the progress in [0, 1], after a linear warm-up from 0."""

    def __init__(self, factor: str, learning_rate: float, total_steps: int, warmup_steps: int = 0):
        self.call = spec.parse(factor)
        self.factor = _find(SCHEDULES, self.call, "schedule")
        spec.check(self.factor, self.call, None)
        self.learning_rate, self.total_steps, self.warmup_steps = learning_rate, total_steps, warmup_steps

    def __call__(self, step):
        """The learning rate of step number `step`, counted from 0."""
        step = tf.cast(step, tf.float32)
        progress = tf.clip_by_value((step - self.warmup_steps) / max(self.total_steps - self.warmup_steps, 1), 0.0, 1.0)
        warm = tf.minimum((step + 1.0) / (self.warmup_steps + 1.0), 1.0)
        return self.learning_rate * warm * spec.apply(self.factor, self.call, progress)

    def get_config(self):
        """The arguments of the constructor."""
        return {
            "factor": str(self.call),
            "learning_rate": self.learning_rate,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
        }


def build(optimizer: str, learning_rate: Schedule) -> keras.optimizers.Optimizer:
    """The optimizer of a spec such as `sgd(momentum=0.99)`. An unknown name or option lists the known."""
    call = spec.parse(optimizer)
    return spec.apply(_find(OPTIMIZERS, call, "optimizer"), call, learning_rate)


def clip(gradients: list[tf.Tensor], norm: tf.Tensor, limit: float) -> list[tf.Tensor]:
    """Scales gradients of global norm `norm` down to `limit`; 0 means no limit."""
    if not limit:
        return gradients
    factor = limit / tf.maximum(norm, limit)
    return [gradient * factor for gradient in gradients]


def decay(gradients: list[tf.Tensor], variables: list[keras.Variable], coefficient: float) -> list[tf.Tensor]:
    """Adds the gradient of coefficient/2 * ||kernel||^2 (PyTorch's weight_decay), for kernels only.

    Biases, the scale and offset of norms and the slopes of PReLUs, all of which Keras names otherwise, are left alone.
    """
    if not coefficient:
        return gradients
    return [
        gradient + coefficient * variable if variable.name.endswith("kernel") else gradient
        for gradient, variable in zip(gradients, variables, strict=True)
    ]


def _find(known, call, kind):
    if call.name not in known:
        raise ValueError(f"Expected {kind} to be one of: {', '.join(known)}. Received: {call.name!r}.")
    return known[call.name]
