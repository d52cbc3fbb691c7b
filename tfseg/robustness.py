"""--attack and --consistency: what an adversary can make of a network, and whether its predictions give the attack away.

    python main.py --mode=evaluate --workdir=RUN --attack="pgd(eps=8)" --consistency="patches(size=(180, 240))"

The check is that of Xiao et al., Characterizing Adversarial Examples Based on Spatial Consistency Information for Semantic
Segmentation, ECCV 2018 (arXiv:1810.05162): two windows of an image that overlap are predicted each by itself, and the two
predictions agree less where the image was changed to deceive the network.
"""

import html
import itertools
import zlib
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

import input_pipeline
from input_pipeline import progress
from tfseg import config as config_lib
from tfseg import spec as specs
from tfseg import tables

AT_ONCE = 8  # windows in a batch
TARGETS = ("shift", "constant", "image:<id>")


class Attack(NamedTuple):
    """Projected gradient descent; see `pgd`."""

    eps: float
    steps: int
    step: float
    target: str
    images: int


class Patches(NamedTuple):
    """The windows of the check; see `patches`."""

    size: tuple[int, int]
    pairs: int
    images: int


def pgd(*, eps: float = 8.0, steps: int = 30, step: float = 0.0, target: str = "shift", images: int = 50) -> Attack:
    """Projected gradient descent towards a target map (Madry et al., arXiv:1706.06083, with a target), within L-infinity.

    Args:
        eps: how much a channel of a pixel may change, 0..255.
        steps: how many.
        step: how much a step changes, 0..255; 0: 2.5 eps / steps.
        target: `shift`, the network's own prediction mirrored and moved by a quarter of the width; `constant`, everywhere the
            class that is rarest in its prediction; `image:<id>`, its prediction of another image of the split.
        images: how many of the split, at most.
    """
    if not 0 < eps <= 255 or steps < 1 or step < 0 or images < 1:
        raise ValueError(
            "Expected pgd(eps in (0, 255], steps of 1 or more, step of 0 or more, images of 1 or more). Received: "
            f"{eps=} {steps=} {step=} {images=}."
        )
    if target not in TARGETS and not target.startswith("image:"):
        raise ValueError(f"Expected a target: {', '.join(TARGETS)}. Received: {target!r}.")
    return Attack(float(eps), steps, float(step or 2.5 * eps / steps), target, images)


def patches(*, size: tuple[int, int], pairs: int = 50, images: int = 50) -> Patches:
    """Pairs of windows at random places, which are a function of the seed and of the image's id.

    The second window of a pair is at most half a window from the first one in each direction, so that they share at least a
    quarter of their pixels.

    Args:
        size: (height, width) of a window, pixels; no more than the images have. Windows are not resized.
        pairs: in each image.
        images: how many of the split, at most.
    """
    if len(size) != 2 or min(size) < 1 or pairs < 1 or images < 1:
        raise ValueError(
            f"Expected patches(size=(HEIGHT, WIDTH), pairs and images of 1 or more). Received: {size=} {pairs=} {images=}."
        )
    return Patches(tuple(size), pairs, images)


def build(config: config_lib.Config) -> tuple[Attack | None, Patches | None]:
    """What --attack and --consistency name; None for a blank one.

    Raises:
        ValueError: for an unknown name or option.
    """
    found = []
    for spec, function in ((config.attack, pgd), (config.consistency, patches)):
        if not spec.strip():
            found.append(None)
            continue
        call = specs.parse(spec)
        specs.choose({function.__name__: function}, call.name, "this name", spec)
        found.append(specs.apply(function, call))
    return tuple(found)


def check_sizes(checked: Patches | None, prepared: "input_pipeline.Prepared", split: str) -> None:
    """Raises ValueError if an image of the split is smaller than a window."""
    sizes = [tuple(map(int, size.split("x"))) for size in prepared.statistics[split]["sizes"]]
    small = [size for size in sizes if checked and (size[0] < checked.size[0] or size[1] < checked.size[1])]
    if small:
        raise ValueError(
            f"Expected --consistency=patches(size=...) of no more pixels than the images have. Received: size={checked.size} "
            f"and an image of {small[0]} (height, width)."
        )


