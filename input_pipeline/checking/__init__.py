"""What a source tree holds and what is wrong with it, before anything is built from it."""

from input_pipeline.checking.report import UNKNOWN, Report, Tile, check

__all__ = ["UNKNOWN", "Report", "Tile", "check"]
