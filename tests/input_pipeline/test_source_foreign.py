import numpy as np
import pytest

from input_pipeline.source import foreign
from input_pipeline.source.foreign import brush, shapes, tree
from input_pipeline.source.foreign.export import table
from tests.input_pipeline import exports
from tfseg.spec import find, names


def test_a_polygon_covers_the_pixels_whose_centres_it_holds():
    # A triangle 0,0 - 4,0 - 0,4: the centre of column c, row r lies in it if (c + 0.5) + (r + 0.5) < 4.
    region = shapes.polygons([np.array([[0, 0], [4, 0], [0, 4]], float)], (6, 8), 1)
    mask = shapes.paint([region], (6, 8), 0).ids
    rows, columns = np.indices((6, 8))
    np.testing.assert_array_equal(mask, rows + columns + 1 < 4)


def test_polygons_beyond_the_image_are_cut_and_holes_follow_the_even_odd_rule():
    outer, inner = (
        np.array([[-5, -5], [9, -5], [9, 3], [-5, 3]], float),
        np.array([[1, 1], [3, 1], [3, 2], [1, 2]], float),
    )
    drawn = shapes.paint([shapes.polygons([outer, inner], (6, 8), 5)], (6, 8), 0)
    expected = np.zeros((6, 8))
    expected[:3] = 5
    expected[1, 1:3] = 0
    np.testing.assert_array_equal(drawn.ids, expected)
    for away in (20, -20):
        drawn = shapes.paint([shapes.polygons([inner + away], (6, 8), 5)], (6, 8), 0)
        assert drawn.dropped == {shapes.NOTHING: 1}
        assert not drawn.ids.any()


def test_polygons_agree_with_pycocotools_up_to_their_edges():
    mask = pytest.importorskip("pycocotools.mask")
    random, different, covered = np.random.default_rng(0), 0, 0
    for _ in range(50):
        points = random.uniform(-10, 90, (int(random.integers(3, 9)), 2))
        expected = mask.decode(mask.frPyObjects([points.ravel().tolist()], 60, 80))[..., 0].astype(bool)
        found = shapes.paint([shapes.polygons([points], (60, 80), 1)], (60, 80), 0).ids.astype(bool)
        different, covered = different + (found != expected).sum(), covered + expected.sum()
    assert different < 0.02 * covered


def test_compressed_run_lengths_are_those_of_pycocotools():
    mask = pytest.importorskip("pycocotools.mask")
    random = np.random.default_rng(0)
    for share in (0, 0.01, 0.3, 0.9, 1):
        expected = random.uniform(size=(40, 70)) < share
        expected[:, 20:50] = share > 0.1  # long runs take several characters, and differences of both signs
        rle = mask.encode(np.asfortranarray(expected.astype(np.uint8)))
        drawn = shapes.paint([shapes.run_lengths(rle, (40, 70), 1)], (40, 70), 0)
        np.testing.assert_array_equal(drawn.ids, expected)


def test_compressed_run_lengths_by_hand():
    # 42, 2, 4: 42 = 10 + 32 * 1 is the bits 01010 with more, then 00001: characters 48 + 42, 48 + 1; then 48 + 2, 48 + 4.
    drawn = shapes.paint([shapes.run_lengths({"size": [6, 8], "counts": "Z124"}, (6, 8), 1)], (6, 8), 0)
    assert np.argwhere(drawn.ids).tolist() == [[0, 7], [1, 7]]
    # 10, 2, 30, 2, 4: the fourth is written 2 - 2 = 0, the fifth 4 - 30 = -26: bits 00110 with more, then 11111.
    drawn = shapes.paint([shapes.run_lengths({"size": [6, 8], "counts": ":2n00VO"}, (6, 8), 1)], (6, 8), 0)
    assert np.argwhere(drawn.ids).tolist() == [[0, 7], [1, 7], [4, 1], [5, 1]]


def test_regions_are_painted_in_order_or_larger_first():
    large, small = (shapes.Region(np.ones((n, n), bool), i, -1, -1) for n, i in ((4, 1), (2, 2)))
    assert shapes.paint([small, large], (2, 2), 0).ids.tolist() == [[1, 1], [1, 1]]
    assert shapes.paint([small, large], (2, 2), 0, larger_first=True).ids.tolist() == [[2, 1], [1, 1]]


@pytest.mark.parametrize("name", names(foreign.TOOLS))
def test_every_tool_keeps_the_contract(name, tmp_path):
    tool = find(foreign.TOOLS, name)
    assert tool.TITLE
    assert tool.recognises.__doc__
    assert tool.read.__doc__
    exports.image(tmp_path / "images" / "a.png")
    for unrelated in ("package.json", "meta.json", "labels.txt", "data.yaml"):
        exports.write(tmp_path / unrelated, "[]" if unrelated.endswith("json") else "a: 1\n")
    assert not tool.recognises(tree.Tree(tmp_path))


