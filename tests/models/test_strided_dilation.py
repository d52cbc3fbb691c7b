"""A strided and dilated depthwise convolution gives every stride-th pixel of the dilated one at stride 1."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models import layers
from models.layers.strided_dilation import StridedDilatedDepthwiseConv2D


@pytest.mark.parametrize("dilation", [2, 3, 4, (3, 2)])
@pytest.mark.parametrize(("height", "width"), [(12, 16), (13, 17), (12, 15)])
@pytest.mark.parametrize("stride", [2, 3, (2, 1)])
def test_every_stride_th_pixel(stride, dilation, height, width):
    keras.utils.set_random_seed(0)
    step = (stride, stride) if isinstance(stride, int) else stride
    inputs = keras.Input((None, None, 5))
    strided = keras.Model(inputs, layers.depthwise_conv(inputs, 3, "y", stride, dilation))
    dense = keras.Model(inputs, layers.depthwise_conv(inputs, 3, "y", 1, dilation))
    dense.set_weights(strided.get_weights())
    assert isinstance(strided.get_layer("y"), StridedDilatedDepthwiseConv2D)
    x = tf.random.normal((2, height, width, 5))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y, expected = strided(x), dense(x)[:, :: step[0], :: step[1]]
        sums = tf.reduce_sum(y**2), tf.reduce_sum(expected**2)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    kernels = strided.get_layer("y").kernel.value, dense.get_layer("y").kernel.value
    for ours, theirs in (x, x), kernels:
        np.testing.assert_allclose(tape.gradient(sums[0], ours), tape.gradient(sums[1], theirs), rtol=1e-4, atol=1e-4)
    fixed = keras.Model.from_config(strided.get_config())
    fixed.set_weights(strided.get_weights())
    np.testing.assert_array_equal(fixed(x), y)
    assert strided.compute_output_shape((None, height, width, 5)) == (None, *y.shape[1:])


def test_refuses():
    with pytest.raises(ValueError, match=r"depth_multiplier 1\. Received: .*depth_multiplier=2"):
        layers.depthwise_conv(keras.Input((8, 8, 3)), 3, "y", stride=2, dilation=2, multiplier=2)
