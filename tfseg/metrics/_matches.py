"""Guessed instances against the true ones of an image, counted as cityscapesscripts' instance scorer does."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from input_pipeline import IGNORE

OVERLAPS = np.arange(0.5, 1.0, 0.05)  # of the scorer; an IoU must be larger
SCORES = 1000  # scores are counted in steps of 1 / SCORES


class Guess(NamedTuple):
    """A guessed instance."""

    kind: int  # its class
    score: float  # 0..1
    mask: np.ndarray  # bool [height, width]


def zero(classes: int) -> dict:
    """The counts of no image."""
    overlaps = len(OVERLAPS)
    return {
        "scores": np.zeros([classes, overlaps, SCORES + 1, 2], np.int64),  # guesses by score: [.., wrong and right]
        "missed": np.zeros([classes, overlaps], np.int64),  # true instances that no guess found
        "objects": np.zeros(classes, np.int64),
        "guesses": np.zeros(classes, np.int64),
    }


def count(label: np.ndarray, ids: np.ndarray, guesses: Sequence[Guess], kinds: Sequence[int], smallest: int) -> dict:
    """The counts of one image; those of several images may be added.

    A true instance is the pixels of a class with one id. The pixels of a class without an id are a group, such as a crowd. True
    instances and guesses of fewer than `smallest` pixels are left out. A guess that finds no true instance counts as wrong,
    unless the share of its pixels that are ignored, of a group, or of a small instance is larger than the overlap.

    Args:
        label: train ids, [height, width].
        ids: 0 for no instance, [height, width].
        guesses: may overlap each other.
        kinds: the classes that are counted.
        smallest: pixels.
    """
    total = zero(len(kinds))
    for row, kind in enumerate(kinds):
        true = np.where(label == kind, ids.astype(np.int64) + 1, 0)  # 1 is the group
        sizes = np.bincount(true.ravel(), minlength=2)
        names = np.flatnonzero(sizes)
        names = names[names > 0]
        whole = [n for n in names if n > 1 and sizes[n] >= smallest]
        own = [g for g in guesses if g.kind == kind and np.count_nonzero(g.mask) >= smallest]
        areas = np.array([np.count_nonzero(g.mask) for g in own])
        shared = np.array([np.bincount(true[g.mask], minlength=len(sizes)) for g in own]).reshape(len(own), len(sizes))
        unions = areas[:, None] + sizes[None] - shared
        iou = np.where(shared > 0, shared / np.maximum(unions, 1), 0.0)
        iou[:, 0] = 0
        void = np.array([np.count_nonzero(label[g.mask] == IGNORE) for g in own]).reshape(len(own))
        apart = shared[:, [n for n in names if n not in whole]].sum(1) + void
        steps = np.array([round(float(np.clip(g.score, 0, 1)) * SCORES) for g in own], int)
        total["objects"][row], total["guesses"][row] = len(whole), len(own)
        for place, overlap in enumerate(OVERLAPS):
            hits = iou > overlap
            for n in whole:
                # The best of several guesses at one instance is right, the others are wrong.
                found = np.sort(steps[hits[:, n]])
                if len(found):
                    total["scores"][row, place, found[-1], 1] += 1
                    np.add.at(total["scores"][row, place, :, 0], found[:-1], 1)
                else:
                    total["missed"][row, place] += 1
            wrong = ~hits.any(1) & (apart <= overlap * areas)
            np.add.at(total["scores"][row, place, :, 0], steps[wrong], 1)
    return total


def average_precision(total: dict) -> np.ndarray:
    """AP of each class at each of OVERLAPS, float64 [classes, overlaps]; NaN for a class without a true instance.

    The area under precision against recall, in steps halfway between neighbouring recalls and without an envelope. Equal scores
    are one threshold. A class that has true instances but no guess has 0.
    """
    result = np.full(total["missed"].shape, np.nan)
    for row, place in np.ndindex(*result.shape):
        if not total["objects"][row]:
            continue
        wrong, right = total["scores"][row, place].T
        used = np.flatnonzero(wrong + right)
        # From the lowest score up: what has this score or a higher one.
        true, false = (part[::-1].cumsum()[::-1][used] for part in (right, wrong))
        positives = right.sum() + total["missed"][row, place]
        precision = np.append(true / np.maximum(true + false, 1), 1.0)
        recall = np.append(true / max(positives, 1), 0.0)
        before, after = np.append(recall[0], recall[:-1]), np.append(recall[1:], 0.0)
        result[row, place] = np.dot(precision, (before - after) / 2) if total["guesses"][row] else 0.0
    return result


def best_dice(label: np.ndarray, ids: np.ndarray, guesses: Sequence[Guess], kinds: Sequence[int]) -> tuple:
    """(symmetric best dice of an image, guessed less true instances); the first is None where there is neither.

    Scharr et al., Leaf segmentation in plant phenotyping, 2016, equations 2 to 4: the smaller of the mean over the true
    instances of the best dice of a guess, and the mean over the guesses of the best dice of a true instance. Instances of two
    classes have no dice.
    """
    true = [(k, (label == k) & (ids == n)) for k in kinds for n in np.unique(ids[label == k]) if n]
    guesses = [g for g in guesses if g.kind in kinds]
    if not true or not guesses:
        return (0.0 if true or guesses else None), len(guesses) - len(true)
    dice = np.array(
        [
            [2 * np.count_nonzero(m & g.mask) / (m.sum() + g.mask.sum()) if k == g.kind else 0.0 for g in guesses]
            for k, m in true
        ]
    )
    return min(dice.max(0).mean(), dice.max(1).mean()), len(guesses) - len(true)
