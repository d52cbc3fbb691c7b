import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfseg import inference

SIZES = [(13, 17), (8, 20), (1, 3)]


@pytest.fixture(scope="module")
def model():
    """Two convolutions, whose result changes at a border, at another scale and in a mirrored image."""
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    kernels = [keras.initializers.RandomNormal(stddev=1.0, seed=seed) for seed in (0, 1)]
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", kernel_initializer=kernels[0])(x)
    x = keras.layers.Conv2D(5, 3, padding="same", kernel_initializer=kernels[1])(x)
    return keras.Model(inputs, {"logits": x, "aux_0": x[..., :1]})


def images(size, batch=2):
    return np.random.default_rng(0).integers(0, 256, (batch, *size, 3), "uint8")


def softmax(scores):
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def logits(model, x):
    return model.predict_on_batch(np.asarray(x, "float32"))["logits"]


def starts(length, window, stride):
    """0, stride, 2 stride ... until a window reaches the end; that one is moved inwards to end there."""
    found = [0]
    while found[-1] + window < length:
        found.append(min(found[-1] + stride, length - window))
    return found


def naive_sliding_window(predict, x, size, strides):
    height, width = x.shape[1:3]
    h, w = min(size[0], height), min(size[1], width)
    total, weights = 0.0, np.zeros((height, width, 1))
    weight = np.array([[min(i + 0.5, h - i - 0.5) * min(j + 0.5, w - j - 0.5) for j in range(w)] for i in range(h)])
    for top, left in itertools.product(starts(height, h, strides[0]), starts(width, w, strides[1])):
        here = (slice(top, top + h), slice(left, left + w))
        scores = softmax(predict(x[(slice(None), *here)]))
        part = np.zeros((len(x), height, width, scores.shape[-1]))
        part[(slice(None), *here)] = scores * weight[..., None]
        weights[here] += weight[..., None]
        total = total + part
    return total / weights


def naive_resize(x, size):
    """Bilinear, half-pixel centres: pixel i of the result lies at (i + 0.5) * old / new - 0.5 of the source."""
    x = np.asarray(x, "float64")
    for axis, new in zip((1, 2), size, strict=True):
        old = x.shape[axis]
        place = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, old - 1)
        part = (place - low).reshape([-1 if a == axis else 1 for a in range(4)])
        x = np.take(x, low, axis) * (1 - part) + np.take(x, high, axis) * part
    return x


def naive_multi_scale(predict, x, scales, flip):
    size, parts = x.shape[1:3], []
    for scale in scales:
        scaled = naive_resize(x, [max(1, int(n * scale + 0.5)) for n in size])
        parts.append(softmax(naive_resize(predict(scaled), size)))
        if flip:
            parts.append(softmax(naive_resize(predict(scaled[:, :, ::-1])[:, :, ::-1], size)))
    return np.mean(parts, 0)


def check(spec, model, size, expected):
    """Eagerly, for float images, and in graphs with known and with unknown sizes."""
    run, x = inference.build(spec, model), images(size)
    graph = tf.function(run, input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)])
    for scores in (run(x), run(x.astype("float32")), tf.function(run)(x), graph(x)):
        assert scores.dtype == tf.float32
        assert scores.shape == (*x.shape[:3], 5)
        assert np.isfinite(scores).all()
        np.testing.assert_allclose(tf.nn.softmax(scores), expected, atol=2e-6)
        np.testing.assert_array_equal(np.argmax(scores, -1), np.argmax(expected, -1))


@pytest.mark.parametrize("size", SIZES)
def test_whole_is_the_model_to_the_bit(model, size):
    x = images(size)
    run = inference.build("whole", model)
    np.testing.assert_array_equal(run(x), model(x, training=False)["logits"])
    graphs = [tf.function(f).get_concrete_function(x) for f in (run, lambda x: model(x, training=False)["logits"])]
    assert len({len(g.graph.get_operations()) for g in graphs}) == 1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("spec", "window", "strides"),
    [
        ("sliding_window(size=(8, 10))", (8, 10), (4, 5)),
        ("sliding_window(size=7, overlap=0.0)", (7, 7), (7, 7)),
        ("sliding_window(size=(6, 5), overlap=0.75)", (6, 5), (2, 1)),
    ],
)
def test_sliding_window_is_the_naive_loop(model, size, spec, window, strides):
    expected = naive_sliding_window(lambda x: logits(model, x), images(size), window, strides)
    check(spec, model, size, expected)


def test_windows_inside_and_each_pixel_covered(model):
    seen = []

    def predict(x):
        seen.append(x.numpy()[0, :, :, 0])
        return tf.zeros([1, *x.shape[1:3], 5])

    x = np.arange(13 * 17, dtype="float32").reshape(1, 13, 17, 1)
    inference.sliding_window(predict, 5, (8, 10))(x)
    # Windows of 8 x 10 begin 4 and 5 apart: at 0, 4, 5 (= 13 - 8, moved inwards) and 0, 5, 7 (= 17 - 10).
    assert [divmod(int(w[0, 0]), 17) for w in seen] == [*itertools.product((0, 4, 5), (0, 5, 7))]
    assert {w.shape for w in seen} == {(8, 10)}
    assert set(np.concatenate([w.ravel() for w in seen])) == set(range(13 * 17))


