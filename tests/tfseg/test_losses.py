import math

import numpy as np
import pytest
import tensorflow as tf

from tfseg import losses
from tfseg.losses.cross_entropy import cross_entropy

# Three pixels. softmax([log 1, log 2, log 5]) = (1/8, 2/8, 5/8) and softmax([0, 0, 0]) = (1/3, 1/3, 1/3), so -log q is
#   pixel 0: (log 8, log 4, log 8/5)    pixel 1: (log 3, log 3, log 3)    pixel 2: ignored
LOGITS = np.array([[[[0.0, math.log(2), math.log(5)], [0, 0, 0], [7, -3, 1]]]], "float32")
LABEL = np.array([[[2, 0, 255]]], "uint8")
WEIGHTS = (2.0, 1.0, 0.5)


def values(*args, **kwargs):
    return [float(x) for x in cross_entropy(*args, **kwargs)]


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


def test_plain():
    # log 8/5 + log 3 over 2 valid pixels
    assert values(LOGITS, LABEL) == pytest.approx([math.log(8 / 5) + math.log(3), 2])


def test_class_weights():
    # 0.5 log 8/5 + 2 log 3, the weights of the labels 2 and 0 sum to 2.5
    expected = [0.5 * math.log(8 / 5) + 2 * math.log(3), 2.5]
    assert values(LOGITS, LABEL, class_weights=WEIGHTS) == pytest.approx(expected)


def test_label_smoothing():
    # e = 0.3, e / C = 0.1
    # Pixel 0: 0.7 log 8/5 + 0.1 (log 8 + log 4 + log 8/5); pixel 1: 0.7 log 3 + 0.1 * 3 log 3 = log 3
    first = 0.7 * math.log(8 / 5) + 0.1 * (math.log(8) + math.log(4) + math.log(8 / 5))
    assert values(LOGITS, LABEL, label_smoothing=0.3) == pytest.approx([first + math.log(3), 2])


def test_label_smoothing_with_class_weights():
    # Pixel 0: 0.7 * 0.5 log 8/5 + 0.1 (2 log 8 + 1 log 4 + 0.5 log 8/5)
    # Pixel 1: 0.7 * 2 log 3 + 0.1 (2 + 1 + 0.5) log 3 = 1.75 log 3
    first = 0.35 * math.log(8 / 5) + 0.1 * (2 * math.log(8) + math.log(4) + 0.5 * math.log(8 / 5))
    expected = [first + 1.75 * math.log(3), 2.5]
    assert values(LOGITS, LABEL, class_weights=WEIGHTS, label_smoothing=0.3) == pytest.approx(expected)


def test_gradient():
    # d(-w_y log q_y)/dz = w_y (q - onehot y)
    # Pixel 0: 0.5 (1/8, 2/8, 5/8 - 1); pixel 1: 2 (1/3 - 1, 1/3, 1/3); pixel 2: 0
    expected = [[[[1 / 16, 1 / 8, -3 / 16], [-4 / 3, 2 / 3, 2 / 3], [0, 0, 0]]]]
    np.testing.assert_allclose(gradient(LOGITS, LABEL, class_weights=WEIGHTS), expected, atol=1e-7)


OPTIONS = [{}, {"class_weights": (1, 2, 3, 4, 5, 6, 0)}, {"label_smoothing": 0.2}]


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("junk", [1e30, -math.inf, math.nan])
def test_ignored_pixels_change_nothing(junk, options, jit_compile):
    logits, label = random_batch()

    @tf.function(jit_compile=jit_compile)
    def run(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            total, count = cross_entropy(logits, label, **options)
        return total, count, tape.gradient(total, logits)

    expected = run(tf.constant(logits))
    received = run(tf.constant(np.where((label == 255)[..., None], np.float32(junk), logits)))
    for e, r in zip(expected, received, strict=True):
        np.testing.assert_array_equal(e, r)
    assert not received[2].numpy()[label == 255].any()


@pytest.mark.parametrize("options", OPTIONS)
def test_no_valid_pixel(options):
    logits, label = random_batch()
    label[:] = 255
    assert values(logits, label, **options) == [0, 0]
    assert not gradient(logits, label, **options).any()


@pytest.mark.parametrize("options", OPTIONS)
def test_halves_sum_to_the_whole(options):
    logits, label = random_batch()
    label[:2] = 255  # nearly all void on one side, which a mean of means gets wrong
    label[0, 0, 0] = 1
    halves = [values(logits[part], label[part], **options) for part in (slice(2), slice(2, 4))]
    assert np.sum(halves, 0) == pytest.approx(values(logits, label, **options), rel=1e-6)


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


def test_build():
    terms = losses.build("cross_entropy(label_smoothing=0.3) + 0.5*cross_entropy", class_weights=WEIGHTS)
    assert [(t.name, t.weight) for t in terms] == [("cross_entropy", 1.0), ("cross_entropy_2", 0.5)]
    expected = values(LOGITS, LABEL, class_weights=WEIGHTS, label_smoothing=0.3)
    assert [float(x) for x in terms[0].function(LOGITS, LABEL)] == expected
    assert [float(x) for x in terms[1].function(LOGITS, LABEL)] == values(LOGITS, LABEL, class_weights=WEIGHTS)
    assert [float(x) for x in losses.build("cross_entropy")[0].function(LOGITS, LABEL)] == values(LOGITS, LABEL)


def test_build_refuses_before_the_first_step(monkeypatch):
    with pytest.raises(ValueError, match="cross_entropy"):
        losses.build("crossentropy")
    with pytest.raises(ValueError, match=r"Expected cross_entropy\(class_weights, label_smoothing\)"):
        losses.build("cross_entropy(smoothing=0.1)")
    monkeypatch.setattr("tfseg.losses.cross_entropy.cross_entropy", lambda logits, label: (0.0, 0.0))
    with pytest.raises(ValueError, match="takes class weights"):
        losses.build("cross_entropy", class_weights=WEIGHTS)


@pytest.mark.parametrize("name", losses.names())
def test_contract(name):
    """What the loop relies on, for every loss there is."""
    logits, label = random_batch()
    (term,) = losses.build(name)
    total, count = tf.function(term.function)(logits, label)
    assert total.shape == count.shape == ()
    assert np.isfinite(total)
    assert count > 0
    spoilt = np.where((label == 255)[..., None], np.nan, logits).astype("float32")
    np.testing.assert_array_equal(term.function(spoilt, label), term.function(logits, label))
    assert [float(x) for x in term.function(logits, np.full_like(label, 255))] == [0, 0]
