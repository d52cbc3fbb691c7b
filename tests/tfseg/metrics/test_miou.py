from tests.tfseg.metrics.samples import ABSENT, CONFUSION, EXTRA_COLUMN, PREDICTED_ONLY

CASES = [
    (CONFUSION, (3 / 5 + 1 / 3 + 1) / 3),
    (ABSENT, (3 / 4 + 2 / 3) / 2),
    (PREDICTED_ONLY, (3 / 4 + 0 + 1) / 3),
    (EXTRA_COLUMN, (3 / 5 + 1 / 2) / 2),
]
