"""Draws what the peaks of class maps respond to."""

import cv2
import numpy as np

from tfseg.pictures import text
from tfseg.pictures.segmentation import MARGIN


def responses(image, maps, titles, width=192):
    """The image, and beside it a copy for each response map, on which the response shines through from dark to bright.

    Args:
        image: RGB uint8 [H, W, 3].
        maps: float [n, H, W], 0 or more; each is shown up to its own maximum.
        titles: n texts.
        width: of each picture.
    """
    height, line = max(1, round(width * image.shape[0] / image.shape[1])), text.SIZE + 14
    smooth = cv2.INTER_AREA if width < image.shape[1] else cv2.INTER_CUBIC
    gap = np.full((height + line, MARGIN, 3), 255, np.uint8)
    gray = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., np.newaxis], 3, -1) // 2
    parts = [gap]
    for number, title in enumerate(["image", *titles]):
        drawn = image
        if number:
            # The square root makes a response of a few pixels visible beside its maximum.
            level = np.sqrt(maps[number - 1] / max(maps[number - 1].max(), 1e-30))
            heat = cv2.cvtColor(
                cv2.applyColorMap(np.uint8(np.rint(255 * level)), cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB
            )
            drawn = np.rint(gray * (1 - level[..., np.newaxis]) + heat * level[..., np.newaxis]).astype(np.uint8)
        tile = cv2.resize(drawn, (width, height), interpolation=smooth)
        parts += [np.vstack([text.centered(text.shorten(title, width), width, line), tile]), gap]
    return np.pad(np.hstack(parts), ((0, MARGIN), (0, 0), (0, 0)), constant_values=255)
