"""Reads the facts of an image file that decoders do not report: depth, pages, orientation, and whether the file is complete.

Pillow halves 16 bits a channel, stretches narrow grays and takes the first of several pages, and says none of it; OpenCV
reads every depth as it is, so it decodes what is deeper than 8 bits.
"""

import contextlib
import dataclasses
import io
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import tensorflow as tf
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

PNG = b"\x89PNG\r\n\x1a\n"  # how such a file begins
# What a decoder raises on a file that is cut, empty, absent, or something else than its name says.
FAULTS = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    struct.error,
    zlib.error,
    cv2.error,
    Image.DecompressionBombError,
    tf.errors.OpError,
)
_ORIENTATION = 0x0112  # the EXIF tag; 1 is upright
_SUBFILE, _BITS, _SAMPLES, _FORMAT = 254, 258, 277, 339  # tags of TIFF 6.0
_NUMBERS = {1: "unsigned", 2: "signed", 3: "float"}  # by the tag SampleFormat
_BANDS = {"1": 1, "L": 1, "P": 1, "I": 1, "F": 1, "LA": 2, "La": 2, "PA": 2, "RGBA": 4, "RGBa": 4, "RGBX": 4, "CMYK": 4}
# First column and row of each pass of an interlaced PNG, and the steps between columns and rows (PNG specification, 8.2).
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
# Files that are often found where an image should be, by their first bytes, and what to do.
_OTHERS = (
    (rb"version https://git-lfs", "a pointer of Git LFS. Fetch the file itself: git lfs pull"),
    (rb"\x00\x05\x16[\x00\x07]", "what macOS keeps beside a file on other disks. Remove it"),
    (rb".{4}ftyp(hei[cxms]|mif1|msf1)", "a HEIF photo. Save it as JPEG or PNG"),
    (rb"PK\x03\x04", "a zip archive. Unpack it"),
    (rb"\x93NUMPY", "a NumPy array. Save it as PNG"),
    (rb"%PDF", "a PDF document. Save its picture as PNG"),
    (rb"\s*[{\[]", "a JSON file, which holds no pixels. Give the image itself"),
)
# Of each TIFF with a further band OpenCV would print a warning.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)


@dataclasses.dataclass(frozen=True)
class Header:
    """What a file says of its first picture."""

    format: str  # PNG, JPEG, MPO, BMP, WEBP, TIFF, GIF, ...
    mode: str  # Pillow's name of its channels; "" where Pillow cannot read it
    depth: int  # bits of a channel
    numbers: str = "unsigned"  # or `signed`, `float`
    bands: int = 3
    pictures: int = 1  # pages or frames, without thumbnails and the second picture of a phone's MPO
    orientation: int = 1  # EXIF's

    @property
    def deep(self) -> bool:
        """Whether values need more than 8 bits."""
        return self.depth > 8 or self.numbers == "float"

    @property
    def turned(self) -> bool:
        """Whether EXIF says that the picture is not upright."""
        return self.orientation in range(2, 9)

    @property
    def numbers_text(self) -> str:
        """`32-bit float numbers`."""
        return f"{self.depth}-bit {self.numbers} numbers"


@contextlib.contextmanager
def opened(data: bytes) -> Iterator[tuple[Image.Image | None, Header]]:
    """Opens an encoded image: (Pillow's image, None for a TIFF that only OpenCV can read; its header).

    Raises one of FAULTS for what is no image, and ValueError for several pictures in one file.
    """
    with _damage():
        try:
            image = Image.open(io.BytesIO(data))
        except UnidentifiedImageError as error:
            yield None, _single(_unknown_header(data, error))
            return
        with image:
            yield image, _single(header_of(image, data))


@contextlib.contextmanager
def _damage():
    """Makes a fault of what Pillow raises where the tables of a file are damaged; it expects whole ones."""
    try:
        yield
    except (TypeError, AttributeError, KeyError, IndexError, OverflowError) as error:
        raise ValueError(
            f"Expected a whole file. Received: damaged tables ({error}). Copy or download it again"
        ) from error


def header_of(image: Image.Image, data: bytes) -> Header:
    """The header of an image that Pillow has opened, and not yet decoded."""
    depth, numbers = {"1": 1, "I": 32, "F": 32}.get(image.mode, 8), "float" if image.mode == "F" else "unsigned"
    if image.mode.startswith("I;16"):
        depth = 16
    if image.format == "PNG":
        depth = data[24]
    bands, orientation = _BANDS.get(image.mode, len(image.getbands())), 1
    if image.format == "TIFF":
        depth, numbers, bands = _numbers(image.tag_v2)
    # Pillow would decode the whole picture of a PNG to look behind it.
    if not data.startswith(PNG) or any(name in data for name in (b"eXIf", b"Raw profile type")):
        orientation = image.getexif().get(_ORIENTATION, 1)
    return Header(image.format, image.mode, depth, numbers, bands, _pictures(image), orientation)


def kind(data: bytes) -> str:
    """What an encoded picture is, in words: `palette PNG`, `8-bit gray PNG`, `RGB JPEG`, `16-bit RGB PNG`, ..."""
    with _damage():
        try:
            with Image.open(io.BytesIO(data)) as image:
                header = header_of(image, data)
        except UnidentifiedImageError as error:
            header = _unknown_header(data, error)
            return f"{header.bands} x {header.depth}-bit {header.numbers} TIFF"
    if header.mode in ("1", "L", "I", "F") or header.mode.startswith("I;16"):
        numbers = "" if header.numbers == "unsigned" else f"{header.numbers} "
        return f"{header.depth}-bit {numbers}gray {header.format}"
    words = {"P": "palette", "LA": "gray and alpha"}.get(header.mode, header.mode)
    return f"{'16-bit ' if header.deep else ''}{words} {header.format}"


