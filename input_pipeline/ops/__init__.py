"""Augmentations, chained by a spec such as `affine(scale=(0.5, 2.0), flip=True) | brightness(0.2)`.

An op is a public function of a module here whose first two parameters are `example, seed` (of one example) or `batch, seed`
(across the examples of a batch). There is no list of ops: a module that is there is used. Other functions are no ops.

**Of one example**: `op(example, seed, <options>) -> example`. `example` has `image` (float32 [height, width, 3], RGB 0..255),
`label` (uint8 [height, width], 255 = ignore), and if the data set has them `instances` (integers like the label, 0 = none;
`instances.py`), `boxes` and `box_classes` (`boxes.py`). `seed` is a stateless seed (int32 [2]), so what an op does is a
function of the run's seed, the epoch and the index only. An op that asks for `size`, `fill` or `max_class_share` is given the
crop's (height, width), the data set's mean colour and the limit on a class's share of the crop. The chain clips images to
0..255 once, at its end.

**Geometry** is one map per image. `affine` draws all that moves pixels (scale, aspect, rotation, shear, translation,
perspective, flips, place of the crop) into eight coefficients, and an elastic displacement of the crop's pixels before
them; `input_pipeline/sampling.py` then reads image, label, instances and boxes through that map once, by the cheapest way
that it allows (slice; slice and resize; warp). Another kind of geometry is a further option of `affine` that changes
`_inverse_map`'s coefficients or the displacement, never a second resampling. New options take their draws from `FURTHER`,
so that runs which do not use them do not change. Only `affine` gets an image that is still encoded (it decodes no
more than its window).

**Pointwise colour** operations are composed into one pass. An op that its module names in `POINTWISE` does not touch
`image` but adds to the pending work: `pointwise.linear` (one multiply-add a channel), `pointwise.mix` (a 3x3 matrix and an
offset), `pointwise.curve` (a function of the value: a table of 256 entries a channel on uint8), with `pointwise.mean` for
the future mean colour. Before any other op, and at the end, the chain does the pending work, so that an op which is
not in `POINTWISE` (blur, noise) always finds `image` as float32 pixels.

**Across images**: `op(batch, seed, <options>) -> batch` is given GROUP consecutive examples of the stream as one batch
(`image` float32 [group, height, width, 3], `label` [group, height, width], boxes padded), after all ops of one example, and
returns as many. Its seed is the first example's, folded with the op's place in the chain. Groups are counted in the order of
the whole stream, from its beginning, so the result is a function of (seed, epoch, index): exact under resume, and for any
batch size, workers and replicas (`pipeline.py`). All images of a group have the same number of boxes, also in the result;
this number may be larger than before. Such ops come last in a chain.

**Recipes** (`recipes.py`) are names for whole chains: `camvid` or `voc | cutmix` in place of a chain.
"""

import functools
import importlib
import inspect
import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

import tfseg.spec as specs
from input_pipeline import pointwise, sampling
from input_pipeline.ops.recipes import RECIPES

KINDS = ("example", "batch")  # the kind of an op is the name of its first parameter
GROUP = 4  # examples that are mixed with each other: a mosaic's four


def names() -> dict[str, Callable]:
    """The known ops by name. Raises ValueError if two files have an op of the same name."""
    found = {}
    for function in filter(_kind, functions()):
        other = found.setdefault(function.__name__, function)
        if other is not function:
            places = f"one in {other.__module__} and one in {function.__module__}"
            raise ValueError(
                f"Expected one augmentation called {function.__name__}. Received: {places}. Rename one of them."
            )
    return dict(sorted(found.items()))


