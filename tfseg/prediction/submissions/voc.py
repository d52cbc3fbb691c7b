"""PASCAL VOC 2012's segmentation task: palette PNG files of 0..20 in the folders of the development kit's results.

Source: VOC2012 development kit, sections 4.2 and 9.2: results/VOC2012/Segmentation/<competition>_<image set>_cls/<image>.png.
"""

import re

from tfseg.prediction.submissions import Format

_NAME = re.compile(r"(?:.*/)?(\d{4}_\d{6})")


def voc(*, competition: int = 6, split: str = "test") -> Format:
    """Competition 5 is for networks that have seen VOC's images only, 6 for all others, also those with ImageNet's weights."""
    if competition not in (5, 6):
        raise ValueError(f"Expected competition 5 or 6. Received: competition={competition}.")
    folder = f"results/VOC2012/Segmentation/comp{competition}_{split}_cls"

    def place(name):
        found = _NAME.fullmatch(name)
        return f"{folder}/{found[1]}.png" if found else ""

    return Format("pascal_voc", place, "2008_000006", palette=True)