def measure(
    model: keras.Model,
    prepared: "input_pipeline.Prepared",
    split: str,
    attack: Attack | None,
    checked: Patches | None,
    seed: int = 0,
) -> dict:
    """Attacks the first images of a split, and checks clean, noisy and attacked ones. Scores are of the whole image's network.

    Returns:
        {"images", and with an attack "eps", "target_reached" (share of the pixels that got the class of the target),
        "changed" (share that lost the class of the clean prediction); with a check "consistency": {kind: {"mean",
        "deviation"}}, where the kinds are "clean" and with an attack "noise" (uniform within eps) and "attacked"; with both
        "auc": {"clean": .., "noise": ..}, the probability that such an image scores above an attacked one}.
    """
    count = min(part.images for part in (attack, checked) if part)
    predict = tf.function(
        lambda images: tf.argmax(model(images, training=False)["logits"], -1, tf.int32), autograph=False
    )
    follow = _gradient(model)
    given = _prediction_of(attack, prepared, split, predict)
    scores, reached, changed = {}, [], []
    total = min(count, prepared.splits[split])
    examples = itertools.islice(prepared.encoded(split).map(input_pipeline.decode), count)
    for example in progress.over(examples, f"robustness {split}", total, "images"):
        name, image = example["id"].numpy(), example["image"].numpy().astype(np.float32)
        rng = np.random.default_rng([seed, zlib.crc32(name)])
        kinds = {"clean": image}
        if attack:
            clean = predict(image[np.newaxis])[0].numpy()
            target = target_map(attack.target, clean, given)
            kinds["noise"] = np.clip(image + rng.uniform(-attack.eps, attack.eps, image.shape), 0, 255).astype(
                np.float32
            )
            kinds["attacked"] = perturbed(attack, image, lambda x, to=target: follow(x, to))
            prediction = predict(kinds["attacked"][np.newaxis])[0].numpy()
            reached.append(np.mean(prediction == target))
            changed.append(np.mean(prediction != clean))
        if checked:
            pairs = windows(checked, image.shape[:2], rng)
            for kind, x in kinds.items():
                scores.setdefault(kind, []).append(consistency(x, pairs, checked.size, predict))
    found = {"images": total}
    if attack:
        found |= {"eps": attack.eps, "target_reached": float(np.mean(reached)), "changed": float(np.mean(changed))}
    if checked:
        found["consistency"] = {
            kind: {"mean": float(np.mean(values)), "deviation": float(np.std(values))}
            for kind, values in scores.items()
        }
    if attack and checked:
        found["auc"] = {kind: auc(scores[kind], scores["attacked"]) for kind in ("clean", "noise")}
    return found


def _gradient(model):
    """A function from an image [height, width, 3] and a target map to the gradient of the mean cross entropy."""

    @tf.function(autograph=False)
    def gradient(image, target):
        with tf.GradientTape() as tape:
            tape.watch(image)
            logits = model(image[tf.newaxis], training=False)["logits"]
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(target[tf.newaxis], logits))
        return tape.gradient(loss, image)

    return lambda image, target: gradient(tf.constant(image), tf.constant(target)).numpy()


def _prediction_of(attack, prepared, split, predict):
    """The prediction of the image that is a target, None without one."""
    if not attack or not attack.target.startswith("image:"):
        return None
    wanted = attack.target.removeprefix("image:")
    for example in prepared.encoded(split):
        if example["id"].numpy().decode(errors="replace") == wanted:
            return predict(input_pipeline.decode(example)["image"].numpy()[np.newaxis].astype(np.float32))[0].numpy()
    raise ValueError(f"Expected in target='image:<id>' the id of an image of {split}. Received: {wanted!r}.")


