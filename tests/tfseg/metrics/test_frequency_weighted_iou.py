from tests.tfseg.metrics.samples import ABSENT, CONFUSION

CASES = [
    (CONFUSION, 4 / 8 * 3 / 5 + 2 / 8 * 1 / 3 + 2 / 8),
    (ABSENT, 4 / 6 * 3 / 4 + 2 / 6 * 2 / 3),
]
