from tests.tfseg.metrics.samples import ABSENT, CONFUSION, EXTRA_COLUMN, NAN, PREDICTED_ONLY

CASES = [
    (CONFUSION, [3 / 5, 1 / 3, 1]),
    (ABSENT, [3 / 4, NAN, 2 / 3]),
    (PREDICTED_ONLY, [3 / 4, 0, 1]),
    (EXTRA_COLUMN, [3 / 5, 1 / 2]),
]
