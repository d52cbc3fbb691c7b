"""Ctrl-C and SIGTERM do not stop a step: they are noted, and the loop stops after the step."""

import signal


class Interruption:
    """Within `with Interruption() as interruption:` the first signal sets `interruption.requested` to its number.

    A second Ctrl-C interrupts at once.
    """

    requested = None

    def __enter__(self):
        self._before = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number, _):
        if self.requested is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = number
