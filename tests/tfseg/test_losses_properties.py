"""What every loss but cross_entropy (test_losses.py) promises, and a second implementation of each in numpy."""

import importlib
import math

import numpy as np
import pytest
import tensorflow as tf

from tfseg import losses

WEIGHTS = (1.0, 2.0, 0.5)
CASES = [
    ("focal", {}),
    ("focal", {"gamma": 0.5, "class_weights": WEIGHTS}),
    ("ohem_cross_entropy", {"threshold": 0.4, "min_kept": 0.25}),
    ("ohem_cross_entropy", {"threshold": 0.1, "min_kept": 0.5, "class_weights": WEIGHTS}),
    ("ohem_cross_entropy", {"threshold": None, "min_kept": 0.25}),
    ("bootstrapped_cross_entropy", {"pixels": 7}),
    ("bootstrapped_cross_entropy", {"pixels": 7, "class_weights": WEIGHTS}),
    ("boundary_cross_entropy", {"weight": 3.0, "sigma": 0.6}),
    ("boundary_cross_entropy", {"sigma": 2.0, "class_weights": WEIGHTS}),
    ("dice", {}),
    ("jaccard", {"smooth": 1.0}),
    ("tversky", {}),
    ("lovasz_softmax", {}),
    ("lovasz_softmax", {"per_image": False}),
]
cases = pytest.mark.parametrize(("name", "options"), CASES, ids=[f"{n}{o}" for n, o in CASES])


def find(name):
    return getattr(importlib.import_module(f"tfseg.losses.{name}"), name)


def batch(dtype="float32"):
    """Four images of three classes, 40 % ignored: the first has two valid pixels, the second no pixel of class 2."""
    rng = np.random.default_rng(1)
    label = rng.integers(0, 3, (4, 5, 6)).astype("uint8")
    label[1][label[1] == 2] = 0
    label[rng.random(label.shape) < 0.4] = 255
    label[0] = 255
    label[0, 2, 3:5] = 1, 2
    return rng.normal(scale=2, size=(*label.shape, 3)).astype(dtype), label


def run(name, logits, label, jit_compile=False, **options):
    """(sum, count, gradient of the sum)."""

    def step(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            total, count = find(name)(logits, label, **options)
        return total, count, tape.gradient(total, logits)

    function = tf.function(step, jit_compile=True) if jit_compile else step
    return [x.numpy() for x in function(tf.convert_to_tensor(logits))]


# --- A second implementation: float64, pixel by pixel -----------------------------------------------------------------


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def valid_pixels(logits, label):
    """Per image: probabilities [pixels, classes] and ids [pixels]."""
    return [(softmax(z[y != 255].astype("float64")), y[y != 255]) for z, y in zip(logits, label, strict=True)]


def numpy_focal(images, gamma=2.0, class_weights=(1, 1, 1)):
    pixels = [(class_weights[c], q[c]) for p, y in images for q, c in zip(p, y, strict=True)]
    return sum(w * (1 - q) ** gamma * -math.log(q) for w, q in pixels), sum(w for w, _ in pixels)


def numpy_ohem_cross_entropy(images, threshold, min_kept, class_weights=(1, 1, 1)):
    kept = []
    for p, y in images:
        pixels = sorted((q[c], class_weights[c]) for q, c in zip(p, y, strict=True))
        least = math.ceil(min_kept * len(pixels))
        kept += pixels[:least] + [x for x in pixels[least:] if x[0] < (threshold or 0)]
    return sum(-w * math.log(q) for q, w in kept), sum(w for _, w in kept)


def numpy_bootstrapped_cross_entropy(images, pixels, class_weights=(1, 1, 1)):
    losses = []
    for p, y in images:
        hardest = sorted((q[c], class_weights[c]) for q, c in zip(p, y, strict=True))[:pixels]
        if hardest:
            losses.append(sum(-w * math.log(q) for q, w in hardest) / sum(w for _, w in hardest))
    return sum(losses), len(losses)


def numpy_boundary_cross_entropy(images, weight=10.0, sigma=5.0, class_weights=(1, 1, 1), *, label):
    terms = []
    for (p, y), ids in zip(images, label, strict=True):
        height, width = ids.shape
        edges = {
            (i, j)
            for i, j in np.argwhere(ids != 255).tolist()
            for v, u in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1))
            if 0 <= v < height and 0 <= u < width and ids[v, u] not in (255, ids[i, j])
        }
        reach = math.ceil(3 * sigma)
        for (i, j), q, c in zip(np.argwhere(ids != 255).tolist(), p, y, strict=True):
            near = [(i - v) ** 2 + (j - u) ** 2 for v, u in edges if max(abs(i - v), abs(j - u)) <= reach]
            w = class_weights[c] * (1 + weight * math.exp(-min(near, default=math.inf) / (2 * sigma**2)))
            terms.append((w * -math.log(q[c]), w))
    return tuple(map(sum, zip(*terms, strict=True)))


