"""Networks of shapes without numbers: the largest is built in a second and takes no memory."""

import contextlib

import keras

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


def build(spec, num_classes, input_shape=(None, None, 3), **options):
    """Like `models.build`, but its variables have no values: for counting and for shapes, not for running."""
    with scope():
        return models.build(spec, num_classes, input_shape, **options)
