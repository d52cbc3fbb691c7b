"""Reads an image file of any kind as upright 8-bit RGB and says what was lost. Preparation, check and prediction use it.

    encoded, pixels = read_image(path)                  # uint8 [height, width, 3]
    encoded, pixels = read_image(path, "0,4095")        # values of 16-bit images from 0..4095 to 0..255

TensorFlow decodes `encoded` to exactly `pixels`: it is the file itself if TensorFlow reads it so, otherwise a PNG.
"""

import dataclasses
import math
from pathlib import Path

import cv2
import numpy as np
import tensorflow as tf
from PIL import ImageOps

from input_pipeline.source import formats

_USUAL = 99.9  # % of an image's values
_OTHER_COLORS = ("CMYK", "LAB", "YCbCr")  # 8-bit modes that Pillow converts to RGB


@dataclasses.dataclass(frozen=True)
class Range:
    """The part of the range of values that images deeper than 8 bits use; of one image or of many."""

    low: float
    high: float
    usual: float  # the highest value, without the top 0.1 % of each image
    depth: int  # bits; 0: floats, or whole numbers that have no natural range

    @property
    def top(self) -> float:
        """The highest value to keep. A few dead pixels, or a value that marks missing data, do not count."""
        return self.high if self.high < 4 * self.usual or self.usual <= self.low else self.usual

    def __or__(self, other: "Range | None") -> "Range":
        """The range of both."""
        if other is None:
            return self
        depth = self.depth and other.depth and max(self.depth, other.depth)
        return Range(min(self.low, other.low), max(self.high, other.high), max(self.usual, other.usual), depth)

    def to_json(self) -> dict:
        """The entries in `statistics.json`; `range_of` reads them back."""
        return {"image_range": [self.low, self.high, self.depth], "image_range_usual": self.usual}


@dataclasses.dataclass(frozen=True)
class Picture:
    """An image as it is read."""

    encoded: bytes
    pixels: np.ndarray  # RGB uint8 [height, width, 3], upright
    turned: bool = False  # whether EXIF turned it
    left_out: str = ""  # channels that are left out: `alpha`, `a fourth band`
    range: Range | None = None  # only for an image deeper than 8 bits


def range_of(statistics: dict) -> Range | None:
    """The range in a split's statistics, None if no image is deeper than 8 bits or the records do not have it."""
    if "image_range" not in statistics:
        return None
    low, high, depth = statistics["image_range"]
    return Range(low, high, statistics.get("image_range_usual", high), depth)


def read_image(path: Path, image_range: str = "") -> tuple[bytes, np.ndarray]:
    """Returns (encoded, RGB uint8 [height, width, 3]) of a PNG, JPEG, MPO, BMP, WebP, TIFF or GIF with one picture.

    Args:
        path: the file.
        image_range: "LOW,HIGH" scales these values of images deeper than 8 bits to 0..255; blank keeps the high byte.

    Raises:
        FAULTS: if the file is damaged, of another kind, or holds several pictures; `reason` makes a sentence of it.
    """
    return decode_image(formats.read(Path(path)), image_range)


def decode_image(data: bytes, image_range: str = "") -> tuple[bytes, np.ndarray]:
    """Returns the same as `read_image`, for an image that is already in memory."""
    picture = look(data, image_range)
    return picture.encoded, picture.pixels


def look(data: bytes, image_range: str = "") -> Picture:
    """Decodes an image and returns it with all that is known about it."""
    limits = limits_of(image_range)
    with formats.opened(data) as (image, header):
        facts = {"turned": header.turned, "left_out": _left_out(image, header)}
        if header.deep and header.mode not in _OTHER_COLORS:
            formats.check_whole(data)
            values = formats.deep_pixels(data, image, header)
            facts["range"] = found = _range(values, header)
            if limits:
                return _encoded(scaled(values, *limits), facts)
            if not found.depth:
                raise ValueError(
                    f"Expected 8 or 16 bits a channel. Received: {header.numbers_text} from {found.low:g} to {found.high:g}. "
                    f"Give --image_range=LOW,HIGH, the values that become 0 and 255 (here {suggested(found)}), or convert it"
                )
            if header.format != "PNG" or header.bands < 3 or header.turned:
                return _encoded(
                    (values >> (found.depth - 8)).astype(np.uint8), facts
                )  # TensorFlow takes the high byte too
        if header.format in ("JPEG", "MPO", "PNG") and image.mode in ("RGB", "L") and not header.turned:
            return Picture(data, tf.io.decode_image(data, channels=3, expand_animations=False).numpy(), **facts)
        if image is None:
            raise ValueError(
                f"Expected one or three bands. Received: a TIFF of {header.bands} bands. Save the three to be used as a file"
            )
        formats.check_whole(data)
        return _encoded(np.asarray((ImageOps.exif_transpose(image) if header.turned else image).convert("RGB")), facts)


