"""Optimizers, learning-rate schedules, weight decay, learning rates for the backbone and its layers, and clipping.

To train as guanfuchen/semseg does, use `sgd(momentum=0.99)`, `rmsprop(momentum=0.99)` or `adam`, each with --weight_decay=5e-4,
and the schedules `constant`, `poly(power=0.9)` or `step`.
"""

import math

import keras
import tensorflow as tf

from tfseg import initialize, spec

# --- Optimizers: options -> Keras' class and its arguments ---------------------------------------------------------------


def sgd(momentum=0.9, nesterov=False):
    """Stochastic gradient descent with momentum."""
    return keras.optimizers.SGD, {"momentum": float(momentum), "nesterov": nesterov}


def rmsprop(rho=0.99, momentum=0.0, epsilon=1e-8, centered=False):
    """RMSprop (Hinton's lecture 6e, 2012); the defaults are PyTorch's.

    Keras adds epsilon before it takes the root, PyTorch afterwards. So Keras gets the square of epsilon; the difference only
    matters for gradients that are smaller than epsilon.
    """
    options = {"rho": rho, "momentum": float(momentum), "epsilon": epsilon**2, "centered": centered}
    return keras.optimizers.RMSprop, options


def adam(beta_1=0.9, beta_2=0.999, epsilon=1e-8):
    """Adam (Kingma and Ba, 2015). Epsilon is PyTorch's 1e-8, which the published recipes used."""
    return keras.optimizers.Adam, {"beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon}


def adamw(beta_1=0.9, beta_2=0.999, epsilon=1e-8):
    """Adam whose weight decay is decoupled from the gradient (Loshchilov and Hutter, 2019, arXiv:1711.05101)."""
    return adam(beta_1, beta_2, epsilon)


# --- Schedules: progress 0..1 -> factor on the learning rate -------------------------------------------------------------


def constant(progress):
    """Factor 1 during the whole training."""
    return tf.ones_like(progress)


def poly(progress, power=0.9, end=0.0):
    """Factor (1 - progress)^power, down to `end` (DeepLab, arXiv:1606.00915, section 4.1)."""
    return end + (1.0 - end) * (1.0 - progress) ** power


def cosine(progress, end=0.0):
    """Half a cosine from 1 down to `end` (SGDR, arXiv:1608.03983, equation 5, one period)."""
    return end + (1.0 - end) * _half_cosine(progress)


def step(progress, drop=0.1, every=1 / 3):
    """Multiplies by `drop` after each `every`, a fraction of the training: 1, drop, drop^2, ..."""
    # 0.9 / 0.3 is 2.9999998 in float32: rounding must not delay a drop by a step.
    return drop ** tf.floor(progress / every + 1e-6)


def exponential(progress, end=0.01):
    """Factor end^progress: every step lowers the rate by the same percentage, down to `end`."""
    return end**progress


def one_cycle(progress, start=0.04, peak=0.3, end=4e-6):
    """Half a cosine up from `start` to 1 at progress `peak`, another down to `end` (super-convergence, arXiv:1708.07120).

    Shape and defaults are those of PyTorch's OneCycleLR, whose div_factor is 25 and final_div_factor 1e4. The momentum does
    not change.
    """
    rising = start + (1.0 - start) * (1.0 - _half_cosine(progress / peak))
    falling = end + (1.0 - end) * _half_cosine((progress - peak) / (1.0 - peak))
    return tf.where(progress < peak, rising, falling)


def _half_cosine(x):
    """1 at 0, 1/2 at 1/2, 0 at 1."""
    return 0.5 + 0.5 * tf.cos(math.pi * x)


OPTIMIZERS = {"sgd": sgd, "rmsprop": rmsprop, "adam": adam, "adamw": adamw}
DECOUPLED = {"adamw"}  # Their weight decay is applied to the weights, not to the gradient.
SCHEDULES = {
    "constant": constant, "poly": poly, "cosine": cosine, "step": step, "exponential": exponential, "one_cycle": one_cycle
}  # fmt: skip


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate: a peak rate times a factor that depends on the progress, 0..1, after a linear warm-up from 0."""

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


def build(
    optimizer: str,
    learning_rate: Schedule,
    model: keras.Model,
    *,
    weight_decay: float = 0.0,
    backbone_multiplier: float = 1.0,
    layer_decay: float = 1.0,
) -> keras.optimizers.Optimizer:
    """The optimizer of a spec such as `sgd(momentum=0.99)`, built for a model's trainable variables.

    It is Keras' optimizer with three differences. `apply(gradients)`, in the order of `model.trainable_variables`, takes
    gradients that are already summed over the replicas. Only kernels decay: by the gradient of weight_decay/2 * ||kernel||^2
    (as PyTorch's weight_decay), or by rate * weight_decay * kernel for an optimizer in DECOUPLED. Biases, the scale and offset
    of norms, the slopes of PReLUs, the scales of residual branches, tokens, and learnt positions do not. And the learning rate
    of the backbone, with its decay, is `backbone_multiplier` times that of the other layers, and another
    `layer_decay`^distance times where a layer is `distance` blocks from the heads (BEiT, arXiv:2106.08254, appendix H).

    Args:
        optimizer: a spec.
        learning_rate: the rate as a function of the optimizer's count of steps.
        model: the network, built inside the strategy's scope, with its frozen layers already frozen.
        weight_decay: 0 or more.
        backbone_multiplier: 0 or more; a value other than 1 needs a network with a backbone.
        layer_decay: more than 0, usually 0.6 to 1; a value other than 1 needs a network with a backbone.

    Raises:
        ValueError: for an unknown name or option, with the known ones; for a multiplier or a decay without a backbone.
    """
    call = spec.parse(optimizer)
    kind, options = spec.apply(_find(OPTIMIZERS, call, "optimizer"), call)
    variables, decoupled = model.trainable_variables, call.name in DECOUPLED
    decayed = [bool(weight_decay) and variable.name.endswith("kernel") for variable in variables]
    backbone = initialize.distances(model) if backbone_multiplier != 1 or layer_decay != 1 else {}
    factors = {key: backbone_multiplier * layer_decay**distance for key, distance in backbone.items()}
    factors = [factors.get(id(variable), 1.0) for variable in variables]

    class Optimizer(kind):
        """Keras' optimizer with the differences that `build` describes."""

        def apply(self, grads, trainable_variables=None):
            # Keras sums over the replicas again.
            if tf.distribute.has_strategy() and not tf.distribute.in_cross_replica_context():
                replicas = tf.distribute.get_strategy().num_replicas_in_sync
                grads = [gradient / replicas for gradient in grads]
            super().apply(grads, trainable_variables)

        def update_step(self, gradient, variable, learning_rate):
            index = self._get_variable_index(variable)
            learning_rate = learning_rate * factors[index]
            if decayed[index] and decoupled:
                self.assign_sub(variable, learning_rate * weight_decay * variable)
            elif decayed[index]:
                gradient = gradient + weight_decay * variable
            super().update_step(gradient, variable, learning_rate)

    built = Optimizer(learning_rate, **options)
    built.build(variables)
    return built


def clip(gradients: list[tf.Tensor], norm: tf.Tensor, limit: float) -> list[tf.Tensor]:
    """Scales gradients down if their global norm, `norm`, is larger than `limit`; 0 means no limit."""
    if not limit:
        return gradients
    factor = limit / tf.maximum(norm, limit)
    return [gradient * factor for gradient in gradients]


def follow(average: keras.Model, model: keras.Model, decay: float, iterations: tf.Tensor) -> None:
    """Updates the moving average of the model's weights and statistics; faster at first, as tf.train's average does."""
    step = tf.cast(iterations, tf.float32)
    decay = tf.minimum(decay, (1.0 + step) / (10.0 + step))
    for slow, fast in zip(average.weights, model.weights, strict=True):
        slow.assign(decay * slow + (1.0 - decay) * fast)


def _find(known, call, kind):
    return spec.choose(known, call.name, f"{kind} to be one of")
