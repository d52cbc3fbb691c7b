"""Batch norm: Keras' values and gradients, PyTorch's statistics, and the same result on two replicas as on one."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models import layers
from models.layers import normalization

BATCH = np.random.default_rng(0).normal(3.0, 2.0, (4, 5, 6, 3)).astype(np.float32)


def step(layer, x, weights):
    """Outputs and gradients of a loss that depends on every output differently."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
        loss = tf.reduce_sum(tf.cast(y, "float32") * weights)
    return y, tape.gradient(loss, [x, layer.gamma.value, layer.beta.value])


@pytest.mark.parametrize("path", ["fused", "synchronized"])
def test_values_and_gradients_are_those_of_keras(path, monkeypatch):
    if path == "synchronized":
        monkeypatch.setattr(layers.BatchNormalization, "_fused", layers.BatchNormalization._synchronized)
    weights = np.random.default_rng(1).standard_normal(BATCH.shape).astype(np.float32)
    ours, theirs = layers.BatchNormalization(), keras.layers.BatchNormalization()
    for layer in (ours, theirs):
        layer.build(BATCH.shape)
        layer.gamma.assign([0.5, 1.0, 2.0])
        layer.beta.assign([1.0, 2.0, 3.0])
    (y, gradients), (y_keras, gradients_keras) = step(ours, BATCH, weights), step(theirs, BATCH, weights)
    np.testing.assert_allclose(y, y_keras, atol=1e-5)
    for ours_, keras_ in zip(gradients, gradients_keras, strict=True):
        np.testing.assert_allclose(ours_, keras_, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("path", ["fused", "synchronized"])
def test_moving_statistics_are_those_of_pytorch(path, monkeypatch):
    if path == "synchronized":
        monkeypatch.setattr(layers.BatchNormalization, "_fused", layers.BatchNormalization._synchronized)
    layer = layers.BatchNormalization(momentum=0.9)
    layer(BATCH, training=True)
    pixels = BATCH.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(layer.moving_mean, 0.1 * pixels.mean(0), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * pixels.var(0, ddof=1), rtol=1e-5)  # unbiased


def test_inference_and_frozen_layers_use_the_moving_statistics():
    layer = layers.BatchNormalization(epsilon=1e-3)
    layer.build(BATCH.shape)
    layer.moving_mean.assign([1.0, 2.0, 3.0])
    layer.moving_variance.assign([4.0, 1.0, 0.25])
    expected = (BATCH - [1.0, 2.0, 3.0]) / np.sqrt(np.array([4.0, 1.0, 0.25]) + 1e-3)
    np.testing.assert_allclose(layer(BATCH), expected, rtol=1e-5, atol=1e-5)
    layer.trainable = False
    np.testing.assert_allclose(layer(BATCH, training=True), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(layer.moving_mean, [1.0, 2.0, 3.0])


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_keeps_float32_statistics(policy):
    layer = layers.BatchNormalization(momentum=0.9, dtype=policy)
    y = layer(BATCH, training=True)
    assert y.dtype == layer.compute_dtype
    assert layer.moving_mean.dtype == "float32"
    np.testing.assert_allclose(layer.moving_mean, 0.1 * BATCH.mean((0, 1, 2)), rtol=1e-2)
    np.testing.assert_allclose(np.mean(tf.cast(y, "float32")), 0.0, atol=1e-2)


def test_vectors_and_double_precision():
    layer = layers.BatchNormalization(dtype="float64")
    y = np.asarray(layer(BATCH.reshape(-1, 3), training=True))
    np.testing.assert_allclose(y.std(0), 1.0, rtol=1e-3)


def test_without_scale_and_center():
    layer = layers.BatchNormalization(scale=False, center=False)
    y = np.asarray(layer(BATCH, training=True))
    assert len(layer.trainable_variables) == 0
    np.testing.assert_allclose(y.std((0, 1, 2)), 1.0, rtol=1e-3)


def test_compiles_under_xla():
    layer = layers.BatchNormalization()
    expected = layer(BATCH, training=True)
    mean = np.asarray(layer.moving_mean)
    layer.moving_mean.assign(np.zeros(3))
    y = tf.function(lambda x: layer(x, training=True), jit_compile=True)(BATCH)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    np.testing.assert_allclose(layer.moving_mean, mean, rtol=1e-5)


@pytest.mark.parametrize("shares", [(2, 2), (3, 1)])
def test_two_replicas_compute_what_one_does(shares):
    x = np.random.default_rng(2).uniform(0, 255, (4, 12, 16, 3)).astype(np.float32)
    loss, gradients, statistics = _train_step(tf.distribute.get_strategy(), [x])
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice())
    parts = np.split(x, [shares[0]])
    loss_2, gradients_2, statistics_2 = _train_step(strategy, parts)
    assert loss_2 == pytest.approx(loss, rel=1e-6)
    largest = max(np.abs(gradient).max() for gradient in gradients)
    for ours, theirs in zip(gradients_2, gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6 * largest)
    for ours, theirs in zip(statistics_2, statistics, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=1e-6)


def _train_step(strategy, parts):
    """Summed loss, summed gradients and moving statistics after a step in which replica i sees parts[i]."""
    keras.utils.set_random_seed(0)
    with strategy.scope():
        inputs = keras.Input((None, None, 3))
        x = layers.Affine((120.0,) * 3, (60.0,) * 3)(inputs)
        for i in range(2):
            x = keras.activations.tanh(layers.batch_norm(layers.conv(x, 4, 3, f"conv{i}", stride=2), f"norm{i}"))
        model = keras.Model(inputs, x)
    variables = [variable.value for variable in model.trainable_variables]

    def replica_step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum((model(x, training=True) - 0.5) ** 2)
        return loss, tape.gradient(loss, variables)

    @tf.function
    def train_step(x):
        loss, gradients = strategy.run(replica_step, args=(x,))
        return strategy.reduce("SUM", loss, None), [strategy.reduce("SUM", g, None) for g in gradients]

    x = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(parts[context.replica_id_in_sync_group])
    )
    loss, gradients = train_step(x)
    statistics = [np.asarray(v) for v in model.non_trainable_variables]
    return float(loss), [np.asarray(g) for g in gradients], statistics