def functions() -> list[Callable]:
    """The public functions of the modules here: ops and other functions."""
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

    A chain without `affine` begins with a random crop, so that every example has the crop's size. `example["image"]` may
    also be the bytes of an image file. Ops across images find a batch of one here.

    Args:
        chain: ops joined by `|`; blank for none.
        size: (height, width) of the crop, pixels.
        fill: mean colour of the data set, RGB 0..255, for pixels outside an image.
        max_class_share: as `affine`'s; 1 for no limit.

    Raises:
        ValueError: for an unknown op or option, listing the known.
    """
    first, rest = build_parts(chain, size, fill, max_class_share)
    mixed = mix(chain, 1)

    def augment(example, seed):
        example = rest(first(example, seed), seed)
        if mixed is None:
            return example
        batch = mixed({k: v[tf.newaxis] for k, v in example.items()}, tf.convert_to_tensor(seed)[tf.newaxis])
        return {k: v[0] for k, v in batch.items()}

    return augment


def build_parts(
    chain: str, size: tuple[int, int], fill: tuple[float, float, float], max_class_share: float = 1.0
) -> tuple[Callable, Callable]:
    """The same as `build` in two parts: up to `affine` inclusive, and the rest, which may run on the accelerator.

    After the first part every image has the crop's size: float32, or uint8 if only a slice was drawn. Ops across
    images are in neither: see `mix`.
    """
    calls = _parsed(chain, {"size": size, "fill": fill, "max_class_share": max_class_share})
    calls = [(name, op, wait) for name, kind, op, wait in calls if kind == "example"]
    last = max(i for i, (name, *_) in enumerate(calls) if name == "affine")

    def part(start, end):
        @tf.autograph.experimental.do_not_convert
        def apply(example, seed):
            return _apply(calls[start:end], start, example, seed)

        return apply

    after = part(last + 1, len(calls))

    @tf.autograph.experimental.do_not_convert
    def rest(example, seed):
        example = after(example, seed)
        return {**example, "image": pointwise.clip(tf.cast(example["image"], tf.float32))}

    return part(0, last + 1), rest


def check_copies(chain: str) -> None:
    """Raises ValueError unless a chain only copies pixels: crops, shifts and mirrors. Images that hold ids need this."""
    still = {"scale": 1.0, "aspect": 1.0, "rotation": 0.0, "shear": 0.0, "perspective": 0.0, "elastic": 0.0}
    for name, _, op, _ in _parsed(chain, {"size": None, "fill": None, "max_class_share": None}):
        options = inspect.signature(op.args[0]).bind(None, None, *op.args[1].args, **op.args[1].kwargs, **op.keywords)
        options.apply_defaults()
        moved = [k for k, v in still.items() if set(np.ravel(options.arguments.get(k, v)).tolist()) != {v}]
        if name != "affine" or moved:
            raise ValueError(
                "Expected an augmentation that only copies pixels, for images that hold label maps: affine(scale=(1.0, 1.0)) "
                f"with flip, vertical_flip, translation, rare. Received: {name} with {', '.join(moved) or 'new values'} in "
                f"--augment={chain!r}."
            )


def mix(chain: str, batch_size: int) -> Callable | None:
    """The ops across images of a chain: `mixed(batch, seeds) -> batch`; None if there are none.

    Args:
        chain: all ops; those of one example are left out.
        batch_size: examples in the batches that `mixed` gets. They are divided into groups of GROUP; if they are not a
            multiple of it, into the largest groups that divide them.
    """
    calls = _parsed(chain, {"size": None, "fill": None, "max_class_share": None})
    ops = [(i, op) for i, (_, kind, op, _) in enumerate(calls) if kind == "batch"]
    if not ops:
        return None
    group = math.gcd(batch_size, GROUP)

    @tf.autograph.experimental.do_not_convert
    def mixed(batch, seeds):
        parts = []
        for begin in range(0, batch_size, group):
            part = {k: v[begin : begin + group] for k, v in batch.items()}
            for i, op in ops:
                part = op(part, tf.random.experimental.stateless_fold_in(seeds[begin], i))
            parts.append(part)
        return {k: tf.concat([part[k] for part in parts], 0) for k in parts[0]}

    return mixed


def _apply(calls, start, example, seed):
    """Applies ops of one example; `start` is the place of the first in the whole chain."""
    for i, (name, op, waits) in enumerate(calls, start):
        if name != "affine":  # it decodes by itself, no more than its window
            example = {**example, "image": sampling.decoded(example["image"])}
        if waits and pointwise.KEY not in example:
            example = pointwise.begin(example)
        elif not waits:
            example = pointwise.flush(example)
            if name != "affine":
                example = {**example, "image": tf.cast(example["image"], tf.float32)}
        example = op(example, tf.random.experimental.stateless_fold_in(seed, i))
    return pointwise.flush(example)


def _parsed(chain, given):
    """The calls of a chain, after a crop if there is no `affine`: (name, kind, op, whether it is pointwise)."""
    known, calls = names(), [part for call in specs.parse_chain(chain) for part in _expanded(call)]
    if not any(call.name == "affine" for call in calls):
        calls = [specs.Call("affine", kwargs={"scale": (1.0, 1.0), "flip": False}), *calls]
    ops = []
    for call in calls:
        function = _find(call, known, chain)
        kind = _kind(function)
        if kind == "example" and ops and ops[-1][1] == "batch":
            raise ValueError(
                f"Expected augmentations across images last. Received: {call.name} after them in {chain!r}."
            )
        wanted = {k: v for k, v in given.items() if k in inspect.signature(function).parameters}
        specs.check(function, call, None, None, **wanted)
        waits = call.name in getattr(importlib.import_module(function.__module__), "POINTWISE", ())
        ops.append((call.name, kind, functools.partial(specs.apply, function, call, **wanted), waits))
    return ops


def _expanded(call):
    """The calls that a call stands for: those of a recipe, or itself."""
    if call.name not in RECIPES:
        return [call]
    if call.args or call.kwargs:
        raise ValueError(
            f"Expected the recipe {call.name} without options. Received: {call}. To change it, write its chain: "
            f"{RECIPES[call.name]}"
        )
    return specs.parse_chain(RECIPES[call.name])


def _find(call, known, chain):
    """The op of a call. For an existing function that is no op, the error says so, because a list of ops would not help."""
    for function in functions():
        if function.__name__ == call.name and not _kind(function):
            raise ValueError(
                f"Expected {call.name} of {inspect.getsourcefile(function)} to be an augmentation: (example, seed, <options>). "
                f"Received: {call.name}{inspect.signature(function)}. Rename its first two parameters."
            )
    return specs.choose({**known, **dict.fromkeys(RECIPES)}, call.name, "an augmentation", chain)


def _kind(function):
    """`example`, `batch`, or None if a function is no op."""
    first = list(inspect.signature(function).parameters)[:2]
    return first[0] if len(first) == 2 and first[0] in KINDS and first[1] == "seed" else None
