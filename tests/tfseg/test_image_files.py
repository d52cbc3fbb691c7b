"""Pixels at preparation == in the export, for every kind of image file; or the graph refuses the file with a sentence."""

import io
import struct

import cv2
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, PngImagePlugin

from input_pipeline.source import files
from tfseg import image_files

WIDTH, HEIGHT = 47, 33
# Values of tag 0x0112 (EXIF 2.3, TIFF 6.0) and how the upright image was changed; the turn of the tag undoes this.
UNDONE = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def smooth(mode="RGB"):
    few = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
    image = Image.fromarray(few).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    if mode == "RGBA":
        image.putalpha(image.convert("L"))
    return image.convert(mode)


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def tiff(order, kind, value, count=1, more=()):
    """EXIF with the tags `more` and the orientation as `kind` (3: SHORT, 4: LONG), in one byte order."""
    tags = [
        *more,
        struct.pack(f"{order}HHI", 0x0112, kind, count) + struct.pack(f"{order}{'H2x' if kind == 3 else 'I'}", value),
    ]
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    return b"Exif\0\0" + head + struct.pack(f"{order}H", len(tags)) + b"".join(tags) + b"\0\0\0\0"


@pytest.fixture(scope="module")
def decode():
    return tf.function(image_files.decode, input_signature=[tf.TensorSpec([], tf.string)])


def check(decode, data, size=(HEIGHT, WIDTH)):
    pixels = files.decode_image(data)[1]
    assert pixels.shape == (*size, 3)
    np.testing.assert_array_equal(decode(data), pixels)
    return pixels


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        *[("PNG", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")],
        ("PNG", "P", {"bits": 4}),
        ("PNG", "P", {"transparency": 3}),
        ("PNG", "RGB", {"transparency": (0, 0, 0)}),
        *[("JPEG", mode, {"quality": q}) for mode in ("L", "RGB") for q in (30, 95)],
        ("JPEG", "RGB", {"progressive": True, "subsampling": 2}),
        *[("BMP", mode, {}) for mode in ("L", "P", "RGB", "RGBA")],
        *[("WEBP", mode, {"lossless": lossless}) for mode in ("RGB", "RGBA") for lossless in (True, False)],
        *[("GIF", mode, {}) for mode in ("1", "L", "P", "RGB")],
        ("MPO", "RGB", {"save_all": True, "append_images": [smooth()]}),
    ],
)
def test_pixels_are_those_of_preparation(decode, kind, mode, options):
    check(decode, encoded(smooth(mode), kind, **options))


def test_16_bits(decode):
    deep = np.random.default_rng(0).integers(0, 65536, (HEIGHT, WIDTH, 3), np.uint16)
    for image in (deep, deep[..., 0]):
        data = cv2.imencode(".png", image)[1].tobytes()
        pixels = check(decode, data)
        np.testing.assert_array_equal(pixels[..., 0], (deep[..., 2] if image.ndim == 3 else deep[..., 0]) >> 8)
        with pytest.raises(tf.errors.InvalidArgumentError, match="--image_range"):
            image_files.decode(data, "0,4095")
    image_files.decode(encoded(smooth(), "PNG"), "0,4095")


def test_bmp_from_the_top_and_of_few_colours(decode):
    data = bytearray(encoded(smooth(), "BMP"))
    upright = check(decode, bytes(data))
    data[22:26] = struct.pack("<i", -HEIGHT)
    np.testing.assert_array_equal(check(decode, bytes(data)), upright[::-1])
    check(decode, encoded(smooth().quantize(16), "BMP"))


@pytest.mark.parametrize("orientation", UNDONE)
@pytest.mark.parametrize(("kind", "mode"), [("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGB"), ("WEBP", "RGB")])
def test_images_are_turned_as_their_exif_says(decode, orientation, kind, mode):
    image = smooth(mode)
    how = UNDONE[orientation]
    lossless = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(image if how is None else image.transpose(how), kind, exif=exif(orientation), **lossless)
    pixels = check(decode, data)
    if kind != "JPEG":
        np.testing.assert_array_equal(pixels, image)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", [3, 4])