def test_unsynchronised_replicas_normalise_by_their_own_images():
    """Two replicas see 0, 2 and 10, 14: means 1 and 12, unbiased variances 2 and 8; the moving ones follow 6.5 and 5."""
    strategy = tf.distribute.MirroredStrategy(
        [d.name for d in tf.config.list_logical_devices("CPU")], tf.distribute.ReductionToOneDevice()
    )
    with strategy.scope():
        layer = layers.BatchNormalization(momentum=0.9, epsilon=0.0)
        layer.build((None, 1, 1, 1))
        layer.across_replicas = False
    batches = [tf.reshape(tf.constant(x), [2, 1, 1, 1]) for x in ([0.0, 2.0], [10.0, 14.0])]

    @tf.function
    def run():
        shares = strategy.experimental_distribute_values_from_function(
            lambda context: tf.stack(batches)[context.replica_id_in_sync_group]
        )
        return strategy.run(lambda x: layer(x, training=True), (shares,))

    for outputs in strategy.experimental_local_results(run()):
        np.testing.assert_allclose(outputs[:, 0, 0, 0], [-1, 1], rtol=1e-5)
    np.testing.assert_allclose(layer.moving_mean, [0.1 * 6.5], rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, [0.9 + 0.1 * 5], rtol=1e-5)


def test_affine():
    layer = layers.Affine((1.0, 2.0, 3.0), (1.0, 2.0, 0.5), order="bgr")
    np.testing.assert_allclose(layer(np.array([[[[3, 4, 5]]]], np.uint8)), [[[[4.0, 1.0, 0.0]]]])
    again = normalization.Affine.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
