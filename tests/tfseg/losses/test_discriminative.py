import inspect

import numpy as np
import pytest
import tensorflow as tf

from tests.tfseg.inference import reference
from tfseg import losses
from tfseg.losses.discriminative import discriminative

FILES = reference.files("discriminative_loss")
SETTINGS = {k: FILES[0]["settings"][k] for k in ("delta_v", "delta_d", "alpha", "beta", "gamma")}
# Two objects of one class with means (1, 0) and (4, 4), as derived in the reference's first case: .2083333 + .0033284.
X = np.array([[[[0, 0], [2, 0], [4, 3]], [[4, 5], [1, 0], [9, 9]]]], np.float32)
IDS = np.array([[[1, 1, 2], [2, 1, 0]]], np.int32)
LABEL = np.full(IDS.shape, 3, np.uint8)
# In two classes each has one instance and no pair; the mean over the classes is the mean over the instances again. With
# delta_d = 3 the pair pushes by (6 - 5)^2 = 1 in one class.
SIZES = 0.001 * (1 + np.sqrt(32)) / 2
CASES = [
    ((X, LABEL, IDS, [[3, 3]]), {}, (5 / 24 + SIZES, 1)),
    ((X, LABEL, IDS, [[3, 4]]), {"delta_d": 3.0}, (5 / 24 + SIZES, 1)),
    ((X, LABEL, IDS, [[3, 3]]), {"delta_d": 3.0}, (5 / 24 + 1 + SIZES, 1)),
    ((X, np.where(IDS == 2, 255, 3), IDS, [[3, 3]]), {}, (0.5 / 3 + 0.001, 1)),
    ((X, LABEL, 0 * IDS, [[-1, -1]]), {}, (0, 0)),
]


def inputs(case, dtype=np.float64):
    ids = np.array(case["ids"], np.int32)[None]
    return (
        np.array(case["embedding"], dtype)[None],
        np.zeros(ids.shape, np.uint8),
        ids,
        np.zeros([1, ids.max()], np.int32),
    )


def run(given, **options):
    x, *others = map(tf.convert_to_tensor, given)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total, count = discriminative(x, *others, **options)
    return float(total), float(count), tape.gradient(total, x).numpy()


@pytest.mark.parametrize("case", [c for f in FILES for c in f["cases"]], ids=lambda c: c["name"])
def test_values_and_gradients_are_those_of_the_reference(case):
    given = inputs(case)
    total, count, gradient = run(given, **SETTINGS)
    assert total == pytest.approx(case["total"], rel=1e-6)
    assert count == given[2].any()
    if "gradient" in case:
        largest = np.abs(case["gradient"]).max()
        np.testing.assert_allclose(gradient[0], case["gradient"], atol=1e-4 * largest + 1e-12)
    weights = {"variance": "alpha", "distance": "beta", "regularisation": "gamma"}
    for term, weight in weights.items():
        alone = dict.fromkeys(weights.values(), 0.0) | {weight: SETTINGS[weight]}
        assert run(given, **SETTINGS | alone)[0] == pytest.approx(case[term], rel=1e-6, abs=1e-12), term
    assert run(inputs(case, np.float32), **SETTINGS)[0] == pytest.approx(case["total"], rel=1e-5)


def batch():
    """Three images of three, two and no objects of two classes; the last row of the first has none."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 4, (3, 5, 6)).astype(np.int32)
    ids[1][ids[1] == 3], ids[2] = 0, 0
    classes = np.array([[0, 1, 0, -1], [1, 1, -1, -1], [-1] * 4], np.int32)
    label = np.take_along_axis(np.pad(classes, [[0, 0], [1, 0]], constant_values=5), ids.reshape(3, -1), 1)
    return rng.normal(size=(3, 5, 6, 4)).astype(np.float32), label.reshape(ids.shape).astype(np.uint8), ids, classes


def test_what_is_under_no_object_or_ignored_changes_nothing_and_images_add_up():
    x, label, ids, classes = batch()
    label[0, :2] = 255
    total, count, gradient = run((x, label, ids, classes))
    assert count == 2
    outside = (ids == 0) | (label == 255)
    assert not gradient[outside].any()
    spoilt = np.where(outside[..., None], np.float32(np.nan), x)
    assert run((spoilt, label, ids, classes))[0] == total
    parts = [run([v[i : i + 1] for v in (x, label, ids, classes)]) for i in range(3)]
    assert sum(p[0] for p in parts) == pytest.approx(total, rel=1e-6)
    assert [p[1] for p in parts] == [1, 1, 0]
    half = tf.cast(x * 300, tf.float16), *(tf.constant(v) for v in (label, ids, classes))
    assert np.isfinite(discriminative(*half)[0]), "squares of 300 overflow in float16"


def test_xla_agrees():
    given = [tf.constant(v) for v in batch()]
    compiled = tf.function(discriminative, jit_compile=True)(*given)
    np.testing.assert_allclose(compiled, discriminative(*given), rtol=1e-5)


def test_a_spec_names_what_it_reads_and_wrong_options_are_refused():
    (term,) = losses.build("0.5*discriminative(delta_v=0.2)")
    assert term.reads == ("embedding", "label", "instances", "box_classes")
    assert list(inspect.signature(discriminative).parameters)[:4] == list(term.reads)
    with pytest.raises(
        ValueError, match=r"discriminative reads .*: logits, image, label\. Received: embedding, instances"
    ):
        losses.check_reads([term], ["logits"], ["image", "label"])
    with pytest.raises(ValueError, match="Expected delta_v of 0 or more"):
        discriminative(*batch(), delta_v=-1)
    x, label, ids, classes = batch()
    with pytest.raises(ValueError, match="of the label's and the instances' size"):
        discriminative(x[:, :4], label, ids, classes)