def target_map(target: str, prediction: np.ndarray, given: np.ndarray | None = None) -> np.ndarray:
    """The map of classes that an attack is to reach, int32 like the clean prediction [height, width]; see `pgd`."""
    if target == "shift":
        return np.roll(prediction[:, ::-1], prediction.shape[1] // 4, axis=1)
    if target == "constant":
        ids, pixels = np.unique(prediction, return_counts=True)
        return np.full_like(prediction, ids[np.argmin(pixels)])
    if given.shape != prediction.shape:
        raise ValueError(
            f"Expected an image of {prediction.shape} (height, width) in --attack=pgd(target={target!r}), as large as the one "
            f"that is attacked. Received: {given.shape}."
        )
    return given


def perturbed(attack: Attack, image: np.ndarray, gradient: Callable) -> np.ndarray:
    """The image after the steps of an attack, float32 0..255 [height, width, 3].

    Args:
        attack: of `pgd`.
        image: float32 0..255.
        gradient: of the loss that is to fall, a function of the image.
    """
    low, high = np.maximum(image - attack.eps, 0), np.minimum(image + attack.eps, 255)
    x = image
    for _ in range(attack.steps):
        x = np.clip(x - attack.step * np.sign(gradient(x)), low, high).astype(np.float32)
    return x


def windows(checked: Patches, shape: tuple[int, int], rng: np.random.Generator) -> list:
    """Pairs of the upper left corners, (row, column), of windows inside an image of the shape (height, width)."""
    pairs = []
    for _ in range(checked.pairs):
        most = [side - part for side, part in zip(shape, checked.size, strict=True)]
        first = [int(rng.integers(0, m + 1)) for m in most]
        second = [
            int(rng.integers(max(0, place - part // 2), min(m, place + part // 2) + 1))
            for place, part, m in zip(first, checked.size, most, strict=True)
        ]
        pairs.append((tuple(first), tuple(second)))
    return pairs


def consistency(image: np.ndarray, pairs: list, size: tuple[int, int], predict: Callable) -> float:
    """The mean of `agreement` over pairs of windows of an image, each of which is predicted by itself."""
    corners = [corner for pair in pairs for corner in pair]
    crops = np.stack([image[y : y + size[0], x : x + size[1]] for y, x in corners])
    parts = [predict(crops[i : i + AT_ONCE]) for i in range(0, len(crops), AT_ONCE)]
    found = np.concatenate([np.asarray(part) for part in parts])
    scores = [agreement(found[2 * i], found[2 * i + 1], *pair) for i, pair in enumerate(pairs)]
    return float(np.mean(scores))


def agreement(first: np.ndarray, second: np.ndarray, at: tuple[int, int], other: tuple[int, int]) -> float:
    """The mean IoU of two windows' predictions on the pixels they share, over the classes in either of them there.

    Args:
        first, second: ids [height, width].
        at, other: (row, column) of the upper left corner of each in the image.
    """
    low = np.maximum(at, other)
    high = np.minimum(np.add(at, first.shape), np.add(other, second.shape))
    a, b = (ids[low[0] - y : high[0] - y, low[1] - x : high[1] - x] for ids, (y, x) in ((first, at), (second, other)))
    shared = [np.sum((a == c) & (b == c)) / np.sum((a == c) | (b == c)) for c in np.union1d(a, b)]
    return float(np.mean(shared))


def auc(higher, lower) -> float:
    """The probability that a score of `higher` is above one of `lower`; of equal scores, one half."""
    higher, lower = np.asarray(higher)[:, np.newaxis], np.asarray(lower)
    return float(np.mean((higher > lower) + (higher == lower) / 2))


def section(result: dict) -> str:
    """The part of the report, HTML."""
    if "robustness" not in result:
        return ""
    return f"<h2>Robustness</h2>\n<pre>{html.escape(table(result['robustness']))}</pre>"


def table(found: dict) -> str:
    """What `measure` returned, for the terminal and the report."""
    rows = []
    if "eps" in found:
        rows += [
            ["target reached", f"{100 * found['target_reached']:.2f} %"],
            ["changed", f"{100 * found['changed']:.2f} %"],
        ]
    for kind, of_kind in found.get("consistency", {}).items():
        rows.append([f"consistency, {kind}", f"{of_kind['mean']:.4f} +- {of_kind['deviation']:.4f}"])
    rows += [[f"AUC {kind} / attacked", f"{value:.4f}"] for kind, value in found.get("auc", {}).items()]
    return tables.text([f"robustness of {found['images']} images", ""], rows)
