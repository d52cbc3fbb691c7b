import keras
import numpy as np

from tests import symbolic


class Traced(keras.layers.Layer):
    """Its output's shape is found by tracing, after that Keras initializes the deferred variables."""

    def call(self, x):
        return keras.ops.square(x)


def test_variables_never_get_values():
    made = []

    def initial(shape, dtype=None):
        made.append(shape)
        return np.zeros(shape, dtype)

    with symbolic.scope():
        inputs = keras.Input((4,))
        model = keras.Model(inputs, keras.layers.Dense(3, kernel_initializer=initial)(inputs))
    assert model.count_params() == 15
    Traced()(keras.Input((2,)))
    assert not made
