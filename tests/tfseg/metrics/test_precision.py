from tests.tfseg.metrics.samples import ABSENT, CONFUSION, EXTRA_COLUMN, NAN, PREDICTED_ONLY

# diagonal / column sums
CASES = [
    (CONFUSION, [3 / 4, 1 / 2, 1]),
    (ABSENT, [1, NAN, 2 / 3]),
    (PREDICTED_ONLY, [1, 0, 1]),
    (EXTRA_COLUMN, [3 / 4, 1]),
    ([[2, 0], [3, 0]], [2 / 5, NAN]),  # the second class is in the labels, but it is never predicted
]
