"""Reads a mask file: its values, and the facts that show whether they are ids or colours.

We use PIL, because `tf.io` and OpenCV expand a palette PNG to its colours (tensorflow#28256) and halve 16 bits.
"""

import dataclasses
from pathlib import Path

import numpy as np

from input_pipeline.source import formats


@dataclasses.dataclass(frozen=True)
class Mask:
    """A mask as it is read."""

    values: np.ndarray  # integers [height, width], or colours [height, width, 3], uint8 or (16-bit files) uint16
    palette: np.ndarray | None = None  # uint8 [entries, 3]: the colours of a palette mask, whose values are indices
    white: int = 0  # the value that is shown as white if it is not 255 (1 in a 1-bit mask), otherwise 0


def read_mask(path: Path) -> np.ndarray:
    """Returns the ids (palette indices, or gray of any depth) as integers [height, width], or RGB [height, width, 3]."""
    return decode_mask(formats.read(Path(path)))


def decode_mask(data: bytes) -> np.ndarray:
    """Returns the same as `read_mask`, for a mask that is already in memory."""
    return look(data).values


def look(data: bytes) -> Mask:
    """Decodes a mask and returns it with its palette.

    Raises:
        FAULTS: if the file is damaged, cannot hold exact ids, has several pages or is turned by EXIF.
    """
    with formats.opened(data) as (image, header):
        if header.format == "GIF":
            raise ValueError("Expected a PNG, BMP or TIFF mask. Received: GIF masks are not read. Save them as PNG")
        if header.format not in ("PNG", "BMP", "TIFF") or _is_lossy(image):
            raise ValueError(
                f"Expected a PNG, BMP or TIFF mask. Received: {header.format}; lossy formats such as JPEG change ids. "
                "Export the masks again from their source"
            )
        if header.turned:
            raise ValueError(
                f"Expected an upright mask. Received: EXIF orientation {header.orientation}. Save it upright, without EXIF"
            )
        formats.check_whole(data)
        if header.numbers == "float" or image is None:
            raise ValueError(
                f"Expected a palette, gray or RGB mask of whole numbers. Received: {header.bands} band(s) of "
                f"{header.numbers_text}. Save ids of 8 or 16 bits"
            )
        if image.mode == "P":
            ids = np.asarray(image)
            return Mask(ids, np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3))
        if header.depth > 8 and header.bands > 1:
            return Mask(formats.deep_pixels(data, image, header))
        if image.mode in ("RGB", "RGBA"):
            return Mask(np.asarray(image)[..., :3])
        if image.mode == "LA":
            return Mask(np.asarray(image)[..., 0])
        if image.mode not in ("1", "L", "I") and not image.mode.startswith("I;16"):
            raise ValueError(f"Expected a palette, gray or RGB mask. Received: mode {image.mode}. Convert it")
        ids = np.asarray(image)
    if ids.dtype == bool:
        return Mask(ids.astype(np.uint8), white=1)
    if image.mode == "L" and header.depth in (2, 4):  # PIL stretches these to 0..255
        return Mask(ids // (255 // (2**header.depth - 1)), white=2**header.depth - 1)
    return Mask(ids)


def _is_lossy(image):
    """Whether a TIFF is compressed by a method that changes its values."""
    return image is not None and str(image.info.get("compression")) in ("jpeg", "tiff_jpeg", "webp")
