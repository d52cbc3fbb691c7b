"""Image and mask files: read whole, checked, and as what they hold rather than what a decoder makes of them.

A mask goes through PIL: `tf.io` and OpenCV expand a palette PNG to its colours (tensorflow#28256) and halve 16 bits.
"""

import io
import re
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

IGNORE = 255  # the only ignore id after conversion: losses, metrics, statistics, padding and warps all know this one
PNG = b"\x89PNG\r\n\x1a\n"  # how such a file begins
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
# What a decoder raises on a file that is cut, empty, absent, or something else than its name says.
FAULTS = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    tf.errors.OpError,
)
_ORIENTATION = 0x0112  # the EXIF tag; 1 is upright
_UNKNOWN = -1
_TABLE = 1 << 25  # entries of a lookup's table; ids that are spread further (no-data as -2147483648) are searched for
# First column and row of each pass of an interlaced PNG, and the steps between columns and rows (PNG specification, 8.2).
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def read_image(path: Path) -> tuple[bytes, np.ndarray]:
    """Returns (encoded, RGB uint8 [height, width, 3]); the file's own bytes where TensorFlow decodes them to that RGB.

    Other formats, depths and a non-trivial EXIF orientation (which TensorFlow ignores) are re-encoded as PNG, upright.
    """
    return decode_image(read(path))


def is_turned(data: bytes) -> bool:
    """Whether EXIF says that an encoded image is not upright."""
    if data.startswith(PNG) and not any(name in data for name in (b"eXIf", b"Raw profile type")):
        return False  # PIL would decode the whole picture to look behind it
    with Image.open(io.BytesIO(data)) as image:
        return image.getexif().get(_ORIENTATION, 1) not in (0, 1)


def decode_image(data: bytes) -> tuple[bytes, np.ndarray]:
    """Returns what `read_image` does, of an encoded image."""
    with Image.open(io.BytesIO(data)) as image:
        upright = not is_turned(data)
        if image.format in ("JPEG", "MPO", "PNG") and image.mode in ("RGB", "L") and upright:
            return data, tf.io.decode_image(data, channels=3, expand_animations=False).numpy()
        _check_png(data)
        if image.mode in ("I", "F"):
            raise ValueError(f"Expected 8 or 16 bits a channel. Received: mode {image.mode}. Convert it to 8-bit RGB")
        if image.mode.startswith("I;16"):  # PIL's own conversion clips at 255; the high byte is what TensorFlow takes
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        pixels = np.asarray((image if upright else ImageOps.exif_transpose(image)).convert("RGB"))
    return encode_png(pixels), pixels


def message(error: Exception) -> str:
    """The first line of what an exception says, without TensorFlow's operations and Python's objects."""
    text = getattr(error, "message", None) or str(error) or type(error).__name__
    return re.sub(r"\{\{.*?\}\} ?| \[Op:.*| <_io\..*?>", "", text.splitlines()[0])


def encode_png(pixels: np.ndarray) -> bytes:
    """Returns `pixels` (uint8, RGB [height, width, 3] or gray [height, width]) as a PNG file."""
    return cv2.imencode(".png", pixels[..., ::-1] if pixels.ndim == 3 else pixels)[1].tobytes()


def read_mask(path: Path) -> np.ndarray:
    """Returns the ids of a mask as integers [height, width]: palette indices or gray of any depth; or RGB [h, w, 3]."""
    return decode_mask(read(path))


def decode_mask(data: bytes) -> np.ndarray:
    """Returns what `read_mask` does, of an encoded mask."""
    with Image.open(io.BytesIO(data)) as image:
        if image.format not in ("PNG", "BMP", "TIFF") or "jpeg" in str(image.info.get("compression")):
            raise ValueError(
                f"Expected a PNG, BMP or TIFF mask. Received: {image.format}; JPEG and its like invent ids. "
                "Export the masks again from their source"
            )
        _check_png(data)
        if image.mode in ("RGB", "RGBA"):
            return np.asarray(image)[..., :3]
        if image.mode == "LA":
            return np.asarray(image)[..., 0]
        if image.mode not in ("1", "L", "P", "I") and not image.mode.startswith("I;16"):
            raise ValueError(f"Expected a palette, gray or RGB mask. Received: mode {image.mode}. Convert it")
        ids = np.asarray(image)
    if image.format == "PNG" and image.mode == "L":
        ids = ids // {2: 85, 4: 17}.get(data[24], 1)  # PIL stretches 2 and 4-bit gray to 0..255; byte 24 is the depth
    return ids.astype(np.uint8) if ids.dtype == bool else ids


