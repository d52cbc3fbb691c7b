"""Losses of regions: values derived by hand. What they promise is in test_losses_properties.py."""

import math

import numpy as np
import pytest

from tfseg.losses.dice import dice
from tfseg.losses.jaccard import jaccard
from tfseg.losses.lovasz_softmax import lovasz_softmax
from tfseg.losses.tversky import tversky

# softmax([log a, log b]) = (a, b) where a + b = 1.
#   image 0: (3/4, 1/4) of class 0, (1/2, 1/2) of class 1, ignored    image 1: (3/4, 1/4) of class 0, ignored, ignored
#   image 2: all ignored
# TP, FP, FN of image 0, class 0: 3/4, 1/2, 1/4    class 1: 1/2, 1/4, 1/2
#            image 1, class 0: 3/4, 0, 1/4           class 1: absent
FIRST = np.array([[0.75, 0.5, 0.1], [0.75, 0.1, 0.1], [0.1, 0.2, 0.3]])
LOGITS = np.log(np.stack([FIRST, 1 - FIRST], -1)).astype("float32")[:, None]
LABEL = np.array([[[0, 1, 255]], [[0, 255, 255]], [[255, 255, 255]]], "uint8")


def values(function, logits=LOGITS, label=LABEL, **options):
    return [float(x) for x in function(logits, label, **options)]


@pytest.mark.parametrize(
    ("function", "options", "image_0", "image_1"),
    [
        # 1 - 2 TP / (2 TP + FP + FN): 1 - 1.5 / 2.25 = 1/3, 1 - 1 / 1.75 = 3/7 | 1 - 1.5 / 1.75 = 1/7
        (dice, {}, (1 / 3, 3 / 7), 1 / 7),
        # 1 - (2 TP + 1) / (2 TP + FP + FN + 1): 1 - 2.5 / 3.25 = 3/13, 1 - 2 / 2.75 = 3/11 | 1 - 2.5 / 2.75 = 1/11
        (dice, {"smooth": 1}, (3 / 13, 3 / 11), 1 / 11),
        # 1 - TP / (TP + FP + FN): 1 - 0.75 / 1.5 = 1/2, 1 - 0.5 / 1.25 = 3/5 | 1 - 0.75 / 1 = 1/4
        (jaccard, {}, (1 / 2, 3 / 5), 1 / 4),
        # 1 - (TP + 1) / (TP + FP + FN + 1): 1 - 1.75 / 2.5 = 3/10, 1 - 1.5 / 2.25 = 1/3 | 1 - 1.75 / 2 = 1/8
        (jaccard, {"smooth": 1}, (3 / 10, 1 / 3), 1 / 8),
        # alpha = 0.3, beta = 0.7: 1 - 0.75 / 1.075 = 13/43, 1 - 0.5 / 0.925 = 17/37 | 1 - 0.75 / 0.925 = 7/37
        (tversky, {}, (13 / 43, 17 / 37), 7 / 37),
        # alpha = 1, beta = 0, one minus precision: 1 - 0.75 / 1.25 = 2/5, 1 - 0.5 / 0.75 = 1/3 | 0
        (tversky, {"alpha": 1, "beta": 0}, (2 / 5, 1 / 3), 0),
        # Class 0, errors 1/4 (foreground) and 1/2 (background), the greater first: the IoU goes 1, 1/2, 0, so
        # 1/2 * 1/2 + 1/4 * 1/2 = 3/8. Class 1, the same errors, 1/2 in the foreground: the IoU goes 1, 0, 0: 1/2.
        # Image 1: one pixel, of error 1/4.
        (lovasz_softmax, {}, (3 / 8, 1 / 2), 1 / 4),
    ],
)
def test_by_hand(function, options, image_0, image_1):
    # the mean over the present classes, summed over the two images with valid pixels
    assert values(function, **options) == pytest.approx([sum(image_0) / 2 + image_1, 2], rel=1e-5, abs=1e-6)


def test_lovasz_per_batch():
    # One region of three pixels. Class 0: errors 1/4, 1/4 (foreground), 1/2 (background); the IoU goes 1, 2/3, 1/3, 0:
    # (1/2 + 1/4 + 1/4) / 3 = 1/3. Class 1: 1/2 is the one foreground pixel: 1/2.
    assert values(lovasz_softmax, per_image=False) == pytest.approx([(1 / 3 + 1 / 2) / 2, 1], rel=1e-5)
    assert values(lovasz_softmax, LOGITS[2:], LABEL[2:], per_image=False) == [0, 0]
    one_image = values(lovasz_softmax, LOGITS[:1], LABEL[:1])
    assert values(lovasz_softmax, LOGITS[:1], LABEL[:1], per_image=False) == one_image


@pytest.mark.parametrize("function", [dice, jaccard, tversky, lovasz_softmax])
def test_bounds(function):
    right = np.where(LABEL[..., None] == np.arange(2), 100, -100).astype("float32")
    assert values(function, right) == [0, 2]
    assert values(function, -right) == [2, 2]


def test_lovasz_of_certain_predictions_is_the_iou():
    # On hard errors the extension is the set function: 1 - IoU, the mean over the classes of the label.
    rng = np.random.default_rng(0)
    label, predicted = rng.integers(0, 3, (2, 1, 8, 8))
    logits = np.where(predicted[..., None] == np.arange(3), 200, 0).astype("float32")
    ious = [((label == c) & (predicted == c)).sum() / ((label == c) | (predicted == c)).sum() for c in range(3)]
    assert values(lovasz_softmax, logits, label) == pytest.approx([1 - np.mean(ious), 1], rel=1e-5)


@pytest.mark.parametrize("function", [dice, jaccard, tversky, lovasz_softmax])
def test_an_unknown_id_does_not_go_unnoticed(function):
    label = LABEL.copy()
    label[0, 0, 0] = 2
    assert math.isnan(values(function, label=label)[0])


def test_errors():
    with pytest.raises(ValueError, match="0 or more"):
        tversky(LOGITS, LABEL, alpha=-1)
    with pytest.raises(ValueError, match="0 or more"):
        dice(LOGITS, LABEL, smooth=-1)
    with pytest.raises(ValueError, match="size"):
        lovasz_softmax(LOGITS, LABEL[:, :, :2])
