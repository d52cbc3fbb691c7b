"""The ordinary trainer: the loss of --loss on examples with labels. Its run is in `tfseg/train.py`."""

from tfseg import train


def supervised(config, strategy, folder, output):
    """Trains as `train.run` describes."""
    return train.run(config, strategy, folder, output)
