"""Initial weights: the rules of the references. Each network or backbone chooses its rule in its own file.

    with layers.initial_weights(layers.kaiming_normal("fan_out", bias=0.0)):
        x = layers.conv(x, 64, 7, "conv1")

The rule is used for the convolutions and batch norms inside the block, or inside a function that it decorates. Everything
else starts like PyTorch's layers. This includes transposed convolutions and linear layers, because the init functions of
the references do not change them. Any single layer takes another rule as `initial`.

Fans are PyTorch's, computed from the shape [out, in / groups, height, width] of its kernels. So fan_out of a depthwise kernel
counts all channels. For a transposed kernel, whose shape begins with its inputs, fan_in and fan_out are exchanged. Keras
counts both in another way.
"""

import contextlib
import contextvars
import dataclasses
import math
from collections.abc import Callable

import keras


@dataclasses.dataclass(frozen=True)
class Rule:
    """The initial weights of convolutions and of the batch norms between them."""

    kernel: Callable  # (fan_in, fan_out) -> Keras initializer
    bias: float | None = None  # None: uniform within 1 / sqrt(fan_in) of its kernel, as PyTorch draws biases
    shift: float = 0.0  # batch norm's beta
    depthwise: "Rule | None" = None  # for depthwise convolutions, if they have another rule

    def start(self, fan_in, fan_out):
        """The initializers of (kernel, bias)."""
        bias = _uniform(1 / math.sqrt(fan_in)) if self.bias is None else keras.initializers.Constant(self.bias)
        return self.kernel(fan_in, fan_out), bias


def kaiming_normal(mode="fan_in", gain=2**0.5, **rest):
    """Normal with deviation gain / sqrt(fan): He et al. 2015, https://arxiv.org/abs/1502.01852. `rest`: see `Rule`."""
    return Rule(lambda fan_in, fan_out: _normal(gain / math.sqrt(_fan(mode, fan_in, fan_out))), **rest)


def kaiming_uniform(mode="fan_in", gain=2**0.5, **rest):
    """Uniform within gain * sqrt(3 / fan), which has the deviation of `kaiming_normal`. `rest`: see `Rule`."""
    return Rule(lambda fan_in, fan_out: _uniform(gain * math.sqrt(3 / _fan(mode, fan_in, fan_out))), **rest)


def xavier_uniform(**rest):
    """Uniform within sqrt(6 / (fan_in + fan_out)): Glorot, Bengio, AISTATS 2010. `rest`: see `Rule`."""
    return Rule(lambda fan_in, fan_out: _uniform(math.sqrt(6 / (fan_in + fan_out))), **rest)


def normal(deviation, **rest):
    """Normal with this deviation for any fan. `rest`: see `Rule`."""
    return Rule(lambda fan_in, fan_out: _normal(deviation), **rest)


def uniform(limit, **rest):
    """Uniform within this limit for any fan. `rest`: see `Rule`."""
    return Rule(lambda fan_in, fan_out: _uniform(limit), **rest)


torch_default = Rule(lambda fan_in, fan_out: _uniform(1 / math.sqrt(fan_in)))
zeros = Rule(lambda fan_in, fan_out: keras.initializers.Zeros(), bias=0.0)
# OpenMMLab's: mmcv's for the convolution of a ConvModule, and mmsegmentation's for the layer to the classes.
mmcv = kaiming_normal("fan_out", bias=0.0)
mmseg_classes = normal(0.01, bias=0.0)

_current = contextvars.ContextVar("rule", default=torch_default)


@contextlib.contextmanager
def initial_weights(rule):
    """Uses `rule` for the convolutions and batch norms that are made inside the block; the innermost block counts."""
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
