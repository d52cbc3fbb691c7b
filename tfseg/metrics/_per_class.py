"""Values of the evaluation file: None for what is not defined, which NumPy says as NaN."""

import numpy as np


def number(value):
    """A number as Python's own, or None."""
    return None if np.isnan(value) else float(value)


def with_mean(names, values, classes=None):
    """The values of classes, and their mean.

    Args:
        names: of the classes that have a value.
        values: one for each of the names.
        classes: all names in their order, if some have no value; theirs is None.

    Returns:
        (mean of the defined values, None if there is none; {class: value}).
    """
    found = dict(zip(names, map(number, values), strict=True))
    defined = [value for value in found.values() if value is not None]
    mean = float(np.mean(defined)) if defined else None
    return mean, found if classes is None else {name: found.get(name) for name in classes}