def numpy_region(images, loss):
    losses = [np.mean([loss(p[:, c], y == c) for c in set(y.tolist())]) for p, y in images if len(y)]
    return sum(losses), len(losses)


def numpy_dice(images):
    return numpy_region(images, lambda p, g: 1 - 2 * (p * g).sum() / (p.sum() + g.sum()))


def numpy_jaccard(images, smooth):
    return numpy_region(images, lambda p, g: 1 - (p[g].sum() + smooth) / (p.sum() + g.sum() - p[g].sum() + smooth))


def numpy_tversky(images):
    return numpy_region(images, lambda p, g: 1 - p[g].sum() / (p[g].sum() + 0.3 * p[~g].sum() + 0.7 * (1 - p[g]).sum()))


def numpy_lovasz_softmax(images, per_image=True):
    """By the definition: the Jaccard loss of each set of wrong pixels, weighted by the steps of the sorted errors."""

    def jaccard_loss(wrong, g):  # the foreground found over the union of foreground and found
        return 1 - (g & ~wrong).sum() / (g | wrong).sum()

    def extension(p, g):
        error = np.where(g, 1 - p, p)
        order = np.argsort(-error)
        steps = error[order] - np.append(error[order][1:], 0)
        return sum(s * jaccard_loss(np.isin(np.arange(len(p)), order[: i + 1]), g) for i, s in enumerate(steps))

    if not per_image:
        images = [(np.concatenate([p for p, _ in images]), np.concatenate([y for _, y in images]))]
    return numpy_region(images, extension)


@cases
def test_value_and_gradient_are_those_of_numpy(name, options):
    logits, label = batch()

    def reference(logits):
        place = {"label": label} if name == "boundary_cross_entropy" else {}
        return globals()[f"numpy_{name}"](valid_pixels(logits, label), **options, **place)

    total, count, gradient = run(name, logits, label, **options)
    assert [total, count] == pytest.approx(reference(logits), rel=1e-5)
    # The gradient in five directions by central differences, in float64.
    for direction in np.random.default_rng(2).normal(size=(5, *logits.shape)):
        ahead, behind = (reference(logits + step * direction)[0] for step in (1e-6, -1e-6))
        assert np.sum(gradient * direction) == pytest.approx((ahead - behind) / 2e-6, rel=1e-4, abs=1e-5)


def test_every_loss_is_here():
    assert {name for name, _ in CASES} == set(losses.names()) - {"cross_entropy"}


# --- Promises ---------------------------------------------------------------------------------------------------------


@cases
@pytest.mark.parametrize("junk", [1e30, math.inf, -math.inf, math.nan])
def test_ignored_pixels_change_nothing(name, options, junk):
    logits, label = batch()
    expected = run(name, logits, label, **options)
    received = run(name, np.where((label == 255)[..., None], np.float32(junk), logits), label, **options)
    for e, r in zip(expected, received, strict=True):
        np.testing.assert_array_equal(e, r)
    assert not received[2][label == 255].any()
    assert received[2][label != 255].any()