def kind(data: bytes) -> str:
    """What an encoded picture is, in words: `palette PNG`, `8-bit gray PNG`, `RGB JPEG`, ..."""
    with Image.open(io.BytesIO(data)) as image:
        gray = {"1": "1-bit gray", "L": "8-bit gray", "LA": "gray and alpha", "P": "palette", "I": "32-bit gray"}
        if image.format == "PNG" and image.mode == "L":
            gray["L"] = f"{data[24]}-bit gray"
        return f"{'16-bit gray' if image.mode.startswith('I;16') else gray.get(image.mode, image.mode)} {image.format}"


def color_text(code: int) -> str:
    """`(r, g, b)` of a colour's code."""
    return f"({code >> 16}, {code >> 8 & 255}, {code & 255})"


def color_code(rgb) -> np.ndarray:
    """Returns r<<16 | g<<8 | b of colours [..., 3]: one integer to look up."""
    r, g, b = np.moveaxis(np.asarray(rgb, np.int32), -1, 0)
    return r << 16 | g << 8 | b


class Lookup:
    """Raw ids (or colour codes) to train ids, by one table; an id outside it is an error. Ids may be negative."""

    def __init__(self, train_ids: dict[int, int]):
        self.known = sorted(train_ids)
        # The ends answer for everything beyond the table; ids below 0 are counted from its back, as NumPy does.
        self._ends = min(self.known[0] - 1, -1), max(self.known[-1] + 1, 0)
        self._dense = self._ends[1] - self._ends[0] <= _TABLE
        self._table = np.full(self._ends[1] - self._ends[0] + 1 if self._dense else len(self.known), _UNKNOWN, np.int16)
        for place, raw in enumerate(self.known):
            self._table[raw if self._dense else place] = train_ids[raw]

    def __call__(self, raw: np.ndarray, otherwise: int | None = None) -> np.ndarray:
        """Returns the train ids uint8 of `raw` (integers of any width); unknown ids are `otherwise`, or an error."""
        low, high = self._ends
        narrow = low >= -(1 << 31) and high < 1 << 31 and np.can_cast(raw.dtype, np.int32)
        codes = raw.astype(np.int32 if narrow else np.int64, copy=False)
        if self._dense:
            label = self._table[np.clip(codes, low, high)]
        else:
            place = np.minimum(np.searchsorted(self.known, codes), len(self.known) - 1)
            label = np.where(np.asarray(self.known)[place] == codes, self._table[place], _UNKNOWN)
        unknown = label == _UNKNOWN
        if unknown.any() and otherwise is None:
            raise UnknownIdsError(*np.unique(raw[unknown], return_counts=True))
        return np.where(unknown, otherwise, label).astype(np.uint8) if unknown.any() else label.astype(np.uint8)


class UnknownIdsError(ValueError):
    """Ids of a mask that the class table does not know: `.ids`, and how many pixels hold each: `.counts`."""

    def __init__(self, ids, counts):
        super().__init__(ids, counts)
        self.ids, self.counts = ids, counts


def read(path: Path) -> bytes:
    """Returns a file's bytes; an empty one is an error."""
    data = path.read_bytes()
    if not data:
        raise ValueError("Expected an image. Received: an empty file. Copy or download it again")
    return data


def _check_png(data):
    """Raises where a PNG's pixels are damaged or fewer than its header says: PIL fills up with 0, a class, in silence."""
    if not data.startswith(PNG):
        return
    width, height, depth, kind, interlaced = struct.unpack(">IIBBxxB", data[16:29])
    at, packed = 8, []
    while at + 8 <= len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        if name == b"IDAT":
            packed.append(data[at + 8 : at + 8 + size])
        at += 12 + size
    bits = depth * {2: 3, 4: 2, 6: 4}.get(kind, 1)
    grids = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    sides = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in grids]
    expected = sum(h * (1 + -(-w * bits // 8)) for w, h in sides if w > 0 and h > 0)
    received = len(zlib.decompress(b"".join(packed)))
    if received < expected:
        raise ValueError(
            f"Expected {expected} bytes of pixels, as the header says. Received: {received}. Copy or download it again"
        )
