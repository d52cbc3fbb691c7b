"""Augmentations, chained by a spec such as `affine(scale=(0.5, 2.0), flip=True) | brightness(0.2)`.

An op is a public function `op(example, seed, <options>) -> example` of a module here; being there registers it.
`example` holds `image` (float32 [height, width, 3], RGB 0..255) and `label` (uint8 [height, width], 255 = ignore),
and `boxes` and `box_classes` where the data set has them (`boxes.py`);
`seed` is a stateless seed (int32 [2]), so what an op does is a function of the run's seed, the epoch and the index only.
An op that asks for `size`, `fill` or `max_class_share` is given the crop's (height, width), the data set's mean colour and
the limit on a class's share of the crop.
"""

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable

import tensorflow as tf

import tfseg.spec as specs


def names() -> dict[str, Callable]:
    """The known ops by name."""
    modules = [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
    found = {
        name: function
        for module in modules
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }
    return dict(sorted(found.items()))


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
        if call.name not in known:
            raise ValueError(f"Expected an augmentation: {', '.join(known)}. Received: {call.name!r} in {chain!r}.")
        wanted = {k: v for k, v in given.items() if k in inspect.signature(known[call.name]).parameters}
        specs.check(known[call.name], call, None, None, **wanted)
        ops.append(functools.partial(specs.apply, known[call.name], call, **wanted))

    def augment(example, seed):
        for i, op in enumerate(ops):
            example = op(example, tf.random.experimental.stateless_fold_in(seed, i))
        return {**example, "image": tf.clip_by_value(example["image"], 0.0, 255.0)}

    return augment