@cases
def test_no_valid_pixel(name, options):
    logits, label = batch()
    total, count, gradient = run(name, np.full_like(logits, np.nan), np.full_like(label, 255), **options)
    assert [total, count] == [0, 0]
    np.testing.assert_array_equal(gradient, np.zeros_like(logits))


@pytest.mark.parametrize(("name", "options"), [c for c in CASES if c[1] != {"per_image": False}])
def test_halves_sum_to_the_whole(name, options):
    logits, label = batch()
    label[1] = 255  # so that the first half has two valid pixels in one image: a mean of means gets it wrong
    halves = [run(name, logits[part], label[part], **options) for part in (slice(2), slice(2, 4))]
    total, count, gradient = run(name, logits, label, **options)
    assert np.sum([h[:2] for h in halves], 0) == pytest.approx([total, count], rel=1e-6)
    np.testing.assert_allclose(np.concatenate([h[2] for h in halves]), gradient, rtol=1e-5, atol=1e-7)


@cases
@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_mixed_precision_computes_in_float32(name, options, dtype):
    logits, label = batch()
    half = tf.cast(logits, dtype)
    total, count, gradient = run(name, half, label, **options)
    assert total.dtype == count.dtype == np.float32
    assert gradient.dtype == dtype.as_numpy_dtype
    # the same rounded logits in float32: no other rounding
    expected = run(name, tf.cast(half, tf.float32), label, **options)
    assert [total, count] == expected[:2]
    np.testing.assert_array_equal(gradient, tf.cast(expected[2], dtype).numpy())


@cases
def test_xla_agrees(name, options):
    logits, label = batch()
    logits[label == 255] = np.nan
    expected = run(name, logits, label, **options)
    received = run(name, logits, label, jit_compile=True, **options)
    assert received[:2] == pytest.approx(expected[:2], rel=1e-5)
    np.testing.assert_allclose(received[2], expected[2], rtol=1e-4, atol=1e-6)


@cases
def test_size_known_only_at_run_time(name, options):
    """As in a step whose crop size is not fixed; the loop compiles each loss by itself."""
    logits, label = batch()
    specs = [tf.TensorSpec([None, None, None, 3], tf.float32), tf.TensorSpec([None, None, None], tf.uint8)]
    compiled = tf.function(find(name), jit_compile=True)
    step = tf.function(lambda z, y: compiled(z, y, **options), input_signature=specs)
    received = [float(x) for x in step(logits, label)]
    assert received == pytest.approx(run(name, logits, label, **options)[:2], rel=1e-5)


@cases
def test_large_logits_stay_finite(name, options):
    logits, label = batch()
    for x in run(name, np.float32(1e4) * logits, label, **options):
        assert np.isfinite(x).all()


@pytest.mark.parametrize("function", ["lovasz_softmax", "dice"])
def test_float32_suffices_for_a_large_image(function):
    """200 000 pixels against float64: sums over an image must not eat the digits."""
    rng = np.random.default_rng(3)
    label = rng.integers(0, 3, (1, 400, 500)).astype("uint8")
    logits = rng.normal(size=(*label.shape, 3)).astype("float32")
    ((p, y),) = valid_pixels(logits, label)
    if function == "dice":
        expected = numpy_dice([(p, y)])[0]
    else:
        losses = []
        for c in range(3):
            error = np.where(y == c, 1 - p[:, c], p[:, c])
            wrong = (y == c)[np.argsort(-error)].cumsum()
            size, number = wrong[-1], np.arange(1, len(y) + 1)
            loss = 1 - (size - wrong) / (size + number - wrong)
            losses.append(-np.sort(-error) @ np.diff(loss, prepend=0))
        expected = np.mean(losses)
    assert float(find(function)(logits, label)[0]) == pytest.approx(expected, rel=1e-5)