def deep_pixels(data: bytes, image: Image.Image | None, header: Header) -> np.ndarray:
    """Returns the values of an image deeper than 8 bits as they are, upright: [height, width] or RGB [height, width, 3]."""
    if image is not None and (image.mode in ("I", "F") or image.mode.startswith("I;16")):
        pixels = np.asarray(image)  # OpenCV cannot unpack 12 bits
        return _upright(pixels, 1 if header.format == "TIFF" else header.orientation)
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError(
            f"Expected one or three bands of 8 or 16 bits. Received: {header.bands} of {header.numbers_text}. "
            "Save it as a PNG of 8 or 16 bits"
        )
    if pixels.ndim == 3:
        pixels = pixels[..., 2::-1] if header.bands > 2 else pixels[..., 0]
    return _upright(pixels, 1 if header.format == "TIFF" else header.orientation)  # both readers turn a TIFF


def check_whole(data: bytes) -> None:
    """Raises where a PNG's pixels are damaged or fewer than its header says: PIL fills up with 0, a class, in silence."""
    if not data.startswith(PNG):
        return
    width, height, depth, color, interlaced = struct.unpack(">IIBBxxB", data[16:29])
    at, packed = 8, []
    while at + 8 <= len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        if name == b"IDAT":
            packed.append(data[at + 8 : at + 8 + size])
        at += 12 + size
    bits = depth * {2: 3, 4: 2, 6: 4}.get(color, 1)
    grids = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    sides = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in grids]
    expected = sum(h * (1 + -(-w * bits // 8)) for w, h in sides if w > 0 and h > 0)
    received = len(zlib.decompress(b"".join(packed)))
    if received < expected:
        raise ValueError(
            f"Expected {expected} bytes of pixels, as the header says. Received: {received}. Copy or download it again"
        )


def read(path: Path) -> bytes:
    """Returns a file's bytes; an empty one is an error."""
    data = path.read_bytes()
    if not data:
        raise ValueError("Expected an image. Received: an empty file. Copy or download it again")
    return data


def reason(error: Exception) -> str:
    """What went wrong with a file, in a line."""
    if isinstance(error, FileNotFoundError):
        return "Expected a file. Received: none. Put it there, or leave the pair out with --skip_bad"
    if isinstance(error, IsADirectoryError):
        return "Expected a file. Received: a folder of that name. Rename or remove it"
    if isinstance(error, PermissionError):
        return "Expected a file that can be read. Received: no permission to. Change its rights"
    if isinstance(error, ValueError) and str(error).startswith("Expected "):
        return str(error)
    text = message(error)
    if re.search(r"truncat|incomplete|premature|end.of.(file|data)|Invalid (PNG|JPEG)", text, re.IGNORECASE):
        text += " (it is cut off or damaged; copy or download it again)"
    return f"Expected a whole file. Received: {text}"


def message(error: Exception) -> str:
    """The first line of what an exception says, without TensorFlow's operations and Python's objects."""
    text = getattr(error, "message", None) or str(error) or type(error).__name__
    return re.sub(r"\{\{.*?\}\} ?| \[Op:.*| <_io\..*?>", "", text.splitlines()[0])


def _single(header):
    if header.pictures > 1:
        what = "pages" if header.format == "TIFF" else "frames"
        raise ValueError(
            f"Expected one picture a file. Received: {header.pictures} {what}. Save each as a file of its own"
        )
    return header


def _pictures(image):
    """How many pictures a file holds: the second of an MPO and the smaller copies in a TIFF are none of their own."""
    count = getattr(image, "n_frames", 1)
    if image.format == "MPO" or count == 1:
        return 1
    if image.format != "TIFF":
        return count
    pages = 0
    for page in range(count):
        try:
            image.seek(page)
            pages += not image.tag_v2.get(_SUBFILE, 0) & 0b101  # a smaller copy, a transparency mask
        except FAULTS:
            pages += 1  # of a kind that Pillow cannot read
    image.seek(0)
    return max(pages, 1)


def _unknown_header(data, error):
    """The header of a TIFF that Pillow cannot read; for anything else `error`, or the nearest cause where it is known."""
    for start, what in _OTHERS:
        if re.match(start, data[:64], re.DOTALL):
            raise ValueError(f"Expected an image. Received: {what}") from error
    if not data.startswith(tuple(TiffImagePlugin.PREFIXES)):
        raise error
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(data[:16] if 0x2B in data[2:4] else data[:8])
        file, pages, first = io.BytesIO(data), 0, None
        while tags.next and pages < 1000:
            file.seek(tags.next)
            tags.load(file)
            pages += not tags.get(_SUBFILE, 0) & 0b101
            first = first or _numbers(tags)
        depth, numbers, bands = first
    except (*FAULTS, TypeError, KeyError, IndexError):
        raise error from None  # cut within its tables
    return Header("TIFF", "", depth, numbers, bands, max(pages, 1))


def _numbers(tags):
    """(bits of a channel, their kind, how many channels) of a page."""
    bits, kinds = tags.get(_BITS, (1,)), tags.get(_FORMAT, (1,))
    return int(max(bits)), _NUMBERS.get(kinds[0], "unsigned"), int(tags.get(_SAMPLES, len(bits)))


def _upright(pixels, orientation):
    """Turns and mirrors as EXIF's orientation says (TIFF 6.0, tag 274)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
