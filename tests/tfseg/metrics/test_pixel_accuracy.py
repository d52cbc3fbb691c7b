from tests.tfseg.metrics.samples import ABSENT, CONFUSION, EXTRA_COLUMN

CASES = [(CONFUSION, 6 / 8), (ABSENT, 5 / 6), (EXTRA_COLUMN, 5 / 8)]
