import math

import numpy as np
import pytest
import tensorflow as tf

from tests.tfseg.losses import samples
from tests.tfseg.losses.samples import LABEL, LOGITS, minus_log, values
from tfseg.losses.cross_entropy import cross_entropy
from tfseg.losses.focal import focal

CASES = [
    # gamma = 2: (1 - q)^2 (-log q) over 6 valid pixels
    ((LOGITS, LABEL), {}, (sum((1 - q) ** 2 * -math.log(q) for q in (0.9, 0.8, 0.6, 0.5, 0.9, 0.2)), 6)),
    # gamma = 1, image 0: labels 0, 1, 0, 1 weigh 2, 0.5, 2, 0.5
    (
        (LOGITS[:1], LABEL[:1]),
        {"class_weights": samples.TWO_WEIGHTS, "gamma": 1},
        (0.2 * minus_log(0.9) + 0.1 * minus_log(0.8) + 0.8 * minus_log(0.6) + 0.25 * minus_log(0.5), 5),
    ),
]
OPTIONS = [{}, {"gamma": 0.5, "class_weights": samples.WEIGHTS}]


def reference(logits, label, gamma=2.0, class_weights=(1, 1, 1)):
    images = samples.valid_pixels(logits, label)
    pixels = [(class_weights[c], q[c]) for p, y in images for q, c in zip(p, y, strict=True)]
    return sum(w * (1 - q) ** gamma * -math.log(q) for w, q in pixels), sum(w for w, _ in pixels)


def test_without_gamma_it_is_cross_entropy():
    options = {"class_weights": samples.TWO_WEIGHTS}
    assert values(focal, LOGITS, LABEL, gamma=0, **options) == values(cross_entropy, LOGITS, LABEL, **options)


@pytest.mark.parametrize("gamma", [0.5, 1, 2])
def test_gradient_where_the_network_is_certain(gamma):
    logits = tf.constant([[[[200.0, -200.0], [0, 1e-6]]]])  # q = 1 to the last digit; q near 1/2
    with tf.GradientTape() as tape:
        tape.watch(logits)
        total, _ = focal(logits, np.array([[[0, 0]]]), gamma=gamma)
    gradient = tape.gradient(total, logits).numpy()
    np.testing.assert_array_equal(gradient[0, 0, 0], [0, 0])
    assert np.isfinite(gradient).all()


def test_it_keeps_its_digits_near_certainty():
    # 1 - q = 1 / (1 + e^12) = 6.14e-6, and 1 - float32(q) keeps only two digits of it; -log q = log(1 + e^-12)
    expected = (1 / (1 + math.exp(12))) ** 2 * math.log1p(math.exp(-12))
    total, _ = values(focal, np.array([[[[12.0, 0]]]], "float32"), np.array([[[0]]]))
    assert total == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("options", "message"), [({"gamma": -1}, "gamma"), ({"class_weights": (1, 2, 3)}, "2 class weights")]
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        focal(LOGITS, LABEL, **options)
    with pytest.raises(ValueError, match="size"):
        focal(LOGITS, LABEL[:, :, :2])
