"""The training core: tensors, losses, metrics and the loop; knows no architecture and no data set by name."""

IGNORE = 255  # the one train id that no loss, metric, statistic or picture counts
