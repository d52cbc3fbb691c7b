import math

import numpy as np
import pytest
import tensorflow as tf

from tests.tfseg.losses import samples
from tfseg.losses.cross_entropy import cross_entropy

# Three pixels. softmax([log 1, log 2, log 5]) = (1/8, 2/8, 5/8) and softmax([0, 0, 0]) = (1/3, 1/3, 1/3), so -log q is
#   pixel 0: (log 8, log 4, log 8/5)    pixel 1: (log 3, log 3, log 3)    pixel 2: ignored
LOGITS = np.array([[[[0.0, math.log(2), math.log(5)], [0, 0, 0], [7, -3, 1]]]], "float32")
LABEL = np.array([[[2, 0, 255]]], "uint8")
WEIGHTS = (2.0, 1.0, 0.5)


# e = 0.3, e / C = 0.1. Pixel 0: 0.7 log 8/5 + 0.1 (log 8 + log 4 + log 8/5); pixel 1: 0.7 log 3 + 0.1 * 3 log 3 = log 3
SMOOTH = 0.7 * math.log(8 / 5) + 0.1 * (math.log(8) + math.log(4) + math.log(8 / 5))
# Pixel 0: 0.7 * 0.5 log 8/5 + 0.1 (2 log 8 + 1 log 4 + 0.5 log 8/5); pixel 1: 0.7 * 2 log 3 + 0.1 (2 + 1 + 0.5) log 3
SMOOTH_WEIGHTED = 0.35 * math.log(8 / 5) + 0.1 * (2 * math.log(8) + math.log(4) + 0.5 * math.log(8 / 5))
CASES = [
    # log 8/5 + log 3 over 2 valid pixels
    ((LOGITS, LABEL), {}, (math.log(8 / 5) + math.log(3), 2)),
    # 0.5 log 8/5 + 2 log 3, the weights of the labels 2 and 0 sum to 2.5
    ((LOGITS, LABEL), {"class_weights": WEIGHTS}, (0.5 * math.log(8 / 5) + 2 * math.log(3), 2.5)),
    ((LOGITS, LABEL), {"label_smoothing": 0.3}, (SMOOTH + math.log(3), 2)),
    (
        (LOGITS, LABEL),
        {"class_weights": WEIGHTS, "label_smoothing": 0.3},
        (SMOOTH_WEIGHTED + 1.75 * math.log(3), 2.5),
    ),
]
OPTIONS = [{}, {"class_weights": (1, 2, 0)}, {"label_smoothing": 0.2}]


def reference(logits, label, class_weights=(1, 1, 1), label_smoothing=0.0):
    weights, total, count = np.array(class_weights), 0.0, 0.0
    for probabilities, ids in samples.valid_pixels(logits, label):
        for q, c in zip(probabilities, ids, strict=True):
            target = (1 - label_smoothing) * np.eye(len(q))[c] + label_smoothing / len(q)
            total -= (target * weights * np.log(q)).sum()
            count += weights[c]
    return total, count


def values(*args, **kwargs):
    return samples.values(cross_entropy, *args, **kwargs)


def gradient(logits, label, **kwargs):
    logits = tf.convert_to_tensor(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        total, _ = cross_entropy(logits, label, **kwargs)
    return tape.gradient(total, logits).numpy()


def random_batch(seed=0, shape=(4, 6, 5, 7)):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, shape[-1], shape[:-1]).astype("uint8")
    label[rng.random(label.shape) < 0.4] = 255
    return rng.normal(size=shape).astype("float32"), label


def test_gradient():
    # d(-w_y log q_y)/dz = w_y (q - onehot y)
    # Pixel 0: 0.5 (1/8, 2/8, 5/8 - 1); pixel 1: 2 (1/3 - 1, 1/3, 1/3); pixel 2: 0
    expected = [[[[1 / 16, 1 / 8, -3 / 16], [-4 / 3, 2 / 3, 2 / 3], [0, 0, 0]]]]
    np.testing.assert_allclose(gradient(LOGITS, LABEL, class_weights=WEIGHTS), expected, atol=1e-7)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_mixed_precision_computes_in_float32(dtype):
    logits, label = random_batch(shape=(2, 64, 64, 7))
    half = tf.cast(logits, dtype)
    total, count = cross_entropy(half, label)
    assert total.dtype == count.dtype == tf.float32
    # the same rounded logits in float32: no other rounding; 8192 pixels would saturate a float16 or bfloat16 sum
    assert [float(total), float(count)] == values(tf.cast(half, tf.float32), label)
    assert gradient(half, label).dtype == dtype.as_numpy_dtype


def test_large_logits_stay_finite():
    assert values(np.array([[[[1e4, -1e4]]]], "float32"), np.array([[[1]]])) == [2e4, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_weights": (1, 2)}, "3 class weights"),
        ({"label_smoothing": 1.5}, "0..1"),
        ({"label": LABEL[:, :, :2]}, "size"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        cross_entropy(LOGITS, options.pop("label", LABEL), **options)
