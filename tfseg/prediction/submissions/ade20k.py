"""ADE20K's Scene Parsing Benchmark: 8-bit PNG files of 1..150, of the size and the name of the image.

Source: CSAILVision/sceneparsing, README, "Submission format": ADE_test_00000001.jpg becomes ADE_test_00000001.png.
"""

import re

from tfseg.prediction.submissions import Format

_NAME = re.compile(r"(?:.*/)?(ADE_[a-z]+_\d{8})")


def ade20k() -> Format:
    """`ADE_test_00000001.png` and so on."""

    def place(name):
        found = _NAME.fullmatch(name)
        return f"{found[1]}.png" if found else ""

    return Format("ade20k", place, "ADE_test_00000001")
