"""Compares two evaluations of the same images: differences of scores, with intervals of the paired bootstrap."""

from typing import NamedTuple

import numpy as np

from tfseg import image_counts

RESAMPLES, LEVEL = 2000, 0.95
AT_ONCE = 1 << 22  # numbers in memory at once: 32 MB


class Difference(NamedTuple):
    """A score of two runs, 0..1; NaN where it is not defined."""

    name: str
    first: float
    second: float
    low: float  # of the interval of second - first
    high: float

    @property
    def value(self) -> float:
        """The difference, second - first."""
        return self.second - self.first

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def matched(first: image_counts.Counts, second: image_counts.Counts, workdirs: tuple[str, str]) -> image_counts.Counts:
    """The second evaluation with its classes and images in the order of the first.

    Raises:
        ValueError: if classes, images or labels differ.
    """
    for what, a, b in (("classes", first.classes, second.classes), ("images", first.ids, second.ids)):
        only_a, only_b = ([x for x in one if x not in set(other)] for one, other in ((a, b), (b, a)))
        if only_a or only_b:
            said = "; ".join(
                f"{len(only)} only in {workdir}, such as {only[0]!r}"
                for only, workdir in zip((only_a, only_b), workdirs, strict=True)
                if only
            )
            raise ValueError(
                f"Expected evaluations of the same {what} of {first.split}. Received: {said}. Evaluate both runs on the same "
                "data set."
            )
    place = {name: i for i, name in enumerate(second.ids)}
    pixels = second.pixels[[place[name] for name in first.ids]]
    pixels = pixels[..., [second.classes.index(name) for name in first.classes]]
    if (wrong := np.flatnonzero((first.pixels[:, 1] != pixels[:, 1]).any(1))).size:
        raise ValueError(
            f"Expected evaluations of the same labels of {first.split}. Received: other labels, or another size, in "
            f"{wrong.size} of {len(first.ids)} images, such as {first.ids[wrong[0]]!r}. Prepare the data of both in the same "
            "way, with the same --max_size."
        )
    return second._replace(ids=first.ids, classes=first.classes, pixels=pixels)


def differences(first: image_counts.Counts, second: image_counts.Counts, seed: int = 0) -> list[Difference]:
    """The mean IoU and the IoU of each class of two evaluations of the same images, with intervals of their differences.

    The paired bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13): the images are drawn with
    replacement, the same for both, RESAMPLES times; the interval is between the percentiles that leave out (1 - LEVEL) / 2 on
    each side. It says how much the difference depends on which images there are, not on the randomness of training.
    Drawings in which a score is not defined are left out.
    """
    rng, images = np.random.default_rng(seed), len(first.ids)
    pairs = [np.reshape(counts.pixels, [images, -1]).astype(np.float64) for counts in (first, second)]
    shape, drawn = (-1, len(image_counts.KINDS), len(first.classes)), []
    done, together = 0, max(1, AT_ONCE // max(images, pairs[0].shape[1], 1))
    while done < RESAMPLES and images:
        count = min(together, RESAMPLES - done)
        weights = rng.multinomial(images, np.full(images, 1 / images), count).astype(np.float64)
        scores = [_scores(np.reshape(weights @ pixels, shape)) for pixels in pairs]
        drawn.append(scores[1] - scores[0])
        done += count
    sums = [_scores(counts.pixels.sum(0, dtype=np.int64)[np.newaxis])[0] for counts in (first, second)]
    drawn = np.concatenate(drawn) if drawn else np.zeros([0, len(first.classes) + 1])
    found = []
    for name, a, b, values in zip(("mean IoU", *first.classes), *sums, drawn.T, strict=True):
        values = values[~np.isnan(values)]
        ends = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) if values.size else (np.nan, np.nan)
        found.append(Difference(name, float(a), float(b), float(ends[0]), float(ends[1])))
    return found


def _scores(pixels):
    """[n, 1 + classes] of [n, 3, classes]: mean IoU, and the IoU of each class."""
    return np.concatenate([image_counts.miou(pixels)[:, np.newaxis], image_counts.iou(pixels)], 1)


def points(value: float, sign: str = "") -> str:
    """0..1 in percent, with its sign if `sign` is "+"; "-" for NaN."""
    return "-" if np.isnan(value) else f"{100 * value:{sign}.2f}"
