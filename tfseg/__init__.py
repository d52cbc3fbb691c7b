"""Training, evaluation, prediction and export; losses and metrics. It names no network and no data set."""

__version__ = "0.2.0"  # pyproject.toml reads it here
