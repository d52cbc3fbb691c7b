"""Reports what a source tree holds and what is wrong with it, before any records are built."""

from input_pipeline.checking.report import UNKNOWN, Report, Tile, check
from input_pipeline.checking.samples import augmented

__all__ = ["UNKNOWN", "Report", "Tile", "augmented", "check"]
