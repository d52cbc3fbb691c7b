from tests.tfseg.metrics.samples import ABSENT, CONFUSION, EXTRA_COLUMN, NAN, PREDICTED_ONLY

# diagonal / row sums
CASES = [
    (CONFUSION, [3 / 4, 1 / 2, 1]),
    (ABSENT, [3 / 4, NAN, 1]),
    (PREDICTED_ONLY, [3 / 4, NAN, 1]),
    (EXTRA_COLUMN, [3 / 4, 2 / 4]),
]
