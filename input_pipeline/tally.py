"""What is counted of a split while it is converted: statistics, faults, colours outside the table."""

from input_pipeline.conversion import Converted
from input_pipeline.outside import Outside
from input_pipeline.statistics import Statistics


class Tally:
    """Counts converted examples; it can be pickled, and those of parts of a split merged."""

    def __init__(self, num_classes: int):
        self.statistics, self.faults, self._outside = Statistics(num_classes), [], []
        self.boxes = 0  # most of them in one image

    def add(self, converted: Converted) -> None:
        """Counts one example, or its fault."""
        if converted.fault:
            self.faults.append(converted.fault)
        else:
            self.statistics.add(converted.counts, converted.id if converted.turned else "")
            self.boxes = max(self.boxes, len(converted.record.get("boxes", ())))
        if converted.outside:
            self._outside.append((converted.id, converted.outside))

    def merge(self, other: "Tally") -> None:
        """Adds what another has counted."""
        self.statistics.merge(other.statistics)
        self.faults += other.faults
        self.boxes = max(self.boxes, other.boxes)
        self._outside += other._outside

    def outside(self) -> Outside:
        """Returns what a lenient table ignored."""
        found = Outside()
        for example, counts in sorted(self._outside, key=lambda one: one[0]):
            found.add(example, counts)
        return found
