"""Region convolution: pixels outside a region are read as 0 and do not count."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models import layers


def run(function, x, region):
    """A function of (x, region) on arrays [height, width, channels] and [height, width]."""
    inputs = keras.Input((None, None, x.shape[-1])), keras.Input((None, None, 1))
    model = keras.Model(inputs, function(*inputs))
    return model, np.asarray(model([x[None].astype(np.float32), region[None, ..., None].astype(np.float32)]))[0]


def test_outside_is_0_whatever_is_there():
    x = np.array([[[1.0], [np.inf]], [[np.nan], [4.0]]])
    _, y = run(layers.inside, x, np.array([[1, 0], [0, 1]]))
    assert y[..., 0].tolist() == [[1, 0], [0, 4]]


def test_a_convolution_reads_the_region_only():
    # Cells 1 2 3 4 in a row, the second outside; a 1x3 kernel that adds a cell and both its neighbours.
    x, region = np.array([[[1.0], [2.0], [3.0], [4.0]]]), np.array([[1, 0, 1, 1]])
    model, _ = run(lambda x, r: layers.region_conv_norm(x, r, 1, (1, 3), ("conv", "norm")), x, region)
    model.get_layer("conv").set_weights([np.ones((1, 3, 1, 1))])
    y = np.asarray(model([x[None].astype(np.float32), region[None, ..., None].astype(np.float32)]))
    # 1 + 0, 3 + 4 without the 2, 3 + 4; divided by sqrt(1 + 1e-5), as the moving variance is 1.
    np.testing.assert_allclose(y[0, 0, [0, 2, 3], 0], np.array([1, 7, 7]) / np.sqrt(1 + 1e-5), rtol=1e-6)


def test_without_a_region_it_is_conv_norm():
    x = keras.Input((None, None, 2))
    y = layers.region_conv_norm(x, None, 3, 3, ("conv", "norm"), epsilon=1e-3, scale=False)
    norm = keras.Model(x, y).get_layer("norm")
    assert type(norm) is layers.BatchNormalization
    assert norm.epsilon == 1e-3
    assert not norm.scale


def test_the_norm_counts_the_region_only():
    x = np.array([[[[1.0], [100.0], [3.0]]]], np.float32)
    region = np.array([[[[1.0], [0.0], [1.0]]]], np.float32)
    norm = layers.RegionNormalization(momentum=0.9, epsilon=0.0)
    y = np.asarray(norm([x, region], training=True))
    # 1 and 3: mean 2, variance 1, without bias 2.
    np.testing.assert_allclose(y[0, 0, [0, 2], 0], [-1, 1], rtol=1e-6)
    np.testing.assert_allclose(norm.moving_mean, [0.1 * 2], rtol=1e-6)
    np.testing.assert_allclose(norm.moving_variance, [0.9 + 0.1 * 2], rtol=1e-6)
    norm([x, np.zeros_like(region)], training=True)  # no cell: nothing to learn from
    np.testing.assert_allclose(norm.moving_mean, [0.2], rtol=1e-6)
    np.testing.assert_allclose(norm.moving_variance, [1.1], rtol=1e-6)
    y = norm([x, region])  # by the moving statistics
    np.testing.assert_allclose(y[0, 0, :, 0], (np.array([1, 100, 3]) - 0.2) / np.sqrt(1.1), rtol=1e-5)


def test_a_region_of_everything_is_no_region():
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    whole, dense = layers.RegionNormalization(), layers.BatchNormalization()
    np.testing.assert_allclose(
        whole([x, np.ones((2, 3, 4, 1), np.float32)], training=True), dense(x, training=True), rtol=1e-5, atol=1e-5
    )
    for ours, theirs in zip(whole.get_weights(), dense.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("together", "mean", "variance"), [(True, 4, 13), (False, 5, 1)])
def test_the_norm_over_replicas(together, mean, variance):
    """The regions hold 1 and 3 on one replica and 8 on the other; 100 is outside.

    Together: mean 4, squares 9 + 1 + 16 = 26, unbiased variance 13. Each by itself: means 2 and 8 and variances 2 and 0 (of a
    single cell), of which the moving statistics follow the means 5 and 1.
    """
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice())
    with strategy.scope():
        norm = layers.RegionNormalization(momentum=0.9)
        norm.build([(None, 1, 3, 1), (None, 1, 3, 1)])
        norm.across_replicas = together
    x, regions = [[1.0, 100.0, 3.0], [100.0, 8.0, 100.0]], [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]

    def parts(values):
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.reshape(tf.constant(values[context.replica_id_in_sync_group]), (1, 1, 3, 1))
        )

    @tf.function
    def step(x, region):
        strategy.run(lambda x, region: norm([x, region], training=True), args=(x, region))

    step(parts(x), parts(regions))
    np.testing.assert_allclose(norm.moving_mean, [0.1 * mean], rtol=1e-6)
    np.testing.assert_allclose(norm.moving_variance, [0.9 + 0.1 * variance], rtol=1e-6)
