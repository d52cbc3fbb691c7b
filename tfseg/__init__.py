"""The training core: tensors, losses, metrics and the loop; knows no architecture and no data set by name."""

__version__ = "0.2.0"  # pyproject.toml reads it here
