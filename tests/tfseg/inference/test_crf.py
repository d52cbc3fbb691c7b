import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.tfseg.inference import reference
from tfseg import inference
from tfseg.inference import lattice
from tfseg.inference.crf import EXACT, exact_messages, lattice_messages, mean_field

CASES = [
    pytest.param(file, case, id=f"{file['name']}-{i}")
    for file in reference.files("dense_crf")
    for i, case in enumerate(file["cases"])
]


@pytest.fixture(scope="module")
def model():
    inputs = keras.Input((None, None, 3))
    kernel = keras.initializers.RandomNormal(stddev=0.03, seed=0)
    return keras.Model(inputs, {"logits": keras.layers.Conv2D(5, 3, padding="same", kernel_initializer=kernel)(inputs)})


def images(size, batch=2):
    return np.random.default_rng(0).integers(0, 256, (batch, *size, 3), "uint8")


def street(height, width):
    """Three areas of their own colour with a little noise, and logits that are right in them more often than not."""
    random = np.random.default_rng(0)
    label = np.zeros([height, width], int)
    label[height // 2 :], label[height // 4 :, width // 3 : width // 2] = 1, 2
    image = np.array([[200, 90, 60], [70, 120, 70], [40, 40, 160]])[label] + random.normal(0, 6, (height, width, 3))
    logits = 2 * np.eye(3)[label] + random.normal(0, 1.5, (height, width, 3))
    return label, np.clip(image, 0, 255).astype("uint8"), logits.astype("float32")


@pytest.mark.parametrize(("file", "case"), CASES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-6), ("float32", 1e-4)])
def test_exact_marginals_are_those_of_the_reference(file, case, dtype, tolerance):
    of = case["settings"]
    bilateral = of["bilateral_weight"], of["bilateral_sxy"], of["bilateral_srgb"]
    gaussian = of["gaussian_weight"], of["gaussian_sxy"]
    image, logits = (tf.constant(file[name], dtype) for name in ("image", "logits"))
    usual = of["normalisation"] == "symmetric" and case["self_included"]
    messages = exact_messages(image, bilateral, gaussian, of["normalisation"] == "symmetric", case["self_included"])
    unary = scores = tf.nn.log_softmax(logits)
    for step in range(1, 1 + max(map(int, case["marginals"]))):
        scores = tf.nn.log_softmax(unary + messages(tf.nn.softmax(scores)))
        if str(step) in case["marginals"]:
            expected = case["marginals"][str(step)]
            np.testing.assert_allclose(tf.exp(scores), expected, atol=tolerance)
            if usual:  # what a chain computes
                found = mean_field(logits, image, step, bilateral, gaussian)
                np.testing.assert_allclose(tf.exp(found), expected, atol=tolerance)


def test_the_lattice_blurs_as_a_gaussian_does():
    """Of points that lie densely, 0.1 deviations apart: up to a factor near 1, which normalisation takes away."""
    place = np.stack(np.meshgrid(np.arange(60), np.arange(50), indexing="ij"), -1).reshape(-1, 2) / 10
    values = np.stack([np.ones(len(place)), np.sin(place[:, 0])], -1)
    exact = np.exp(-0.5 * ((place[:, None] - place) ** 2).sum(-1)) @ values
    found = lattice.blur(lattice.build(tf.constant(place, tf.float32)), tf.constant(values, tf.float32)).numpy()
    factor = np.sum(found[:, 0]) / np.sum(exact[:, 0])
    assert 0.75 < factor < 1.05
    np.testing.assert_allclose(found[:, 0], factor * exact[:, 0], rtol=0.12)
    assert np.corrcoef(found[:, 1], exact[:, 1])[0, 1] > 0.999


@pytest.mark.parametrize("dimensions", [2, 5])
def test_the_lattice_is_a_partition_of_unity_and_symmetric(dimensions):
    points = tf.constant(np.random.default_rng(0).normal(0, 3, (200, dimensions)), tf.float64)
    grid = lattice.build(points)
    assert np.min(grid.weights) > -1e-12
    np.testing.assert_allclose(np.sum(grid.weights, 0), 1, rtol=1e-12)
    # Each vertex is the neighbour of its neighbour.
    count = grid.neighbours.shape[-1]
    for before, after in grid.neighbours.numpy():
        there = np.flatnonzero(before < count)
        np.testing.assert_array_equal(after[before[there]], there)
    # A point far from all others gives itself its value: by what is missing of the lattice around it, not all of it.
    far = tf.constant(100.0 * np.eye(dimensions)[:2])
    alone = lattice.blur(lattice.build(far), tf.constant([[1.0], [0.0]], tf.float64)).numpy()
    assert 0.1 < alone[0, 0] <= 1
    assert alone[1, 0] == 0


# pydensecrf2 1.1, run on the image and the logits of dense_crf.json with the bilateral kernel alone for two steps: marginals of
# the pixels (4, 6), (5, 9) and (11, 15). The exact sums are another thing: the first number would be 0.76412, and other pixels
# are up to 0.26 off.
LIBRARY = {
    (4, 67, 3): [
        [0.78362, 0.05543, 0.05172, 0.10923],
        [0.13555, 0.74747, 0.05797, 0.05901],
        [0.22672, 0.72125, 0.04762, 0.00441],
    ],
    (5, 6, 20): [
        [0.96536, 0.01180, 0.00767, 0.01517],
        [0.04280, 0.90250, 0.02935, 0.02536],
        [0.10181, 0.83883, 0.05279, 0.00657],
    ],
}


