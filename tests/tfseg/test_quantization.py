"""8-bit networks: the ranges of activations, and what stays in float."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfseg import export, exports, inference, inference_graph, quantization


@pytest.fixture(scope="module")
def network():
    """Three classes, those of the largest of red, green and blue, which 8 bits cannot tell apart.

    The output of `wide` has one range for 100 * red and for the three colours / 255. Its step is 25500 / 255 = 100.
    """
    wide = np.zeros((1, 1, 3, 4), np.float32)
    wide[0, 0, 0, 0], wide[0, 0, :, 1:] = 100, np.eye(3) / 255
    narrow = np.concatenate([np.zeros((1, 3)), np.eye(3)])[np.newaxis, np.newaxis]
    inputs = keras.Input((None, None, 3), dtype="float32")
    x = keras.layers.Conv2D(4, 1, name="wide", activation="relu", kernel_initializer=lambda *_, **__: wide)(inputs)
    x = keras.layers.Conv2D(3, 1, name="narrow", kernel_initializer=lambda *_, **__: narrow)(x)
    logits = keras.layers.Conv2D(3, 1, name="logits", kernel_initializer=lambda *_, **__: np.eye(3)[None, None])(x)
    return keras.Model(inputs, {"logits": logits})


NOISE = np.random.default_rng(0).integers(0, 256, (4, 8, 12, 3), np.uint8)


def written(network, folder, images=NOISE, **options):
    """Writes the network in 8 bits. Returns what export.json gets, and the details of its tensors."""
    scores = inference.build("whole", inference_graph.Frozen(network))
    graph = export.Graph(
        name="small",
        trained=network,
        network=lambda image: (scores(image), {}),
        outputs=("logits",),
        inference="whole",
        size=images.shape[1:3],
        quantize="int8",
        image_range="",
        max_pixels=2**20,
        samples=lambda: list(images),
        representative=lambda: ((image, np.argmax(image, -1).astype(np.uint8)) for image in images),
        **options,
    )
    about = exports.find("tflite").write(graph, folder / "model.tflite")
    interpreter = tf.lite.Interpreter(model_path=str(folder / "model.tflite"))
    return about, interpreter.get_tensor_details()


def test_auto_keeps_in_float_what_8_bits_destroy(network, tmp_path):
    """`wide` loses the colours, and `narrow` would if it read them in 8 bits; `logits` stays in 8 bits."""
    about, _ = written(network, tmp_path, keep_float=("auto",))
    assert [name for name in ("wide", "narrow", "logits") if name in " ".join(about["keep_float"])] == [
        "wide",
        "narrow",
    ]
    scores = about["keep_float_miou"]
    assert scores["float"] == 1
    assert scores["int8"] < 0.5
    assert scores["mixed"] >= 0.98


def test_what_is_named_stays_in_float(network, tmp_path):
    about, tensors = written(network, tmp_path, keep_float=("narrow",))
    (kept,) = about["keep_float"]
    assert "narrow" in kept
    assert [one["dtype"] for one in tensors if one["name"] == kept] == [np.float32]
    assert len(written(network, tmp_path, keep_float=("logits",))[0]["keep_float"]) == 1  # by the name of its kernel
    with pytest.raises(ValueError, match=r"Expected in --keep_float `auto` or layers.*narrow.*Received: narow"):
        written(network, tmp_path, keep_float=("narow",))


def test_a_range_may_leave_an_outlier_out(network, tmp_path):
    """Red is 0..25 but in one pixel 255: `wide` gives 0..2500 and 25500. A bin of the histogram is 25500 / 2048 = 12.5 wide."""
    dark = np.random.default_rng(0).integers(0, 26, (2, 80, 120, 3), np.uint8)
    steps = {}
    for method in ("minmax", "percentile", "mse"):
        about, tensors = written(network, tmp_path, dark, calibration=method)
        assert about["calibration"] == method
        (steps[method],) = (one["quantization"][0] for one in tensors if one["shape"].tolist() == [1, 80, 120, 4])
    assert steps["minmax"] == pytest.approx(25500 / 255)
    assert 2500 / 255 < steps["percentile"] < 2513 / 255
    assert steps["mse"] <= steps["minmax"]


def test_least_error():
    """Against quantization itself with every range of a grid, of a million values within -4..4 and one of 30."""
    values = np.append(np.random.default_rng(0).normal(size=1000), 30).astype(np.float32)
    counts = np.append(np.full(1000, 1000), 1)
    histogram = quantization.Histogram(values.min(), values.max())
    histogram.add(np.repeat(values, counts))

    def error(low, high):
        step = (high - low) / 255
        zero = round(-low / step)
        whole = np.clip(np.round(values / step) + zero, 0, 255)
        return np.average(((whole - zero) * step - values) ** 2, weights=counts)

    shares = np.linspace(0.02, 1, 50)
    best = min(error(values.min() * a, values.max() * b) for a in shares for b in shares)
    assert error(*histogram.least_error()) <= 1.02 * best
    assert error(values.min(), values.max()) > 1.5 * best


def test_percentile():
    """Of 0..1 in steps of 1/10000 the lowest and the highest 1 % are left out; a range holds 0 always."""
    values = np.linspace(0, 1, 10_001, dtype=np.float32)
    histogram = quantization.Histogram(-1.0, 1.0)
    histogram.add(values - 0.5)
    np.testing.assert_allclose(histogram.percentile(0.01), (-0.49, 0.49), atol=2 / quantization.BINS)
    histogram = quantization.Histogram(0.0, 1.0)
    histogram.add(values)
    np.testing.assert_allclose(histogram.percentile(0.01), (0, 0.99), atol=1 / quantization.BINS)
    assert histogram.least_error()[0] == 0
