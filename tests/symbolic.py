"""Networks of shapes without numbers: the largest is built in a second and takes no memory.

To run one, `outputs` lends it the weights of a network that has values.
"""

import contextlib

import keras
import numpy as np

import models


@contextlib.contextmanager
def scope():
    """Variables that are made here have a shape and no values.

    Keras remembers them as still to be initialized, and the next layer whose shapes it finds by tracing would give all of
    them their values: 19 GB after the tests of all networks. `clear_session` forgets them.
    """
    with keras.StatelessScope(initialize_variables=False):
        yield
    keras.backend.clear_session(free_memory=False)


def build(spec, num_classes, input_shape=(None, None, None), **options):
    """Like `models.build`, but its variables have no values: for counting, for shapes, and for `outputs`."""
    with scope():
        return models.build(spec, num_classes, input_shape, **options)


def initial(variable):
    """The initial value of a variable without one: float64, drawn by its initializer from Keras' global seed."""
    return np.asarray(variable._initializer(variable.shape, dtype=variable.dtype), np.float64)


def outputs(model, network, x, training=False):
    """What `model` computes with the weights of `network`. Both are built from one spec; `model` needs no values."""
    trainable, others = ([v.value for v in of] for of in (network.trainable_variables, network.non_trainable_variables))
    return model.stateless_call(trainable, others, x, training=training)[0]
