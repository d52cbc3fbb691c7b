"""Networks of shapes without numbers: the largest is built in a second and takes no memory."""

import keras

import models


def build(spec, num_classes, input_shape=(None, None, 3), **options):
    """As `models.build`, but its variables have no values: for counting and for shapes, not for running."""
    with keras.StatelessScope(initialize_variables=False):
        return models.build(spec, num_classes, input_shape, **options)
