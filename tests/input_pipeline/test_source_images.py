"""The reader of images: the right pixels from every kind of file, and TensorFlow decodes the stored bytes to the same."""

import io
import re
import struct
import zlib

import cv2
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from input_pipeline.source import files, formats, images, masks

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
GRAY = np.stack([RGB[..., 0]] * 3, -1)
FEW = np.array([(10, 20, 30), (200, 0, 0), (0, 255, 0)], np.uint8)
INDICES = np.arange(35, dtype=np.uint8).reshape(5, 7) % 3
DEEP = np.random.default_rng(1).integers(0, 65536, (5, 7, 3)).astype(np.uint16)


def encode(pixels, kind, **options):
    file = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(file, kind, **options)
    return file.getvalue()


def palette():
    image = Image.frombytes("P", (7, 5), INDICES.tobytes())
    image.putpalette(FEW.ravel().tolist())
    return image


def png(rows, width, height, depth, color, interlaced=0):
    """A PNG of packed rows."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced))
    return files.PNG + header + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + r for r in rows))) + chunk(b"IEND", b"")


def interlaced():
    # PNG specification, 8.2: the passes of Adam7, each the pixels from (row, column) in steps of (rows, columns).
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    parts = [RGB[row::rows, column::columns] for row, column, rows, columns in passes]
    return png([row.tobytes() for part in parts if part.size for row in part], 7, 5, 8, 2, 1)


def cv2_encode(pixels, end):
    return cv2.imencode(end, pixels[..., ::-1] if pixels.ndim == 3 else pixels)[1].tobytes()


def exif(orientation):
    found = Image.Exif()
    found[0x0112] = orientation
    return found


def turned():
    """The stored picture for EXIF orientation 6, before it is turned clockwise by 90 degrees."""
    return np.rot90(RGB)


KINDS = {
    "RGB PNG": (encode(RGB, "PNG"), RGB),
    "gray PNG": (encode(RGB[..., 0], "PNG"), GRAY),
    "1-bit PNG": (encode(RGB[..., 0] > 99, "PNG"), np.stack([(RGB[..., 0] > 99) * np.uint8(255)] * 3, -1)),
    # Two bits are 0, 85, 170, 255: the first row holds 0 1 2 3 0 1 2.
    "2-bit PNG": (
        png([bytes([0b00011011, 0b00011000])], 7, 1, 2, 0), np.stack([[[0, 85, 170, 255, 0, 85, 170]]] * 3, -1)
    ),
    "palette PNG": (encode(palette(), "PNG"), FEW[INDICES]),
    "palette PNG, transparent": (encode(palette(), "PNG", transparency=1), FEW[INDICES]),
    "RGBA PNG": (encode(np.dstack([RGB, RGB[..., 0]]), "PNG"), RGB),
    "gray and alpha PNG": (encode(np.dstack([RGB[..., 0], RGB[..., 1]]), "PNG"), GRAY),
    "interlaced PNG": (interlaced(), RGB),
    "turned PNG": (encode(turned(), "PNG", exif=exif(6)), RGB),
    "16-bit RGB PNG": (cv2_encode(DEEP, ".png"), DEEP >> 8),
    "16-bit gray PNG": (cv2_encode(DEEP[..., 0], ".png"), np.stack([DEEP[..., 0] >> 8] * 3, -1)),
    "16-bit RGBA PNG": (cv2.imencode(".png", np.dstack([DEEP[..., ::-1], DEEP[..., 0]]))[1].tobytes(), DEEP >> 8),
    "16-bit gray and alpha PNG": (
        png([row.astype(">u2").tobytes() for row in DEEP[..., :2]], 7, 5, 16, 4), np.stack([DEEP[..., 0] >> 8] * 3, -1)
    ),
    "BMP": (encode(RGB, "BMP"), RGB),
    "gray BMP": (encode(RGB[..., 0], "BMP"), GRAY),
    "palette BMP": (encode(palette(), "BMP"), FEW[INDICES]),
    "1-bit BMP": (encode(RGB[..., 0] > 99, "BMP"), np.stack([(RGB[..., 0] > 99) * np.uint8(255)] * 3, -1)),
    "WebP": (encode(RGB, "WEBP", lossless=True), RGB),
    "WebP, alpha": (encode(np.dstack([RGB, np.full((5, 7), 255, np.uint8)]), "WEBP", lossless=True), RGB),
    "turned WebP": (encode(turned(), "WEBP", lossless=True, exif=exif(6)), RGB),
    "TIFF": (encode(RGB, "TIFF"), RGB),
    "LZW TIFF": (encode(RGB, "TIFF", compression="tiff_lzw"), RGB),
    "palette TIFF": (encode(palette(), "TIFF"), FEW[INDICES]),
    "turned TIFF": (encode(turned(), "TIFF", exif=exif(6)), RGB),
    "16-bit TIFF": (cv2_encode(DEEP, ".tif"), DEEP >> 8),
    "16-bit gray TIFF": (encode(DEEP[..., 0], "TIFF"), np.stack([DEEP[..., 0] >> 8] * 3, -1)),
    "turned 16-bit gray TIFF": (encode(np.rot90(DEEP[..., 0]), "TIFF", exif=exif(6)), np.stack([DEEP[..., 0] >> 8] * 3, -1)),
    "4 bands TIFF": (encode(np.dstack([RGB, RGB[..., 0]]), "TIFF"), RGB),
    "GIF": (encode(palette(), "GIF"), FEW[INDICES]),
    "gray GIF": (encode(RGB[..., 0], "GIF"), GRAY),
}  # fmt: skip


def decoded(encoded):
    """A record as training and evaluation read it."""
    return tf.io.decode_image(encoded, channels=3, expand_animations=False).numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_read_and_kept_right(kind, tmp_path):
    data, expected = KINDS[kind]
    encoded, pixels = files.decode_image(data)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, expected)
    np.testing.assert_array_equal(decoded(encoded), expected)
    (tmp_path / "file").write_bytes(data)  # the first bytes decide what it is, not the name
    np.testing.assert_array_equal(files.read_image(tmp_path / "file")[1], expected)


LOSSY = {
    "JPEG": (encode(RGB, "JPEG", quality=95), True),
    "gray JPEG": (encode(RGB[..., 0], "JPEG"), True),
    "MPO": (encode(RGB, "MPO", save_all=True, append_images=[Image.fromarray(RGB[::-1].copy())]), True),
    "CMYK JPEG": (encode(Image.fromarray(RGB).convert("CMYK"), "JPEG"), False),
    "turned JPEG": (encode(turned(), "JPEG", exif=exif(6)), False),
}


@pytest.mark.parametrize("kind", LOSSY)
def test_jpegs_are_kept_as_they_are_where_tensorflow_reads_them_upright(kind):
    data, kept = LOSSY[kind]
    encoded, pixels = files.decode_image(data)
    assert (encoded == data) == kept
    assert pixels.shape == RGB.shape
    np.testing.assert_array_equal(decoded(encoded), pixels)
    assert files.is_turned(data) == (kind == "turned JPEG")


def test_the_first_picture_of_a_phones_mpo_is_read():
    smooth = np.repeat(np.linspace(0, 255, 16, dtype=np.uint8)[:, None], 16, 1)
    data = encode(smooth, "MPO", save_all=True, append_images=[Image.fromarray(255 - smooth)])
    np.testing.assert_allclose(files.decode_image(data)[1][..., 0].astype(int), smooth, atol=8)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("depth", [8, 16])
def test_every_orientation(orientation, kind, depth):
    if depth == 16 and kind == "WEBP":
        return
    stored = RGB[..., 0] if depth == 8 else RGB[..., 0].astype(np.uint16) * 256
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(stored, kind, exif=exif(orientation), **options)
    flipped = {  # EXIF 2.32, 4.6.4: the change that makes the stored picture upright
        1: lambda p: p, 2: np.fliplr, 3: lambda p: np.rot90(p, 2), 4: np.flipud,
        5: np.transpose, 6: lambda p: np.rot90(p, -1), 7: lambda p: np.rot90(p, 2).T, 8: np.rot90,
    }  # fmt: skip
    encoded, pixels = files.decode_image(data)
    np.testing.assert_array_equal(pixels[..., 0], flipped[orientation](RGB[..., 0]))
    np.testing.assert_array_equal(decoded(encoded), pixels)
    ranged = files.decode_image(data, "0,65280")[1]  # 255 * 256: the values of 16 bits as those of 8
    np.testing.assert_array_equal(ranged, pixels)


def test_a_turned_16_bit_rgb_png():
    data = cv2_encode(np.rot90(DEEP).copy(), ".png")
    chunk = b"eXIf" + exif(6).tobytes()[6:]
    data = data[:33] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]
    encoded, pixels = files.decode_image(data)
    np.testing.assert_array_equal(pixels, DEEP >> 8)
    np.testing.assert_array_equal(decoded(encoded), pixels)


@pytest.mark.parametrize(
    ("kind", "what"), [("TIFF", "pages"), ("GIF", "frames"), ("WEBP", "frames"), ("PNG", "frames")]
)
def test_several_pictures_in_a_file_are_refused(kind, what):
    pages = [Image.fromarray(np.roll(RGB, i, 0)) for i in range(3)]
    data = encode(pages[0], kind, save_all=True, append_images=pages[1:])
    with pytest.raises(ValueError, match=rf"Received: 3 {what}\. Save each as a file of its own"):
        files.decode_image(data)


def test_a_smaller_copy_in_a_tiff_is_no_page_of_its_own():
    """As in the pyramids of GeoTIFF: bit 0 of the tag NewSubfileType (TIFF 6.0) marks it."""
    file = io.BytesIO()
    small = Image.fromarray(RGB[::2, ::2].copy())
    small.encoderinfo = {"tiffinfo": {254: 1}}
    Image.fromarray(RGB).save(file, "TIFF", save_all=True, append_images=[small])
    np.testing.assert_array_equal(files.decode_image(file.getvalue())[1], RGB)


def test_twelve_bits_are_scaled_from_twelve_bits():
    # Two pixels of 12 bits, 0x123 and 0xFED, in three bytes: 0x12 3F ED. Their high 8 bits are 0x12 and 0xFE.
    tags = [(256, 2), (257, 1), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1), (279, 3)]
    table = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    data = b"II*\0" + struct.pack("<I", 12) + b"\x12\x3f\xed\0" + table + bytes(4)
    picture = images.look(data)
    assert picture.pixels[..., 0].tolist() == [[0x12, 0xFE]]
    assert picture.range == images.Range(0x123, 0xFED, 0x123, 12)
    assert images.look(data, "0,4095").pixels[..., 0].tolist() == [[18, 254]]  # 291 / 4095 * 255 = 18.1, 253.6


@pytest.mark.parametrize("end", [".png", ".tif"])
@pytest.mark.parametrize("bands", [1, 3])
def test_values_of_deep_images_are_scaled_by_the_range_that_is_asked_for(end, bands):
    values = np.array([[0, 100, 2100, 4100, 60000]], np.uint16)
    # (v - 100) / 4000 * 255, from 0 to 255: 0, 0, 127.5 to the even 128, 255, 255.
    expected = [[0, 0, 128, 255, 255]]
    values = values if bands == 1 else np.stack([values, values * 0, values], -1)
    encoded, pixels = files.decode_image(cv2_encode(values, end), "100,4100")
    assert pixels[..., 0].tolist() == pixels[..., 2].tolist() == expected
    assert pixels[..., 1].tolist() == (expected if bands == 1 else [[0] * 5])
    np.testing.assert_array_equal(decoded(encoded), pixels)


def test_8_bit_images_are_as_they_are_whatever_the_range():
    data = encode(RGB, "PNG")
    assert files.decode_image(data, "0,4095")[0] == data


@pytest.mark.parametrize(
    "values",
    [np.float32([[0.0, 0.25, 1.0]]), np.int32([[0, 50_000, 200_000]]), np.int16([[-4, -3, 0]])],
    ids=["float", "32-bit", "16-bit signed"],
)
def test_other_numbers_need_a_range(values):
    data = cv2_encode(values, ".tif")
    low, high = f"{values.min():g}", f"{values.max():g}"
    with pytest.raises(ValueError, match=rf"from {low} to .*Give --image_range=LOW,HIGH.*\(here {low},"):
        files.decode_image(data)
    pixels = files.decode_image(data, f"{low},{high}")[1]
    assert pixels[0, :, 0].tolist() == [0, 64, 255]  # a quarter of 255 is 63.75
    with pytest.raises(ValueError, match="blank or LOW,HIGH"):
        files.decode_image(data, "5")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_colour_images_of_floats(dtype):
    values = np.stack([np.array([[0, 0.5, 1]])] * 3, -1).astype(dtype)
    values[..., 2] = 0
    pixels = files.decode_image(cv2_encode(values, ".tif"), "0,1")[1]
    assert pixels.tolist() == [[[0, 0, 0], [128, 128, 0], [255, 255, 0]]]
    values[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="no number"):
        files.decode_image(cv2_encode(values, ".tif"), "0,1")


def test_what_is_left_out_is_said():
    rgba = np.dstack([RGB, RGB[..., 0]])
    assert images.look(encode(rgba, "PNG")).left_out == "an alpha channel"
    assert images.look(encode(palette(), "PNG", transparency=1)).left_out == "an alpha channel"
    assert images.look(encode(rgba, "TIFF")).left_out == "a fourth band, alpha or other"
    assert images.look(encode(RGB, "PNG")).left_out == ""
    assert images.look(encode(Image.fromarray(RGB).convert("CMYK"), "JPEG")).left_out == ""


def test_a_tiff_of_more_bands_than_can_be_read_is_refused_by_what_it_holds():
    # 5 bands of 16 bits, 1 x 1: the tag BitsPerSample points to five numbers after the table.
    tags = [(256, 4, 1, 1), (257, 4, 1, 1), (258, 3, 5, 150), (259, 4, 1, 1), (262, 4, 1, 1), (273, 4, 1, 170)]
    tags += [(277, 4, 1, 5), (278, 4, 1, 1), (279, 4, 1, 10)]
    table = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    data = (b"II*\0" + struct.pack("<I", 8) + table).ljust(150, b"\0") + struct.pack("<5H", *[16] * 5)
    data = data.ljust(170, b"\0") + bytes(10)
    with pytest.raises(ValueError, match=r"Received: 5 of 16-bit unsigned numbers\. Save it as a PNG"):
        files.decode_image(data)


RANGES = [
    # 12 bits in 16, all 16 bits, 8 bits in 16, 12 bits and a dead pixel, a narrow band like that of a thermal camera.
    ((0, 4080, 4000, 16), "0,4095", True),
    ((3, 65000, 64000, 16), "", False),
    ((0, 200, 190, 16), "0,255", True),
    ((0, 65535, 4000, 16), "0,4095", True),
    ((30000, 33000, 32900, 16), "30000,33000", True),
    ((0, 4000, 4000, 12), "", False),
]


@pytest.mark.parametrize(("found", "advice", "lost"), RANGES)
def test_what_is_said_of_ranges(found, advice, lost):
    text, said = images.range_text(images.Range(*found))
    assert said == lost
    assert text.startswith(f"{found[3]}-bit images use {found[0]}..{found[1]} of {2 ** found[3] - 1}")
    if lost:
        assert text.endswith(f"give --image_range={advice}")
        assert not images.range_text(images.Range(*found), advice)[1] or found[1] == 65535


def test_what_is_beyond_the_range_asked_for_is_said():
    text, lost = images.range_text(images.Range(0, 5000, 4900, 16), "0,4095")
    assert lost
    assert text == "16-bit images use 0..5000: what is beyond --image_range=0,4095 is clipped"


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"\0\5\x16\7" * 20, "macOS"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIF"),
        (b'{"shapes": []}', "JSON"),
        (b"PK\3\4", "zip"),
        (encode(RGB, "PNG")[:60], "cut off"),
        (encode(np.zeros((99, 99, 3), np.uint8), "JPEG")[:500], "cut off|Input buffer"),
        (b"no picture", "cannot identify image file$"),
    ],
)
def test_the_nearest_cause_is_named(data, cause, tmp_path):
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(files.FAULTS) as error:
        files.read_image(tmp_path / "a.png")
    said = files.reason(error.value)
    assert said.startswith("Expected ")
    assert "Received: " in said
    assert re.search(cause, said)


def test_a_folder_and_an_empty_file_are_named(tmp_path):
    (tmp_path / "dir.png").mkdir()
    (tmp_path / "empty.png").write_bytes(b"")
    for name, cause in (("dir.png", "a folder"), ("empty.png", "an empty file"), ("none.png", "Received: none")):
        with pytest.raises(files.FAULTS) as error:
            files.read_image(tmp_path / name)
        assert cause in files.reason(error.value)


def test_kinds_in_words():
    for data, kind in (
        (encode(RGB, "PNG"), "RGB PNG"),
        (cv2_encode(DEEP, ".png"), "16-bit RGB PNG"),
        (cv2_encode(DEEP[..., 0], ".png"), "16-bit gray PNG"),
        (encode(RGB[..., 0] > 9, "PNG"), "1-bit gray PNG"),
        (encode(palette(), "BMP"), "palette BMP"),
        (cv2_encode(RGB.astype(np.float32), ".tif"), "3 x 32-bit float TIFF"),
        (cv2_encode(RGB[..., 0].astype(np.int16), ".tif"), "16-bit signed gray TIFF"),
    ):
        assert formats.kind(data) == kind


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_damage_of_any_kind_is_a_fault_and_nothing_else(kind):
    """Bytes are changed anywhere: the error is one of FAULTS, and `reason` makes a sentence of it."""
    rng, data, said = np.random.default_rng(0), KINDS[kind][0], []
    for _ in range(40):
        damaged = bytearray(data)
        for at in rng.integers(0, len(damaged), 3):
            damaged[at] = rng.integers(0, 256)
        for read in (images.look, masks.look, files.kind):
            try:
                read(bytes(damaged))
            except files.FAULTS as error:
                said.append(files.reason(error))
    assert said
    assert all(line.startswith("Expected ") and "Received: " in line for line in said)
