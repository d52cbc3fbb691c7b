"""How weights start: the rules of the references, chosen where a network or a backbone is written.

    with layers.initial_weights(layers.kaiming_normal("fan_out", bias=0.0)):
        x = layers.conv(x, 64, 7, "conv1")

The rule holds for the convolutions and the batch norms inside the block, or inside a function that it decorates. Everything
else starts as PyTorch's layers do. Transposed convolutions and linear layers always do, as the init functions of the
references leave them alone; they take another rule as `initial`, and so does a single convolution.

Fans are PyTorch's, read from the shape [out, in / groups, height, width] of its kernels: a depthwise kernel's fan_out counts
all channels, and a transposed kernel, whose shape there begins with its inputs, has the two exchanged. Keras counts neither so.
"""

import contextlib
import contextvars
import dataclasses
import math
from collections.abc import Callable

import keras


@dataclasses.dataclass(frozen=True)
class Rule:
    """What convolutions, and the batch norms between them, start as."""

    kernel: Callable  # (fan_in, fan_out) -> Keras initializer
    bias: float | None = None  # None: uniform within 1 / sqrt(fan_in) of its kernel, as PyTorch draws biases
    shift: float = 0.0  # batch norm's beta
    depthwise: "Rule | None" = None  # of depthwise convolutions, where theirs is another

    def start(self, fan_in, fan_out):
        """The initializers of (kernel, bias)."""
        bias = _uniform(1 / math.sqrt(fan_in)) if self.bias is None else keras.initializers.Constant(self.bias)
        return self.kernel(fan_in, fan_out), bias


def kaiming_normal(mode="fan_in", gain=2**0.5, **rest):
    """Normal with deviation gain / sqrt(fan): He et al. 2015, https://arxiv.org/abs/1502.01852. `rest`: see `Rule`."""
    return Rule(lambda fan_in, fan_out: _normal(gain / math.sqrt(_fan(mode, fan_in, fan_out))), **rest)


def kaiming_uniform(mode="fan_in", **rest):
    """Uniform within sqrt(6 / fan), which has the deviation of `kaiming_normal`. `rest`: see `Rule`."""
    return Rule(lambda fan_in, fan_out: _uniform(math.sqrt(6 / _fan(mode, fan_in, fan_out))), **rest)


def xavier_uniform(**rest):
    """Uniform within sqrt(6 / (fan_in + fan_out)): Glorot, Bengio, AISTATS 2010. `rest`: see `Rule`."""
    return Rule(lambda fan_in, fan_out: _uniform(math.sqrt(6 / (fan_in + fan_out))), **rest)


def normal(deviation, **rest):
    """Normal with this deviation, whatever the fans. `rest`: see `Rule`."""
    return Rule(lambda fan_in, fan_out: _normal(deviation), **rest)


def uniform(limit, **rest):
    """Uniform within this limit, whatever the fans. `rest`: see `Rule`."""
    return Rule(lambda fan_in, fan_out: _uniform(limit), **rest)


torch_default = Rule(lambda fan_in, fan_out: _uniform(1 / math.sqrt(fan_in)))
zeros = Rule(lambda fan_in, fan_out: keras.initializers.Zeros(), bias=0.0)

_current = contextvars.ContextVar("rule", default=torch_default)


@contextlib.contextmanager
def initial_weights(rule):
    """`rule` is what the convolutions and batch norms made inside the block start as; the innermost block counts."""
    token = _current.set(rule)
    try:
        yield
    finally:
        _current.reset(token)


def current_rule():
    """The rule of the innermost `initial_weights`, or PyTorch's own."""
    return _current.get()


def _fan(mode, fan_in, fan_out):
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Expected mode 'fan_in' or 'fan_out'. Received: {mode=}.")
    return fan_in if mode == "fan_in" else fan_out


def _normal(deviation):
    return keras.initializers.RandomNormal(stddev=deviation)


def _uniform(limit):
    return keras.initializers.RandomUniform(-limit, limit)
