"""The training core: tensors, losses, metrics and the loop; knows no architecture and no data set by name."""
