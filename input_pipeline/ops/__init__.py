"""Augmentations, chained by a spec such as `affine(scale=(0.5, 2.0), flip=True) | brightness(0.2)`.

An op is a public function `op(example, seed, <options>) -> example` of a module here; being there registers it. Those names
of its first two parameters are what an op is known by: other public functions are no augmentations.
`example` holds `image` (float32 [height, width, 3], RGB 0..255) and `label` (uint8 [height, width], 255 = ignore),
and `boxes` and `box_classes` where the data set has them (`boxes.py`);
`seed` is a stateless seed (int32 [2]), so what an op does is a function of the run's seed, the epoch and the index only.
An op that asks for `size`, `fill` or `max_class_share` is given the crop's (height, width), the data set's mean colour and
the limit on a class's share of the crop.
"""

import functools
import inspect
from collections.abc import Callable

import tensorflow as tf

import tfseg.spec as specs


def names() -> dict[str, Callable]:
    """The known ops by name. ValueError where two files have an op of the same name."""
    found = {}
    for function in filter(_is_op, functions()):
        other = found.setdefault(function.__name__, function)
        if other is not function:
            places = f"one in {other.__module__} and one in {function.__module__}"
            raise ValueError(
                f"Expected one augmentation called {function.__name__}. Received: {places}. Rename one of them."
            )
    return dict(sorted(found.items()))


def functions() -> list[Callable]:
    """The public functions of the modules here: ops, and those that are none."""
    modules = [specs.find(__name__, name) for name in specs.names(__name__)]
    return [
        function
        for module in modules
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    ]


def build(
    chain: str, size: tuple[int, int], fill: tuple[float, float, float], max_class_share: float = 1.0
) -> Callable:
    """Parses a chain to `augment(example, seed) -> example`, whose images are uint8-ranged float32 of `size`.

    A chain without `affine` begins with a random crop, so that every example has the crop's size.

    Args:
        chain: ops joined by `|`; blank for none.
        size: (height, width) of the crop, pixels.
        fill: mean colour of the data set, RGB 0..255: what lies outside an image.
        max_class_share: as `affine`'s; 1 for no limit.

    Raises:
        ValueError: for an unknown op or option, listing the known.
    """
    known, given = names(), {"size": size, "fill": fill, "max_class_share": max_class_share}
    calls = specs.parse_chain(chain)
    if not any(call.name == "affine" for call in calls):
        calls = [specs.Call("affine", kwargs={"scale": (1.0, 1.0), "flip": False}), *calls]
    ops = []
    for call in calls:
        function = _find(call, known, chain)
        wanted = {k: v for k, v in given.items() if k in inspect.signature(function).parameters}
        specs.check(function, call, None, None, **wanted)
        ops.append(functools.partial(specs.apply, function, call, **wanted))

    def augment(example, seed):
        for i, op in enumerate(ops):
            example = op(example, tf.random.experimental.stateless_fold_in(seed, i))
        return {**example, "image": tf.clip_by_value(example["image"], 0.0, 255.0)}

    return augment


def _is_op(function):
    return list(inspect.signature(function).parameters)[:2] == ["example", "seed"]


def _find(call, known, chain):
    """The op of a call. A function that is there and is no op is named as such, since listing the others would not help."""
    for function in functions():
        if function.__name__ == call.name and not _is_op(function):
            raise ValueError(
                f"Expected {call.name} of {inspect.getsourcefile(function)} to be an augmentation: (example, seed, <options>). "
                f"Received: {call.name}{inspect.signature(function)}. Rename its first two parameters."
            )
    return specs.choose(known, call.name, "an augmentation", chain)