def test_exif_in_either_byte_order(decode, order, kind):
    software = struct.pack(f"{order}HHI4s", 0x0100, 4, 1, b"\0\0\0\0")  # another tag before it
    data = encoded(smooth(), "JPEG", exif=tiff(order, kind, 6, more=[software]))
    check(decode, data, (WIDTH, HEIGHT))
    # Behind another segment, and after bytes 0xFF that fill up.
    comment = b"\xff\xfe" + struct.pack(">H", 1000) + b"\xff\xe1" * 499
    check(decode, data[:2] + comment + b"\xff\xff" + data[2:], (WIDTH, HEIGHT))


def test_xmp_counts_only_where_exif_is_silent(decode):
    xmp = b'<rdf:Description tiff:Orientation="6"/>'
    check(decode, encoded(smooth(), "JPEG", xmp=xmp, exif=exif(1)))
    check(decode, encoded(smooth(), "JPEG", xmp=xmp.replace(b"6", b"1")))


XMP = b"<x><tiff:Orientation>8</tiff:Orientation></x>"
PROFILE = PngImagePlugin.PngInfo()
PROFILE.add_text("Raw profile type exif", "\nexif\n 10\n" + exif(6).tobytes().hex(), zip=True)
FRAMES = {"save_all": True, "append_images": [smooth().transpose(Image.Transpose.ROTATE_180)]}
OPAQUE = np.asarray(smooth("P"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "a JPEG, PNG, BMP, GIF or WebP file"),
        (b"no picture", "a JPEG, PNG, BMP, GIF or WebP file"),
        (encoded(smooth(), "TIFF"), "a JPEG, PNG, BMP, GIF or WebP file"),
        (encoded(smooth("CMYK"), "JPEG"), "CMYK"),
        (encoded(smooth("1"), "BMP"), "a BMP of 8, 24 or 32 bits"),
        (encoded(smooth(), "PNG", **FRAMES), "an animated PNG"),
        (encoded(smooth("L"), "GIF", save_all=True, append_images=[smooth("L").rotate(180)]), "an animated GIF"),
        (encoded(smooth(), "WEBP", **FRAMES), "an animated WebP"),
        (encoded(smooth("P"), "GIF", transparency=int(OPAQUE[0, 0])), "a transparent colour"),
        (encoded(smooth(), "PNG", pnginfo=PROFILE), "a PNG with EXIF as text"),
        (encoded(smooth(), "JPEG", xmp=XMP), "XMP alone"),
        (encoded(smooth(), "WEBP", xmp=XMP), "XMP alone"),
        (encoded(smooth(), "JPEG", exif=b"Exif\0\0neither byte order"), "EXIF that can be read"),
        (encoded(smooth(), "JPEG", exif=tiff("<", 3, 6, count=2)), "one number as the orientation in EXIF"),
    ],
)
def test_what_would_be_read_otherwise_is_refused(decode, data, message):
    for run in (decode, image_files.decode):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            run(tf.constant(data))


def test_a_gif_smaller_than_its_canvas_is_refused(decode):
    data = bytearray(encoded(smooth("P"), "GIF"))
    data[6:10] = struct.pack("<HH", WIDTH + 3, HEIGHT)
    with pytest.raises(tf.errors.InvalidArgumentError, match="fills its canvas"):
        decode(bytes(data))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF", "WEBP"])
@pytest.mark.parametrize("part", [0.05, 0.3, 0.7])
def test_files_that_are_cut_are_errors(decode, kind, part):
    data = encoded(smooth(), kind, exif=exif(6)) if kind in ("JPEG", "PNG", "WEBP") else encoded(smooth(), kind)
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(data[: int(part * len(data))])
