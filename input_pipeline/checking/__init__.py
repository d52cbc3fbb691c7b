"""Reports the content and the faults of a source tree, before any records are built."""

from input_pipeline.checking.report import UNKNOWN, Report, Tile, check
from input_pipeline.checking.samples import augmented

__all__ = ["UNKNOWN", "Report", "Tile", "augmented", "check"]
