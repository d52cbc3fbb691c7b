from tests.tfseg.metrics.samples import ABSENT, CONFUSION, EXTRA_COLUMN, NAN, PREDICTED_ONLY

# 2 * diagonal / (row sums + column sums)
CASES = [
    (CONFUSION, [6 / 8, 2 / 4, 1]),
    (ABSENT, [6 / 7, NAN, 4 / 5]),
    (PREDICTED_ONLY, [6 / 7, 0, 1]),
    (EXTRA_COLUMN, [6 / 8, 4 / 6]),
]
