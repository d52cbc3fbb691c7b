"""Cityscapes' pixel-level task: 8-bit PNG files of label ids (road is 7), 2048 x 1024, found by city and numbers.

Source: cityscapesscripts 2.3.0, evaluation/evalPixelLevelSemanticLabeling.py, whose `getPrediction` looks for
`<city>_<6 digits>_<6 digits>*.png`. The archive may have 100 MB.
"""

import re

from tfseg.prediction.submissions import Format

_NAME = re.compile(r"(?:.*/)?([^/_]+_\d{6}_\d{6})(?:_leftImg8bit)?")


def cityscapes() -> Format:
    """`berlin_000000_000019_labelIds.png` and so on."""

    def place(name):
        found = _NAME.fullmatch(name)
        return f"{found[1]}_labelIds.png" if found else ""

    return Format("cityscapes", place, "berlin_000000_000019_leftImg8bit", size=(1024, 2048))
