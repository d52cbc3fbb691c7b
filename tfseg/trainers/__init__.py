"""Trainers: ways to train a network. Each file holds one, a function with the file's name, which --trainer may name.

    def name(config, strategy, folder, output, *, <options>) -> the last evaluation

It trains as the options of `config` say on the devices of `strategy`, reads checkpoints from the workdir `folder` and writes to
`output` (`assembly.build`). It makes a step of its own from the parts of `tfseg/train.py` and `tfseg/gradients.py`, and leaves
the rest to the loop that all share. So every trainer resumes exactly, and evaluates, logs and saves in the same way.
"""

import functools
from collections.abc import Callable

from tfseg import spec as specs


def names() -> list[str]:
    """The trainers a spec may name."""
    return specs.names(__name__)


def build(spec: str) -> Callable:
    """The function (config, strategy, folder, output) -> evaluation of a spec such as `adversarial(semi=0.1)`.

    Raises:
        ValueError: for an unknown trainer or option.
    """
    call = specs.parse(spec)
    function = specs.function(__name__, call.name, names())
    specs.check(function, call, *[None] * 4)
    return functools.partial(specs.apply, function, call)
