"""Peak stimulation: finds the peaks of class maps, and gives each class the mean of its peaks as score.

Zhou, Zhu, Ye, Qiu, Jiao, Weakly Supervised Instance Segmentation using Class Peak Response, CVPR 2018, section 3.1.
https://arxiv.org/abs/1804.00880
"""

import keras
from keras import ops

THRESHOLDS = ("median", "mean", None)


def stimulate(maps, window=3, threshold="median", name=None):
    """Class maps [B, H, W, C] -> scores, float32 [B, C]: the mean of the peaks of each map, equation 2."""
    return PeakStimulation(window, threshold, name=name)(maps)


def peaks(maps, window=3, threshold="median"):
    """Finds the peaks of class maps.

    A peak is the largest cell of the `window` x `window` cells around it and not below the threshold of its map. If several
    cells of a window are equally large, only the first one in the order of rows can be a peak.

    Args:
        maps: float [B, H, W, C].
        window: odd, 3 or more.
        threshold: "median" or "mean" of the map, or None. The median of an even count is the lower of the two middle values,
            as in torch.

    Returns:
        bool [B, H, W, C]. A map of finite numbers has at least one peak.
    """
    check(window, threshold)
    reach = window // 2
    padding = ((0, 0), (reach, reach), (reach, reach), (0, 0))
    padded, found = ops.pad(maps, padding, constant_values=float("-inf")), None
    for row in range(window):
        for column in range(window):
            if row == column == reach:
                continue
            other = padded[:, row : row - 2 * reach or None, column : column - 2 * reach or None]
            larger = maps > other if (row, column) < (reach, reach) else maps >= other
            found = larger if found is None else ops.logical_and(found, larger)
    if threshold == "mean":
        found = ops.logical_and(found, maps >= ops.mean(maps, axis=(1, 2), keepdims=True))
    if threshold == "median":
        found = ops.logical_and(found, maps >= _median(maps))
    return found


def check(window, threshold):
    """Raises ValueError for a window or a threshold that cannot be."""
    if not (isinstance(window, int) and window >= 3 and window % 2) or threshold not in THRESHOLDS:
        raise ValueError(
            f"Expected an odd window of 3 or more cells, and threshold 'median', 'mean' or None. Received: {window=}, "
            f"{threshold=}."
        )


def _median(maps):
    """[B, 1, 1, C]"""
    batch, height, width, classes = ops.shape(maps)
    ordered = ops.sort(ops.reshape(maps, (batch, height * width, classes)), axis=1)
    return ops.take(ordered, (height * width - 1) // 2, axis=1)[:, None, None]


@keras.saving.register_keras_serializable(package="tfseg")
class PeakStimulation(keras.layers.Layer):
    """Class maps [B, H, W, C] -> the mean of the peaks of each, [B, C], in float32 or float64.

    Only the peaks get a gradient, each 1 / (number of peaks), as in equation 3. The authors' code leaves this division out.
    """

    def __init__(self, window=3, threshold="median", **kwargs):
        super().__init__(autocast=False, **kwargs)
        check(window, threshold)
        self.window, self.threshold = window, threshold

    def call(self, inputs):
        """The scores."""
        maps = ops.cast(inputs, self._kind(inputs))
        found = ops.cast(peaks(ops.stop_gradient(maps), self.window, self.threshold), maps.dtype)
        return ops.sum(maps * found, axis=(1, 2)) / ops.maximum(ops.sum(found, axis=(1, 2)), 1.0)

    def compute_output_spec(self, inputs):
        """One number for each class."""
        return keras.KerasTensor((inputs.shape[0], inputs.shape[-1]), self._kind(inputs))

    def _kind(self, inputs):
        return "float64" if keras.backend.standardize_dtype(inputs.dtype) == "float64" else "float32"

    def get_config(self):
        """With the options."""
        return {**super().get_config(), "window": self.window, "threshold": self.threshold}
