"""MATLAB level 5 files, written here element by element: 8 bytes of code and size, then the data padded to 8 bytes."""

import struct
import zlib

import numpy as np
import pytest

from input_pipeline.source import matlab


def element(code, body):
    return struct.pack("<II", code, len(body)) + body + bytes(-len(body) % 8)


def array(name, values, stored, matlab_class):
    """A matrix: flags (its class), dimensions, name, and the values by columns as type `stored`."""
    flags = element(6, struct.pack("<II", matlab_class, 0))
    shape = element(5, struct.pack("<ii", *values.shape))
    return element(14, flags + shape + element(1, name.encode()) + element(stored, values.tobytes(order="F")))


def small(code, body):
    """An element of at most 4 bytes: its size is in the upper half of its code."""
    return struct.pack("<HH", code, len(body)) + body + bytes(4 - len(body))


def write(path, *elements, compress=True):
    packed = [zlib.compress(e) for e in elements]
    body = b"".join(struct.pack("<II", 15, len(p)) + p for p in packed) if compress else b"".join(elements)
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + body)
    return path


# A double array (class 6) of small whole numbers is stored as uint8 (2) or uint16 (4).
FIRST = array("first", np.array([[1, 2, 3], [4, 5, 300]], np.uint16), 4, 6)
SECOND = array("second", np.array([[1.5], [-2.0]]), 9, 6)


@pytest.mark.parametrize("compress", [True, False])
def test_arrays_come_by_name_in_their_shape(compress, tmp_path):
    text = array("text", np.array([[104, 105]], np.uint16), 4, 4)  # class 4 is text
    found = matlab.read(write(tmp_path / "a.mat", FIRST, text, SECOND, compress=compress))
    assert found.keys() == {"first", "second"}
    np.testing.assert_array_equal(found["first"], [[1, 2, 3], [4, 5, 300]])
    np.testing.assert_array_equal(found["second"], [[1.5], [-2.0]])


def test_small_elements(tmp_path):
    flags = element(6, struct.pack("<II", 6, 0))
    shape = element(5, struct.pack("<ii", 1, 3))
    matrix = element(14, flags + shape + small(1, b"abc") + small(2, bytes([7, 8, 9])))
    np.testing.assert_array_equal(matlab.read(write(tmp_path / "a.mat", matrix))["abc"], [[7, 8, 9]])


def test_a_structure_is_a_dictionary(tmp_path):
    # Class 2: after the name, the width of the fields' names (a small element), the names of that width, and the fields.
    head = element(6, struct.pack("<II", 2, 0)) + element(5, struct.pack("<ii", 1, 1)) + element(1, b"outer")
    names = small(5, struct.pack("<i", 8)) + element(1, b"ids".ljust(8, b"\0") + b"text".ljust(8, b"\0"))
    fields = array("", np.array([[1, 2], [3, 4]], np.uint8), 2, 9) + array("", np.array([[104]], np.uint16), 4, 4)
    found = matlab.read(write(tmp_path / "a.mat", element(14, head + names + fields)))
    assert found.keys() == {"outer"}
    assert found["outer"].keys() == {"ids"}, "the text is left out"
    np.testing.assert_array_equal(found["outer"]["ids"], [[1, 2], [3, 4]])


def test_other_and_cut_files_are_refused(tmp_path):
    (tmp_path / "text.mat").write_text("no")
    with pytest.raises(ValueError, match=r"level 5 file.*text\.mat"):
        matlab.read(tmp_path / "text.mat")
    whole = write(tmp_path / "cut.mat", FIRST, SECOND).read_bytes()
    for length in (len(whole) - 3, len(whole) - 20, 140):
        (tmp_path / "cut.mat").write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"whole MATLAB level 5 file.*cut\.mat"):
            matlab.read(tmp_path / "cut.mat")
