"""Reading masks, and deciding from palette, levels and class table whether their values are ids or colours."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from input_pipeline.source import files, masks
from input_pipeline.source.evidence import ConflictError, read_by
from input_pipeline.source.masks import Mask

IDS = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
GROUND, HOUSE, WATER = (40, 40, 40), (220, 60, 60), (60, 60, 220)
VOC = [(0, 0, 0), (128, 0, 0), (0, 128, 0)]  # the palette of PASCAL VOC, which many tools write for any data


def encode(pixels, kind, **options):
    file = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(file, kind, **options)
    return file.getvalue()


def palette(indices, colors):
    image = Image.frombytes("P", indices.shape[::-1], np.ascontiguousarray(indices).tobytes())
    image.putpalette([value for color in colors for value in color])
    return image


def lookups(*rows):
    """(by id, by colour, implied ids) of rows (raw id, colour), whose train ids are their places; 255 is implied."""
    ids = {raw: i for i, (raw, _) in enumerate(rows)}
    implied = () if 255 in ids else (255,)
    colors = {int(files.color_code(color)): i for i, (_, color) in enumerate(rows)}
    return files.Lookup(ids | dict.fromkeys(implied, 255)), files.Lookup(colors), implied


TABLE = lookups((0, GROUND), (1, HOUSE), (2, WATER))


def labels(mask, table=TABLE):
    reading = read_by(mask, *table)
    return reading.lookup(reading.codes)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [1, 0, 2]])
def test_a_palette_in_the_tables_colours_is_read_by_them_in_any_order(kind, order):
    """Generator 01 of ../shared/faults: `quantize`, optipng and ImageMagick number the colours in any order."""
    colors = np.array([GROUND, HOUSE, WATER])
    indices = np.argsort(order).astype(np.uint8)[IDS]  # index order[i] is class i's
    mask = masks.look(encode(palette(indices, colors[order]), kind))
    np.testing.assert_array_equal(colors[order][indices], colors[IDS])
    np.testing.assert_array_equal(labels(mask), IDS)
    # Without colours in the table, only the indices can be used.
    reading = read_by(mask, TABLE[0], None)
    np.testing.assert_array_equal(reading.codes, indices)


def test_quantised_colours_keep_their_classes():
    colors = np.array([GROUND, HOUSE, WATER], np.uint8)
    image = Image.fromarray(np.repeat(np.repeat(colors[IDS], 20, 0), 20, 1)).quantize(3, dither=Image.Dither.NONE)
    np.testing.assert_array_equal(labels(masks.look(encode(image, "PNG"))), np.repeat(np.repeat(IDS, 20, 0), 20, 1))


@pytest.mark.parametrize("colors", [VOC, [(i, i, i) for i in range(256)], [(9, 9, 200), (5, 130, 5), (140, 7, 7)]])
def test_a_palette_that_has_nothing_to_do_with_the_table_is_read_by_index(colors):
    np.testing.assert_array_equal(labels(masks.look(encode(palette(IDS, colors), "PNG"))), IDS)


def test_a_palette_of_other_colours_whose_first_is_black_is_read_by_index():
    """Black may be a colour of the table: it begins most palettes, so it proves nothing."""
    table = lookups((0, GROUND), (1, HOUSE), (2, WATER), (255, (0, 0, 0)))
    np.testing.assert_array_equal(labels(masks.look(encode(palette(IDS, VOC), "PNG")), table), IDS)
    # A mask of ground only, but with the whole palette.
    assert (labels(Mask(IDS * 0, np.array(VOC, np.uint8)), table) == 0).all()
    # With all the table's colours in the palette, black is the table's too.
    assert (labels(Mask(IDS * 0, np.array([(0, 0, 0), HOUSE], np.uint8)), table) == 3).all()


def test_an_id_without_a_colour_in_the_table_goes_with_indices():
    colors = np.zeros((256, 3), np.uint8)
    colors[:3], colors[255] = [GROUND, HOUSE, WATER], (224, 224, 192)  # VOC's border, 255, of no row
    ids = np.array([[0, 1, 2, 255]], np.uint8)
    np.testing.assert_array_equal(labels(Mask(ids, colors)), ids)


@pytest.mark.parametrize(
    ("colors", "message"),
    [
        (
            [GROUND, WATER, (1, 2, 3)],
            r"index 1 is \(60, 60, 220\), a colour of the table; index 2 is \(1, 2, 3\), no col",
        ),
        ([WATER, (0, 128, 0), (128, 0, 0)], r"index 0 is \(60, 60, 220\), a colour"),
        # All colours are nearly those of the table, in another order, for example from a JPEG.
        ([(221, 61, 58), (41, 40, 39), (60, 59, 222)], r"index 0 is \(221, 61, 58\), no colour"),
    ],
)
def test_a_palette_that_conflicts_with_its_indices_is_refused(colors, message):
    with pytest.raises(ConflictError, match=message):
        labels(masks.look(encode(palette(IDS, colors), "PNG")))


def test_a_palette_beside_a_table_of_colours_only():
    by_color = TABLE[1]
    mask = masks.look(encode(palette(IDS, [WATER, GROUND, HOUSE]), "PNG"))
    assert labels(mask, (None, by_color)).tolist() == [[2, 0, 1], [1, 0, 2]]
    with pytest.raises(ValueError, match="Expected an RGB mask"):
        labels(masks.look(encode(palette(IDS, VOC), "PNG")), (None, by_color))
    with pytest.raises(ValueError, match="Expected an RGB mask"):
        labels(Mask(IDS), (None, by_color))


# ground (40, 40, 40), house (90, 90, 90), water (60, 60, 220): two of the table's colours are grays.
GRAYS = lookups((0, GROUND), (1, (90, 90, 90)), (2, WATER))


def test_gray_levels_are_ids_unless_they_are_the_tables_grays():
    np.testing.assert_array_equal(labels(Mask(IDS), GRAYS), IDS)
    assert labels(Mask(np.array([[40, 90, 40]], np.uint8)), GRAYS).tolist() == [[0, 1, 0]]
    assert labels(Mask(np.array([[40, 90, 40]], np.uint16)), GRAYS).tolist() == [[0, 1, 0]]
    assert read_by(Mask(np.array([[40]], np.uint8)), *GRAYS).how == "gray colours"
    assert read_by(Mask(IDS), *GRAYS).how == "gray ids"
    # Without colours in the table levels are ids, unknown ones.
    with pytest.raises(files.UnknownIdsError):
        labels(Mask(np.array([[40]], np.uint8)), (GRAYS[0], None))


def test_levels_that_are_ids_and_grays_of_other_classes_are_refused():
    table = lookups((0, (1, 1, 1)), (1, (2, 2, 2)), (2, (0, 0, 0)))
    with pytest.raises(ConflictError, match=r"levels 0, 1, 2, which are both"):
        labels(Mask(IDS), table)
    assert labels(Mask(IDS * 0), table).max() == 0, "black alone is the id 0"
    same = lookups((0, (0, 0, 0)), (1, (1, 1, 1)), (2, (2, 2, 2)))
    np.testing.assert_array_equal(labels(Mask(IDS), same), IDS)


def test_black_and_white():
    """White is the object's colour; the table has no row that says that 255 is ignored."""
    table = lookups((0, (0, 0, 0)), (1, (255, 255, 255)))
    seen = np.array([[0, 255, 0]], np.uint8)
    for pixels in (seen, seen > 0, np.stack([seen] * 3, -1)):
        assert labels(masks.look(encode(pixels, "PNG")), table).tolist() == [[0, 1, 0]]
    assert labels(Mask(seen // 255), table).tolist() == [[0, 1, 0]], "ids"
    assert labels(Mask(np.array([[0, 1, 255]], np.uint8)), table).tolist() == [[0, 1, 255]], "ids with a border"
    explicit = lookups((0, (0, 0, 0)), (1, (255, 255, 255)), (255, (9, 9, 9)))
    with pytest.raises(ConflictError):
        labels(Mask(seen), explicit)


def deep(pixels, end=".png"):
    return cv2.imencode(end, pixels[..., ::-1])[1].tobytes()


@pytest.mark.parametrize("end", [".png", ".tif"])
def test_16_bit_colour_masks(end):
    """Generator 04 of ../shared/faults: Pillow halves these values, so every id below 256 becomes 0."""
    ids = np.array([[0, 1, 300]], np.uint16)
    equal = np.repeat(ids[..., None], 3, 2)
    mask = masks.look(deep(equal, end))
    table = files.Lookup({0: 0, 1: 1, 300: 2})
    assert labels(mask, (table, None)).tolist() == [[0, 1, 2]]
    assert labels(masks.look(deep(equal, end)), (*lookups((0, HOUSE), (1, WATER), (300, GROUND))[:2],)).tolist() == [
        [0, 1, 2]
    ]
    colors = np.array([[WATER, GROUND, HOUSE]], np.uint16)
    for stored in (colors, colors * 257):
        assert labels(masks.look(deep(stored, end))).tolist() == [[2, 0, 1]]
    with pytest.raises(ConflictError, match="16 bits a channel"):
        labels(masks.look(deep(colors * 256, end)))
    with pytest.raises(ConflictError, match="16 bits a channel"):
        labels(masks.look(deep(colors, end)), (table, None))


def test_16_bit_masks_with_alpha():
    ids = np.array([[0, 1, 300]], np.uint16)
    mask = np.dstack([ids, ids, ids, ids * 0 + 65535])
    data = cv2.imencode(".png", mask)[1].tobytes()
    assert labels(masks.look(data), (files.Lookup({0: 0, 1: 1, 300: 2}), None)).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_gray_masks_are_exact(kind):
    ids = np.array([[0, 1, 300, 65535]], np.uint16)
    np.testing.assert_array_equal(files.decode_mask(encode(ids, kind)), ids)


def test_ids_below_zero():
    """Generator 38 of ../shared/faults: rasters mark missing data by -1."""
    ids = np.array([[-1, 0, 2]])
    lookup = files.Lookup({-1: 255, 0: 0, 1: 1, 2: 2})
    for dtype in (np.int16, np.int32):
        data = cv2.imencode(".tif", ids.astype(dtype))[1].tobytes()
        assert lookup(files.decode_mask(data)).tolist() == [[255, 0, 2]]
    with pytest.raises(files.UnknownIdsError) as error:
        lookup(np.array([[-2, -1, 3, 2**31, -(2**40)]], np.int64))
    assert error.value.ids.tolist() == [-(2**40), -2, 3, 2**31]
    without = files.Lookup({0: 0, 1: 1})
    with pytest.raises(files.UnknownIdsError) as error:
        without(ids)
    assert error.value.ids.tolist() == [-1, 2]
    with pytest.raises(files.UnknownIdsError):
        lookup(np.array([2**32 - 1], np.uint32)), "no -1"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (encode(Image.fromarray(IDS), "TIFF", save_all=True, append_images=[Image.fromarray(IDS)] * 2), "3 pages"),
        (encode(Image.fromarray(IDS), "PNG", save_all=True, append_images=[Image.fromarray(IDS + 1)]), "2 frames"),
        (encode(IDS, "GIF"), "GIF masks are not read. Save them as PNG"),
        (encode(IDS, "JPEG"), "lossy formats such as JPEG change ids"),
        (encode(IDS.astype(np.float32), "TIFF"), "32-bit float numbers"),
        (cv2.imencode(".tif", IDS.astype(np.float64))[1].tobytes(), "64-bit float numbers"),
    ],
)
def test_masks_that_are_refused(data, message):
    with pytest.raises(ValueError, match=message):
        masks.look(data)


def test_a_mask_that_exif_turns_is_refused():
    exif = Image.Exif()
    exif[0x0112] = 6
    with pytest.raises(ValueError, match="EXIF orientation 6"):
        masks.look(encode(IDS, "PNG", exif=exif))


def test_4_bit_tiffs_keep_their_ids():
    # 3 x 1 pixels of 4 bits: 1, 2, 10 in two bytes, 0x12 0xA0; PIL shows them as 17, 34, 170.
    tags = [(256, 3), (257, 1), (258, 4), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1), (279, 2)]
    import struct

    table = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    data = b"II*\0" + struct.pack("<I", 10) + b"\x12\xa0" + table + bytes(4)
    assert files.decode_mask(data).tolist() == [[1, 2, 10]]
