"""300 damaged files through preparation and check: each is named, none becomes a record, no stack trace.

The same 300 on every run: tiny files of the kinds that people have, each damaged in one of the ways below. Damage that
a format without checksums cannot show (a changed byte of a BMP or a JPEG) is none of them.
"""

import io
import pathlib
import re
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import input_pipeline
from input_pipeline import checking

pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
ROOT = pathlib.Path(__file__).parents[2]
SHAPE = (24, 32)
DAMAGED, WHOLE = 300, 12
BATCH = 10  # files that one error names


def encode(pixels, kind, **options):
    file = io.BytesIO()
    if kind == "palette":
        image = Image.fromarray(pixels).convert("P")
        image.putdata(pixels.ravel().tolist())
        image.save(file, "PNG", bits=options.get("bits", 8))
    else:
        Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def image_file(i):
    """Noise that no other image has: (bytes, suffix)."""
    pixels = np.random.default_rng(i).integers(0, 256, (*SHAPE, 3), np.uint8)
    kinds = (("PNG", {}), ("JPEG", {}), ("BMP", {}), ("TIFF", {"compression": "tiff_lzw"}), ("PNG", {"optimize": True}))
    kind, options = kinds[i % len(kinds)]
    return encode(pixels, kind, **options), {"PNG": ".png", "JPEG": ".jpg", "BMP": ".bmp", "TIFF": ".tif"}[kind]


def mask_pixels(i):
    return np.random.default_rng((i, 1)).integers(0, 3, SHAPE, np.uint8).repeat(4, 0)[: SHAPE[0]]


def mask_file(i):
    """Ids 0..2: (bytes, suffix)."""
    pixels = mask_pixels(i)
    return (
        (encode(pixels, "PNG"), ".png"),
        (encode(pixels, "palette"), ".png"),
        (encode(pixels.astype(np.uint16), "PNG"), ".png"),
        (encode(pixels, "BMP"), ".bmp"),
        (encode(pixels, "TIFF", compression="tiff_deflate"), ".tif"),
        (encode(pixels, "palette", bits=2), ".png"),
    )[i % 6]


def with_header(png, width, height, depth=None, color=None):
    """A PNG with another size in its header, with the right checksum."""
    old = struct.unpack(">IIBBBBB", png[16:29])
    header = struct.pack(
        ">IIBBBBB", width, height, old[2] if depth is None else depth, old[3] if color is None else color, *old[4:]
    )
    return png[:16] + header + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + png[33:]


def cut(data, rng, i):
    return data[: rng.integers(1, len(data) - 20)]  # the last 12 bytes of a PNG only say that it ends


def cut_at_the_end(data, rng, i):
    return data[: len(data) - 24]


def empty(data, rng, i):
    return b""


def all_zero(data, rng, i):
    return bytes(len(data))


def zeros_within(data, rng, i):
    png = encode(np.random.default_rng(i).integers(0, 3, SHAPE, np.uint8), "PNG")
    return png[:60] + bytes(20) + png[80:]


def wrong_magic(data, rng, i):
    return rng.integers(0, 256, 4, np.uint8).tobytes() + data[4:]


def web_page(data, rng, i):
    return b"<!DOCTYPE html><title>404 Not Found</title>"


def huge(data, rng, i):
    return with_header(encode(mask_pixels(i), "PNG"), *rng.integers(40_000, 2**31 - 1, 2).tolist())


def huge_bmp(data, rng, i):
    bmp = encode(mask_pixels(i), "BMP")
    return bmp[:18] + struct.pack("<ii", 60_000, 60_000) + bmp[26:]


def huge_jpeg(data, rng, i):
    jpeg = encode(mask_pixels(i), "JPEG")
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:at] + struct.pack(">HH", 65_000, 65_000) + jpeg[at + 4 :]


def higher(data, rng, i):
    """The header has more rows than the file: PIL would fill them with 0, which is a class."""
    return with_header(encode(mask_pixels(i), ("PNG", "palette")[i % 2]), SHAPE[1], SHAPE[0] + 6)


def another_depth(data, rng, i):
    return with_header(encode(mask_pixels(i), "PNG"), SHAPE[1], SHAPE[0], depth=16)


def impossible_depth(data, rng, i):
    return with_header(encode(mask_pixels(i), "PNG"), SHAPE[1], SHAPE[0], depth=7)


def checksum(data, rng, i):
    png = bytearray(encode(mask_pixels(i), ("PNG", "palette")[i % 2]))
    png[png.index(b"IDAT") + 4 + rng.integers(2, 12)] ^= 0x55
    return bytes(png)


def bytes_of_another_kind(data, rng, i):
    return [b"GIF89a\x10", b"\x93NUMPY\x01\x00", b"PK\x03\x04", b"\x00" * 3, b"\xff\xd8\xff"][i % 5] + rng.bytes(50)


ANY = (cut, cut_at_the_end, empty, all_zero, wrong_magic, web_page, huge, huge_bmp, huge_jpeg, bytes_of_another_kind)
PIXELS = (zeros_within, higher, another_depth, impossible_depth, checksum)


def mask_of_odd_mode(i):
    pixels = mask_pixels(i)
    noise = np.random.default_rng(i).integers(0, 256, (*SHAPE, 3), np.uint8)
    return (
        lambda: encode(pixels, "JPEG"),
        lambda: encode(pixels.astype(np.float32), "TIFF"),
        lambda: encode(noise, "WEBP"),
        lambda: encode(pixels, "GIF"),
        lambda: encode(noise, "PNG"),
        lambda: cmyk(noise),
        lambda: encode(pixels + np.uint8(200), "PNG"),
        lambda: encode(pixels.astype(np.uint16) * 256 + 256, "PNG"),
        lambda: encode(pixels[:-1], "PNG"),
        lambda: encode(pixels.T.copy(), "palette"),
    )[i % 10]()


