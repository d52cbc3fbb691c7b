from tests.tfseg.metrics.samples import ABSENT, CONFUSION, EXTRA_COLUMN, PREDICTED_ONLY

CASES = [
    (CONFUSION, (3 / 4 + 1 / 2 + 2 / 2) / 3),
    (ABSENT, (3 / 4 + 1) / 2),
    (PREDICTED_ONLY, (3 / 4 + 1) / 2),
    (EXTRA_COLUMN, (3 / 4 + 2 / 4) / 2),
]