def test_image_smaller_than_the_window_goes_whole(model):
    check("sliding_window(size=32)", model, (5, 6), softmax(logits(model, images((5, 6)))))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("spec", "scales", "flip"),
    [
        ("multi_scale", (0.75, 1.0, 1.25), True),
        ("multi_scale(scales=(0.5, 2), flip=False)", (0.5, 2), False),
        ("multi_scale(scales=(1,))", (1,), True),
    ],
)
def test_multi_scale_is_the_naive_loop(model, size, spec, scales, flip):
    check(spec, model, size, naive_multi_scale(lambda x: logits(model, x), images(size), scales, flip))


def test_chain_goes_from_the_inside_out(model):
    def windows(x):
        return np.log(naive_sliding_window(lambda y: logits(model, y), x, (8, 10), (4, 5)))

    expected = naive_multi_scale(windows, images((13, 17)), (1.0, 1.5), True)
    check("sliding_window(size=(8, 10)) | multi_scale(scales=(1.0, 1.5))", model, (13, 17), expected)


def test_one_graph_for_every_size(model):
    run = inference.build("sliding_window(size=8) | multi_scale(scales=(1.0, 0.5))", model)
    graph = tf.function(run, input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)])
    for size in SIZES:
        np.testing.assert_allclose(graph(images(size)), run(images(size)), atol=1e-4)
    assert graph.experimental_get_tracing_count() == 1


def test_in_replicas(model):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice())
    with strategy.scope():
        replicated = keras.models.clone_model(model)
    replicated.set_weights(model.get_weights())
    spec = "sliding_window(size=(8, 10)) | multi_scale(scales=(1.0,))"
    run = inference.build(spec, replicated)
    data = strategy.experimental_distribute_dataset(tf.data.Dataset.from_tensor_slices(images((13, 17))).batch(2))
    step = tf.function(lambda batch: strategy.run(run, (batch,)))
    (scores,) = [np.concatenate(strategy.experimental_local_results(step(batch))) for batch in data]
    np.testing.assert_allclose(scores, inference.build(spec, model)(images((13, 17))), atol=1e-5)


def test_probabilities_of_zero_stay_finite():
    def predict(x):
        return tf.one_hot(tf.zeros(tf.shape(x)[:3], tf.int32), 5) * 1e4

    scores = inference.multi_scale(predict, 5)(images((5, 6)))
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(tf.argmax(scores, -1), 0)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("slide", "whole, sliding_window, multi_scale"),
        ("sliding_window", r"sliding_window\(size, overlap\)"),
        ("sliding_window(size=(1, 2, 3))", "height, width"),
        ("sliding_window(size=0)", "height, width"),
        ("sliding_window(size=8, overlap=1.0)", "overlap"),
        ("multi_scale(scales=())", "scales"),
        ("multi_scale(scales=(1.0, -2))", "scales"),
    ],
)
def test_errors(model, spec, message):
    with pytest.raises(ValueError, match=message):
        inference.build(spec, model)


def test_windows_are_finished_piece_by_piece(model):
    """Every pixel is finished once, in pieces no larger than a row of windows, and the argmax is that of the scores."""
    sizes, x = [], images((13, 17))
    run = inference.build("sliding_window(size=(8, 10))", model)

    def finish(scores):
        sizes.append(int(tf.size(scores)) // 5)
        return tf.argmax(scores, -1, tf.int32)

    np.testing.assert_array_equal(run(x, finish), tf.argmax(run(x), -1))
    # The first call only asks for the type. Rows of windows begin at 0, 4 and 5, so 4, 1 and 8 rows are finished.
    assert sizes == [1, 2 * 4 * 17, 2 * 1 * 17, 2 * 8 * 17]


@pytest.mark.parametrize("spec", ["whole", "sliding_window(size=8)", "multi_scale(scales=(1.0, 0.5))"])
@pytest.mark.parametrize("dtype", [tf.int32, tf.uint16])
def test_finish_is_a_function_of_the_scores(model, spec, dtype):
    run, x = inference.build(spec, model), images((13, 17))

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)])
    def labels(x):
        return run(x, lambda scores: tf.cast(tf.argmax(scores, -1), dtype))

    found = labels(x)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, np.argmax(tf.function(run)(x), -1))


@pytest.mark.parametrize(
    "spec",
    [
        "sliding_window(size=(8, 10))",
        "multi_scale(scales=(1.0,))",
        "sliding_window(size=7) | multi_scale(scales=(1.0,))",
        "sliding_window(size=7, overlap=0.0) | crf(steps=0)",
        "whole | crf(bilateral=(0, 1, 1), gaussian=(0, 1))",
    ],
)
@pytest.mark.parametrize("samples", [0, 3])
def test_a_network_of_single_pixels_gives_the_same_in_all_modes(spec, samples):
    """Windows, mirrored images and samples that cannot differ change nothing; resizing and kernels with weight would."""
    inputs = keras.Input((None, None, 3))
    silent = keras.layers.Dropout(0.5)(inputs * 0.0)  # dropout that every sample has, of nothing
    logits = keras.layers.Conv2D(5, 1, kernel_initializer=keras.initializers.RandomNormal(stddev=0.01, seed=0))(
        inputs + silent
    )
    model, x = keras.Model(inputs, {"logits": logits}), images((13, 17))
    found = inference.build_sampled(spec, model, samples)(x)[0] if samples else inference.build(spec, model)(x)
    np.testing.assert_allclose(tf.nn.softmax(found), softmax(model(x.astype("float32"))["logits"].numpy()), atol=2e-6)