def cmyk(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).convert("CMYK").save(file, "TIFF")
    return file.getvalue()


def image_of_odd_mode(i):
    pixels = np.random.default_rng(i).integers(0, 256, SHAPE)
    return (
        lambda: encode(pixels.astype(np.float32), "TIFF"),
        lambda: encode(pixels.astype(np.int32), "TIFF"),
        lambda: encode(pixels[:5].astype(np.uint8), "PNG"),
    )[i % 3]()


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """(the folder, [damaged pairs as (name, files; the error must name one of them)])."""
    root, rng, damaged = tmp_path_factory.mktemp("fuzz") / "data", np.random.default_rng(0), []
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for i in range(DAMAGED + WHOLE):
        (image, image_end), (mask, mask_end) = image_file(i), mask_file(i)
        if i < DAMAGED:
            kind, which = i % 25, i // 25  # 12 files of each of 25 kinds
            suspects = None
            if kind < len(ANY):
                image, suspects = ANY[kind](image, rng, which), "image"
            elif kind < 2 * len(ANY) - 4:
                mask, suspects = ANY[kind - len(ANY)](mask, rng, which), "mask"
            elif kind < 2 * len(ANY) - 4 + len(PIXELS):
                damage = PIXELS[kind - 2 * len(ANY) + 4]
                if which % 3:
                    mask, suspects = damage(mask, rng, which), "mask"
                else:  # the name says what it may be, the first bytes decide what it is
                    image, suspects = damage(image, rng, which), "image"
            elif kind == 21:
                image, suspects = image_of_odd_mode(which), "either" if which % 3 == 2 else "image"
            elif kind == 22:
                image, mask, suspects = mask, image, "either"
            else:
                mask, suspects = mask_of_odd_mode(which + 12 * (kind == 24)), "mask"
            places = {"image": [root / f"images/{i}{image_end}"], "mask": [root / f"masks/{i}{mask_end}"]}
            damaged.append((i, places.get(suspects) or places["image"] + places["mask"]))
        (root / f"images/{i}{image_end}").write_bytes(image)
        (root / f"masks/{i}{mask_end}").write_bytes(mask)
    assert len(damaged) == DAMAGED
    (root / "classes.csv").write_text("id,name\n0,a\n1,b\n2,c\n")
    return root, damaged


def test_preparation_stops_and_names_each(tree, tmp_path):
    root, damaged = tree
    for start in range(0, DAMAGED, BATCH):
        batch = damaged[start : start + BATCH]
        (root / "train.txt").write_text("".join(f"{i}\n" for i, _ in batch))
        with pytest.raises(ValueError, match=f"{len(batch)} of {len(batch)} with an error") as error:
            input_pipeline.prepare("folder", str(root), str(tmp_path))
        lines = str(error.value).splitlines()[1:]
        for (_, suspects), line in zip(batch, lines, strict=True):
            assert line.strip().startswith(tuple(f"{path}: Expected " for path in suspects))
            assert "Received: " in line
            assert "object at 0x" not in line
    assert not list(tmp_path.rglob("*tfrecord*")), "nothing that was written is left"


def test_preparation_leaves_out_each_and_writes_no_wrong_record(tree, tmp_path):
    root, damaged = tree
    (root / "train.txt").unlink(missing_ok=True)
    prepared = input_pipeline.prepare("folder(val_fraction=0.0)", str(root), str(tmp_path), skip_bad=True)
    named = (prepared.directory / "skipped.txt").read_text().splitlines()
    assert len(named) == DAMAGED
    for _, suspects in damaged:
        assert any(line.startswith(tuple(f"train\t{path}: " for path in suspects)) for line in named)
    assert prepared.splits == {"train": WHOLE}
    for example in prepared.encoded("train").map(input_pipeline.decode):
        i = int(example["id"].numpy())
        data, end = image_file(i)
        truth = tf.io.decode_jpeg(data) if end == ".jpg" else np.asarray(Image.open(io.BytesIO(data)))
        np.testing.assert_array_equal(example["image"], truth)
        np.testing.assert_array_equal(example["label"], mask_pixels(i))


def test_check_names_each(tree):
    root, damaged = tree
    (root / "train.txt").unlink(missing_ok=True)
    report = checking.check("folder(val_fraction=0.0)", str(root))
    named = report.faults + report.outside
    for _, suspects in damaged:
        assert any(line.startswith(tuple(str(path) for path in suspects)) for line in named), suspects
    whole = {str(path) for path in root.glob("*/*") if path.stem.isdigit() and int(path.stem) >= DAMAGED}
    assert not [line for line in named if re.split(": | ", line)[0] in whole]


def test_no_stack_trace_on_the_command_line(tree, tmp_path):
    """`main.py` makes one line of preparation's ValueError (tests/test_main.py); check ends by its exit status."""
    root, damaged = tree
    (root / "train.txt").write_text("".join(f"{i}\n" for i, _ in damaged))
    command = [
        sys.executable,
        "main.py",
        "--mode=check",
        "--dataset=folder",
        f"--data_dir={root}",
        f"--output_dir={tmp_path}",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert str(damaged[0][1][0]) in done.stdout
    assert f"Report: {tmp_path / 'check_folder.txt'}" in done.stdout
