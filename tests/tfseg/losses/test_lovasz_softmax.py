import math

import numpy as np
import pytest

from tests.tfseg.losses import samples
from tests.tfseg.losses.samples import REGION_LABEL as LABEL
from tests.tfseg.losses.samples import REGION_LOGITS as LOGITS
from tests.tfseg.losses.samples import values
from tfseg.losses.lovasz_softmax import lovasz_softmax

CASES = [
    # Class 0, errors 1/4 (foreground) and 1/2 (background), the greater first: the IoU goes 1, 1/2, 0, so
    # 1/2 * 1/2 + 1/4 * 1/2 = 3/8. Class 1, the same errors, 1/2 in the foreground: the IoU goes 1, 0, 0: 1/2.
    # Image 1: one pixel, of error 1/4. The mean over the present classes, summed over the images with valid pixels.
    ((LOGITS, LABEL), {}, ((3 / 8 + 1 / 2) / 2 + 1 / 4, 2)),
    # One region of three pixels. Class 0: errors 1/4, 1/4 (foreground), 1/2 (background); the IoU goes 1, 2/3, 1/3, 0:
    # (1/2 + 1/4 + 1/4) / 3 = 1/3. Class 1: 1/2 is the one foreground pixel: 1/2.
    ((LOGITS, LABEL), {"per_image": False}, ((1 / 3 + 1 / 2) / 2, 1)),
]
OPTIONS = [{}, {"per_image": False}]
OF_THE_BATCH = [{"per_image": False}]


def reference(logits, label, per_image=True):
    """By the definition: the Jaccard loss of each set of wrong pixels, weighted by the steps of the sorted errors."""

    def jaccard_loss(wrong, g):  # the foreground found over the union of foreground and found
        return 1 - (g & ~wrong).sum() / (g | wrong).sum()

    def extension(p, g):
        error = np.where(g, 1 - p, p)
        order = np.argsort(-error)
        steps = error[order] - np.append(error[order][1:], 0)
        return sum(s * jaccard_loss(np.isin(np.arange(len(p)), order[: i + 1]), g) for i, s in enumerate(steps))

    images = samples.valid_pixels(logits, label)
    if not per_image:
        images = [(np.concatenate([p for p, _ in images]), np.concatenate([y for _, y in images]))]
    return samples.mean_over_present(images, extension)


def test_per_batch():
    assert values(lovasz_softmax, LOGITS[2:], LABEL[2:], per_image=False) == [0, 0]
    one_image = values(lovasz_softmax, LOGITS[:1], LABEL[:1])
    assert values(lovasz_softmax, LOGITS[:1], LABEL[:1], per_image=False) == one_image


def test_of_certain_predictions_it_is_the_iou():
    # On hard errors the extension is the set function: 1 - IoU, the mean over the classes of the label.
    rng = np.random.default_rng(0)
    label, predicted = rng.integers(0, 3, (2, 1, 8, 8))
    logits = np.where(predicted[..., None] == np.arange(3), 200, 0).astype("float32")
    ious = [((label == c) & (predicted == c)).sum() / ((label == c) | (predicted == c)).sum() for c in range(3)]
    assert values(lovasz_softmax, logits, label) == pytest.approx([1 - np.mean(ious), 1], rel=1e-5)


def test_float32_suffices_for_a_large_image():
    """200 000 pixels against float64: sums over an image must not lose digits."""
    rng = np.random.default_rng(3)
    label = rng.integers(0, 3, (1, 400, 500)).astype("uint8")
    logits = rng.normal(size=(*label.shape, 3)).astype("float32")
    ((p, y),), losses = samples.valid_pixels(logits, label), []
    for c in range(3):
        error = np.where(y == c, 1 - p[:, c], p[:, c])
        wrong = (y == c)[np.argsort(-error)].cumsum()
        size, number = wrong[-1], np.arange(1, len(y) + 1)
        loss = 1 - (size - wrong) / (size + number - wrong)
        losses.append(-np.sort(-error) @ np.diff(loss, prepend=0))
    assert values(lovasz_softmax, logits, label)[0] == pytest.approx(np.mean(losses), rel=1e-5)


def test_errors():
    with pytest.raises(ValueError, match="size"):
        lovasz_softmax(LOGITS, LABEL[:, :, :2])


def test_bounds():
    right = np.where(LABEL[..., None] == np.arange(2), 100, -100).astype("float32")
    assert values(lovasz_softmax, right, LABEL) == [0, 2]
    assert values(lovasz_softmax, -right, LABEL) == [2, 2]


def test_an_unknown_id_does_not_go_unnoticed():
    label = LABEL.copy()
    label[0, 0, 0] = 2
    assert math.isnan(values(lovasz_softmax, LOGITS, label)[0])
