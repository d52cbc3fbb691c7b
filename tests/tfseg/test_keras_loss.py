"""Our losses in plain Keras: `model.compile(loss=losses.keras_loss(...))`."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfseg import losses

# softmax([log 1, log 3]) = (1/4, 3/4), softmax([0, 0]) = (1/2, 1/2); the third pixel is ignored.
LOGITS = np.array([[[[0.0, math.log(3)], [0, 0], [9, -9]]]], "float32")
LABEL = np.array([[[1, 0, 255]]], "uint8")


def test_the_mean_over_the_valid_pixels():
    # (log 4/3 + log 2) / 2
    assert float(losses.keras_loss("cross_entropy")(LABEL, LOGITS)) == pytest.approx(
        (math.log(4 / 3) + math.log(2)) / 2
    )


def test_a_sum_with_class_weights():
    # Cross entropy: (1 log 4/3 + 3 log 2) / 4.
    # Dice of class 0: p = (1/4, 1/2), g = (0, 1): 1 - 2 * 1/2 / (3/4 + 1) = 3/7.
    # Dice of class 1: p = (3/4, 1/2), g = (1, 0): 1 - 2 * 3/4 / (5/4 + 1) = 1/3. Their mean is 8/21.
    loss = losses.keras_loss("cross_entropy + 0.5*dice", class_weights=[3, 1])
    assert float(loss(LABEL, LOGITS)) == pytest.approx((math.log(4 / 3) + 3 * math.log(2)) / 4 + 0.5 * 8 / 21)


@pytest.mark.parametrize("label", [LABEL[..., np.newaxis], LABEL.astype("float32")], ids=["channel", "float"])
def test_labels_as_keras_users_have_them(label):
    expected = float(losses.keras_loss("cross_entropy")(LABEL, LOGITS))
    assert float(losses.keras_loss("cross_entropy")(label, LOGITS)) == pytest.approx(expected)


def test_no_valid_pixel_is_zero():
    assert float(losses.keras_loss("cross_entropy + dice")(np.full_like(LABEL, 255), LOGITS)) == 0.0


def test_a_sample_weight_is_refused():
    with pytest.raises(ValueError, match="Expected no sample_weight"):
        losses.keras_loss("cross_entropy")(LABEL, LOGITS, sample_weight=np.ones(1))


def test_an_unknown_loss_is_refused():
    with pytest.raises(ValueError, match="cross_entropi"):
        losses.keras_loss("cross_entropi")


def network():
    """One 1x1 convolution from zero: its first gradient follows from the labels alone."""
    inputs = keras.Input((2, 2, 1))
    logits = keras.layers.Conv2D(2, 1, use_bias=False, kernel_initializer="zeros")(inputs)
    return keras.Model(inputs, logits)


def step(devices):
    """The kernel after one step of `fit` at rate 1 on two images; the second has a single valid pixel."""
    # With one thread, TensorFlow's collectives (the default for several CPU devices) would wait for each other forever.
    with tf.distribute.MirroredStrategy(devices, tf.distribute.ReductionToOneDevice()).scope():
        model = network()
        model.compile(keras.optimizers.SGD(1.0), loss=losses.keras_loss("cross_entropy"))
    image = np.array([1, 2, 3, 4, 5, 6, 7, 8], "float32").reshape(2, 2, 2, 1)
    label = np.array([0, 1, 1, 1, 0, 255, 255, 255], "uint8").reshape(2, 2, 2)
    data = tf.data.Dataset.from_tensors((image, label)).unbatch().batch(2, drop_remainder=True)
    loss = model.fit(data, verbose=0).history["loss"][0]
    return float(loss), model.get_weights()[0].ravel().tolist()


@pytest.mark.parametrize("devices", [["CPU:0"], ["CPU:0", "CPU:1"]], ids=["one replica", "two replicas"])
def test_fit_takes_the_step_of_the_whole_batch(devices):
    # Five valid pixels, each of loss log 2. The gradient of a pixel of value x is x (1/2 - onehot), over 5:
    # class 0: (-1 + 2 + 3 + 4 - 5) / 2 / 5 = 0.3, class 1: -0.3. A mean of the replicas' means would give
    # class 0: ((-1 + 2 + 3 + 4) / 2 / 4 - 5 / 2) / 2 = -0.75.
    loss, kernel = step(devices)
    assert loss == pytest.approx(math.log(2))
    assert kernel == pytest.approx([-0.3, 0.3])


def test_a_compiled_model_is_saved_with_its_loss(tmp_path):
    model = network()
    model.compile("sgd", loss=losses.keras_loss("focal(gamma=1.0)"))
    model.save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").loss.spec == "focal(gamma=1.0)"