def is_turned(data: bytes) -> bool:
    """Whether EXIF says that an encoded image is not upright."""
    with formats.opened(data) as (_, header):
        return header.turned


def encode_png(pixels: np.ndarray) -> bytes:
    """Returns `pixels` (uint8, RGB [height, width, 3] or gray [height, width]) as a PNG file."""
    return cv2.imencode(".png", pixels[..., ::-1] if pixels.ndim == 3 else pixels)[1].tobytes()


def limits_of(image_range: str) -> tuple[float, float] | None:
    """Returns the two numbers of "LOW,HIGH", None if it is blank."""
    if not image_range:
        return None
    try:
        low, high = (float(word) for word in image_range.split(","))
        if not -math.inf < low < high < math.inf:
            raise ValueError
    except (AttributeError, ValueError):
        raise ValueError(
            f"Expected image_range to be blank or LOW,HIGH, two numbers, the lower first. Received: {image_range!r}."
        ) from None
    return low, high


def scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """The values from `low` to `high` as uint8 0..255; those beyond are clipped."""
    return np.clip(np.round((values.astype(np.float64) - low) * (255 / (high - low))), 0, 255).astype(np.uint8)


def suggested(found: Range) -> str:
    """The `image_range` that keeps all values of images of this range."""
    if found.depth and found.low <= found.top / 2:
        return f"0,{2 ** max(int(found.top).bit_length(), 8) - 1}"
    return f"{found.low:g},{found.top if found.low < found.top else found.low + 1:g}"


def range_text(found: Range, image_range: str = "") -> tuple[str, bool]:
    """Returns (which values the images use, whether so much is lost that `image_range` should be changed)."""
    text = f"{f'{found.depth}-bit' if found.depth else 'float or signed'} images use {found.low:g}..{found.high:g}"
    low, high = limits_of(image_range) or (0, 2**found.depth - 1)
    text += "" if image_range else f" of {high}"
    if found.top < found.high:
        text += f" (but {_USUAL} % of each image at most {found.top:g})"
    share = (min(found.top, high) - max(found.low, low)) / (high - low)
    if share < 0.5:
        dark = "nearly black" if found.top < low + (high - low) / 8 else "low in contrast"
        return f"{text} and become {dark}: give --image_range={suggested(found)}", True
    if image_range and (found.low < low or found.top > high):
        return f"{text}: what is beyond --image_range={image_range} is clipped", True
    return text, False


def _left_out(image, header):
    if header.format == "TIFF" and header.bands > 3 and header.mode != "CMYK":
        return (
            "a fourth band, alpha or other" if header.bands == 4 else f"the bands beyond the third, of {header.bands}"
        )
    if header.mode in ("RGBA", "RGBa", "LA", "La", "PA") or (image is not None and "transparency" in image.info):
        return "an alpha channel"
    return "a second band" if header.bands == 2 else ""


def _range(values, header):
    if header.numbers == "float" and not np.isfinite(values).all():
        raise ValueError(
            "Expected numbers. Received: values that are no number (NaN) or infinite. Replace them, for example by the lowest "
            "value"
        )
    depth = header.depth if header.numbers == "unsigned" and header.depth <= 16 else 0
    low, high, usual = (float(v) for v in np.percentile(values, (0, 100, _USUAL), method="lower"))
    return Range(low, high, usual, depth)


def _encoded(pixels, facts):
    """Stores a picture as PNG, if TensorFlow would read its file differently or not at all."""
    pixels = np.repeat(pixels[..., np.newaxis], 3, 2) if pixels.ndim == 2 else np.ascontiguousarray(pixels)
    return Picture(encode_png(pixels), pixels, **facts)