@pytest.mark.parametrize("bilateral", LIBRARY)
def test_the_lattice_is_that_of_the_authors(bilateral):
    file = reference.own("dense_crf")
    image, logits = (tf.constant(file[name], tf.float32) for name in ("image", "logits"))
    found = tf.exp(mean_field(logits, image, 2, bilateral, (0, 1), exact=False)).numpy()
    np.testing.assert_allclose(found[(4, 5, 11), (6, 9, 15)], LIBRARY[bilateral], atol=3e-5)


def test_how_far_the_lattice_is_from_the_exact_sums(capsys):
    label, image, logits = street(48, 64)
    for settings in (((4, 67, 3), (3, 1)), ((10, 80, 13), (3, 3)), ((5, 6, 20), (1.5, 1.5))):
        exact, near = (tf.exp(mean_field(logits, image, 10, *settings, exact=way)).numpy() for way in (True, False))
        equal = np.mean(exact.argmax(-1) == near.argmax(-1))
        right = [np.mean(scores.argmax(-1) == label) for scores in (logits, exact, near)]
        with capsys.disabled():
            print(
                f"\nlattice, {settings}: mean difference {np.abs(exact - near).mean():.4f}, {equal:.2%} of the labels equal; "
                "right: {:.2%} before, {:.2%} exact, {:.2%} lattice".format(*right)
            )
        assert equal > 0.95
        assert np.abs(exact - near).mean() < 0.05
        assert right[2] > right[0] + 0.02


def test_the_other_kernel_stays_exact_in_large_images():
    _, image, logits = street(20, 30)
    marginals = tf.nn.softmax(logits)
    image = tf.cast(image, tf.float32)
    found, expected = (way(image, (0, 1, 1), (3, 1.5))(marginals) for way in (lattice_messages, exact_messages))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_chains(model):
    x = images((12, 16))
    logits = model(x.astype("float32"))["logits"]
    run = inference.build("whole | crf(steps=2, bilateral=(5, 6, 20), gaussian=(2, 2))", model)
    expected = tf.stack([mean_field(one, image, 2, (5, 6, 20), (2, 2)) for one, image in zip(logits, x, strict=True)])
    graph = tf.function(run, input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)])
    for found in (run(x), run(x.astype("float32")), tf.function(run)(x), graph(x)):
        assert found.shape == (2, 12, 16, 5)
        np.testing.assert_allclose(tf.nn.softmax(found), tf.exp(expected), atol=1e-4)
    np.testing.assert_array_equal(run(x, lambda y: tf.argmax(y, -1)), np.argmax(run(x), -1))
    assert np.abs(tf.exp(expected) - tf.nn.softmax(logits)).max() > 0.01
    for nothing in ("crf(steps=0)", "crf(bilateral=(0, 1, 1), gaussian=(0, 1))"):
        found = tf.nn.softmax(inference.build(f"whole | {nothing}", model)(x))
        np.testing.assert_allclose(found, tf.nn.softmax(logits), atol=1e-6)


def test_images_of_any_size_in_one_graph(model):
    """On both sides of EXACT, and of a single pixel, which agrees with itself."""
    run = inference.build("crf(steps=2)", model)
    graph = tf.function(run, input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)])
    for size in ((1, 1), (3, 200), (65, 64)):
        found = graph(images(size))
        assert found.shape == (2, *size, 5)
        assert np.isfinite(found).all()
    assert 3 * 200 < EXACT < 65 * 64
    assert graph.experimental_get_tracing_count() == 1
    # Of a static size too large for all pairs of pixels, which take 119 GB.
    found = tf.function(run)(tf.constant(images((360, 480), 1)), lambda y: tf.argmax(y, -1))
    assert found.shape == (1, 360, 480)


def test_of_samples_it_refines_the_mean():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, {"logits": keras.layers.Dropout(0.5)(inputs) / 255.0})
    x = images((8, 10))
    mean, before = inference.build_sampled("whole", model, 5)(x)
    found, after = inference.build_sampled("whole | crf(steps=2)", model, 5)(x)
    expected = tf.stack([mean_field(one, image, 2, (4, 67, 3), (3, 1)) for one, image in zip(mean, x, strict=True)])
    np.testing.assert_allclose(tf.nn.softmax(found), tf.exp(expected), atol=1e-4)
    for kind, of_samples in before.items():
        np.testing.assert_array_equal(after[kind], of_samples)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("crf(steps=-1)", "steps"),
        ("crf(steps=1.5)", "steps"),
        ("crf(bilateral=(4, 67))", r"bilateral=\(weight, pixels, colours\)"),
        ("crf(bilateral=(4, 0, 3))", "bilateral"),
        ("crf(gaussian=3)", "gaussian"),
        ("crf(gaussian=(-1, 1))", "gaussian"),
        ("crf(sigma=3)", r"crf\(steps, bilateral, gaussian\)"),
    ],
)
def test_errors(model, spec, message):
    with pytest.raises(ValueError, match=message):
        inference.build(f"whole | {spec}", model)


def test_deviations_that_are_too_small_are_named():
    image = tf.constant(images((70, 70), 1)[0], tf.float32)
    with pytest.raises(tf.errors.InvalidArgumentError, match="larger deviations"):
        lattice_messages(image, (1, 1e-3, 1e-3), (1, 1))