def test_brushes_are_unpacked():
    alpha = np.array([[0, 0, 255], [255, 255, 0]], np.uint8)
    np.testing.assert_array_equal(brush.decode(exports.brush(alpha), (2, 3)), alpha)
    with pytest.raises(ValueError, match="2 x 2"):
        brush.decode(exports.brush(alpha), (2, 2))
    with pytest.raises(ValueError, match="they are cut"):
        brush.decode(exports.brush(alpha)[:12], (2, 3))


def test_a_brushs_header_is_read_bit_by_bit():
    # 4 words; words of 8 bits; sizes of 3, 4, 8 and 16 bits; one run of 3 + 1 words of 255: 1 00 011 11111111.
    bits = f"{4:032b}" + "00111" + "0010" + "0011" + "0111" + "1111" + "1" + "00" + "011" + "11111111"
    packed = [int(bits[i : i + 8].ljust(8, "0"), 2) for i in range(0, len(bits), 8)]
    assert packed[4:7] == [57, 27, 252]
    assert brush.decode(packed, (1, 1)).tolist() == [[255]]


@pytest.mark.parametrize(
    ("rows", "ids", "nothing"),
    [
        ([("b", None, None), ("a", None, None)], {"background": 0, "b": 1, "a": 2}, 0),
        ([("b", None, 7), ("a", None, 3)], {"background": 0, "a": 3, "b": 7}, 0),
        ([("b", None, 0), ("a", None, 3)], {"background": 0, "b": 1, "a": 2}, 0),  # 0 is the background's
        ([("b", None, 1), ("a", None, 300)], {"background": 0, "b": 1, "a": 2}, 0),
        ([("b", None, 1), ("Background", None, 4)], {"b": 1, "Background": 4}, 4),
        ([("__ignore__", None, None), ("b", None, None)], {"background": 0, "b": 1, "ignore": 255}, 0),
        ([("Ignore", None, None), ("b", None, None)], {"background": 0, "ignore": 1, "b": 2}, 0),
    ],
)
def test_ids_of_a_table(rows, ids, nothing):
    found = table(rows)
    assert {c.name: c.raw for c in found.classes} == ids
    assert found.background == nothing


def test_colours_of_a_table_are_distinct_and_no_gray_of_another_class():
    found = table([("a", (9, 9, 9), 1), ("b", (9, 9, 9), 2), ("c", (1, 1, 1), 3), ("d", (3, 3, 3), 4)])
    colors = {c.name: c.color for c in found.classes}
    assert colors["a"] == (9, 9, 9)
    assert len(set(colors.values())) == 5
    assert (1, 1, 1) not in colors.values()
    assert (3, 3, 3) not in colors.values()
    for names_of in ("a", "a "), ("a", "A"), ("", "b"), ("a\nb", "c"):
        with pytest.raises(ValueError, match="Expected classes with names that differ"):
            table([(name, None, None) for name in names_of])
    with pytest.raises(ValueError, match="at least two classes"):
        table([("background", None, None)])


def test_an_image_is_found_by_the_folders_that_agree(tmp_path):
    for name in ("train/a.png", "val/a.png", "other/b.png", "._c.png"):
        exports.write(tmp_path / name, "x")
    (tmp_path / "other" / "loop").symlink_to(tmp_path)
    found = tree.Tree(tmp_path)
    assert found.files == ["other/b.png", "train/a.png", "val/a.png"]
    assert found.image("a.png", "val") == "val/a.png"
    assert found.image("C:\\data\\val\\a.png") == "val/a.png"
    assert found.image("a.png", split="train") == "train/a.png"
    assert found.image("../other/b.png", "train") == "other/b.png"
    exports.write(tmp_path / "d.heic", "x")
    with pytest.raises(ValueError, match=r"Received: d\.heic"):
        tree.Tree(tmp_path).image("d.heic")
    with pytest.raises(ValueError, match=r"Received: train/a\.png, val/a\.png"):
        found.image("a.png")
    with pytest.raises(FileNotFoundError, match=r"the image z\.png"):
        found.image("z.png")


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("valid/a.png", "val"),
        ("x/train2017/a.png", "train"),
        ("train.png", ""),
        ("trainings/a.png", ""),
        ("Test/a.png", "test"),
    ],
)
def test_folders_name_splits(path, split):
    assert tree.split_of(path) == split
