"""Reads the facts of an image file that decoders do not report: depth, pages, orientation, and whether the file is complete.

Without any message, Pillow halves 16 bits per channel, stretches grays of few bits and takes the first of several pages.
OpenCV keeps every depth as it is, so it decodes images deeper than 8 bits.
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

PNG = b"\x89PNG\r\n\x1a\n"  # the first bytes of a PNG file
# The exceptions of decoders, for files that are cut, empty, missing, or of another kind than their names say.
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
    (rb"\x00\x05\x16[\x00\x07]", "a file of extra data that macOS writes on other disks. Remove it"),
    (rb".{4}ftyp(hei[cxms]|mif1|msf1)", "a HEIF photo. Save it as JPEG or PNG"),
    (rb"PK\x03\x04", "a zip archive. Unpack it"),
    (rb"\x93NUMPY", "a NumPy array. Save it as PNG"),
    (rb"%PDF", "a PDF document. Save its picture as PNG"),
    (rb"\s*[{\[]", "a JSON file, which holds no pixels. Give the image itself"),
)
# Without this, OpenCV prints a warning for each TIFF that has a fourth band.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)


@dataclasses.dataclass(frozen=True)
class Header:
    """The facts that a file states about its first picture."""

    format: str  # PNG, JPEG, MPO, BMP, WEBP, TIFF, GIF, ...
    mode: str  # Pillow's name for its channels; "" if Pillow cannot read it
    depth: int  # bits per channel
    numbers: str = "unsigned"  # or `signed`, `float`
    bands: int = 3
    pictures: int = 1  # pages or frames, without thumbnails and without the second picture of a phone's MPO
    orientation: int = 1  # of EXIF

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
    """Opens an encoded image. Gives (Pillow's image, or None for a TIFF that only OpenCV can read; its header).

    Raises one of FAULTS if the data is not an image, and ValueError if there are several pictures in it.
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
    """Turns the errors that Pillow raises on damaged tables into a ValueError. Pillow does not check the tables."""
    try:
        yield
    except (TypeError, AttributeError, KeyError, IndexError, OverflowError) as error:
        raise ValueError(
            f"Expected a whole file. Received: damaged tables ({error}). Copy or download it again"
        ) from error


def header_of(image: Image.Image, data: bytes) -> Header:
    """The header of an image that Pillow has opened but not decoded."""
    depth, numbers = {"1": 1, "I": 32, "F": 32}.get(image.mode, 8), "float" if image.mode == "F" else "unsigned"
    if image.mode.startswith("I;16"):
        depth = 16
    if image.format == "PNG":
        depth = data[24]
    bands, orientation = _BANDS.get(image.mode, len(image.getbands())), 1
    if image.format == "TIFF":
        depth, numbers, bands = _numbers(image.tag_v2)
    # In a PNG, EXIF may come after the pixels, and Pillow decodes them all to get there.
    if not data.startswith(PNG) or any(name in data for name in (b"eXIf", b"Raw profile type")):
        orientation = image.getexif().get(_ORIENTATION, 1)
    return Header(image.format, image.mode, depth, numbers, bands, _pictures(image), orientation)


def kind(data: bytes) -> str:
    """The kind of an encoded picture in words: `palette PNG`, `8-bit gray PNG`, `RGB JPEG`, `16-bit RGB PNG`, ..."""
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
    """Returns the unchanged values of an image deeper than 8 bits, upright: [height, width] or RGB [height, width, 3]."""
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
    return _upright(pixels, 1 if header.format == "TIFF" else header.orientation)  # both readers already turn a TIFF


def check_whole(data: bytes) -> None:
    """Raises if a PNG's pixels are damaged or too few. PIL fills missing ones with 0, which is a class, without a message."""
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
    """Returns a file's bytes. Raises ValueError if it is empty."""
    data = path.read_bytes()
    if not data:
        raise ValueError("Expected an image. Received: an empty file. Copy or download it again")
    return data


def reason(error: Exception) -> str:
    """Returns one line that says what went wrong with a file."""
    if isinstance(error, FileNotFoundError):
        return "Expected a file. Received: none. Put it there, or leave the pair out with --skip_bad"
    if isinstance(error, IsADirectoryError):
        return "Expected a file. Received: a folder of that name. Rename or remove it"
    if isinstance(error, PermissionError):
        return "Expected a file that can be read. Received: no permission. Change its rights"
    if isinstance(error, ValueError) and str(error).startswith("Expected "):
        return str(error)
    text = message(error)
    if re.search(r"truncat|incomplete|premature|end.of.(file|data)|Invalid (PNG|JPEG)", text, re.IGNORECASE):
        text += " (it is cut off or damaged; copy or download it again)"
    return f"Expected a whole file. Received: {text}"


def message(error: Exception) -> str:
    """The first line of an exception's text, without TensorFlow's operations and Python's objects."""
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
    """The number of pictures in a file. The second picture of an MPO and smaller copies in a TIFF do not count."""
    count = getattr(image, "n_frames", 1)
    if image.format == "MPO" or count == 1:
        return 1
    if image.format != "TIFF":
        return count
    pages = 0
    for page in range(count):
        try:
            image.seek(page)
            pages += not image.tag_v2.get(_SUBFILE, 0) & 0b101  # the bits for a smaller copy and a transparency mask
        except FAULTS:
            pages += 1  # a page that Pillow cannot read
    image.seek(0)
    return max(pages, 1)


def _unknown_header(data, error):
    """The header of a TIFF that Pillow cannot read. For other files raises `error`, or a clearer one if the kind is known."""
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
        raise error from None  # the file is cut within its tables
    return Header("TIFF", "", depth, numbers, bands, max(pages, 1))


def _numbers(tags):
    """(bits per channel, their kind, the number of channels) of a page."""
    bits, kinds = tags.get(_BITS, (1,)), tags.get(_FORMAT, (1,))
    return int(max(bits)), _NUMBERS.get(kinds[0], "unsigned"), int(tags.get(_SAMPLES, len(bits)))


def _upright(pixels, orientation):
    """Turns and mirrors an image according to EXIF's orientation (TIFF 6.0, tag 274)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
