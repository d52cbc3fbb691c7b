"""Every way of reading through a map gives the same result as a loop over pixels."""

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline import sampling

FILL = (10.0, 20.0, 30.0)


def image(height=30, width=40, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def smooth(height, width):
    """A picture that JPEG keeps well: different slopes in each channel."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)], -1).astype(np.uint8)


def loop(pixels, coefficients, crop):
    """(image, whether inside): bilinear at each place, the outermost pixels are repeated for half a pixel, beyond that FILL."""
    a, (height, width) = np.asarray(coefficients, np.float64), pixels.shape[:2]
    found, inside = np.zeros((*crop, 3)), np.zeros(crop, bool)
    for v in range(crop[0]):
        for u in range(crop[1]):
            w = a[6] * u + a[7] * v + 1
            x, y = (a[0] * u + a[1] * v + a[2]) / w, (a[3] * u + a[4] * v + a[5]) / w
            inside[v, u] = -0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5
            x0, y0 = int(np.floor(x)), int(np.floor(y))
            columns, rows = (np.clip([n, n + 1], 0, m - 1) for n, m in ((x0, width), (y0, height)))
            patch = pixels[np.ix_(rows, columns)].astype(np.float64)
            mixed = patch[:, 0] * (1 - x + x0) + patch[:, 1] * (x - x0)
            found[v, u] = mixed[0] * (1 - y + y0) + mixed[1] * (y - y0) if inside[v, u] else FILL
    return found, inside


def read(pixels, coefficients, crop, most, displacement=None):
    size = tf.constant(pixels.shape[:2])
    used = tf.constant(coefficients, tf.float32)
    used = used if most == sampling.DISPLACE else sampling.snap(used, size, crop, most)
    got = sampling.bilinear(tf.constant(pixels), used, size, crop, FILL, most, displacement)
    ones = sampling.nearest(tf.ones(pixels.shape[:2], tf.uint8), used, crop, 255, most, displacement)
    return got.numpy(), ones.numpy(), used.numpy()


MAPS = {
    "slice": [1.0, 0, 5, 0, 1, 3, 0, 0],
    "mirrored slice": [-1.0, 0, 30, 0, -1, 25, 0, 0],
    "larger than the image": [1.0, 0, -7, 0, 1, -3, 0, 0],
    "zoomed in": [0.6, 0, 4.3, 0, 0.6, 8.8, 0, 0],
    "mirrored and zoomed in": [-0.6, 0, 30.2, 0, 0.55, 7.1, 0, 0],
    "zoomed out beyond the edges": [1.7, 0, -6.2, 0, 1.9, -4.4, 0, 0],
    "mirrored and zoomed out beyond an edge": [-1.3, 0, 45.0, 0, 1.1, 9.0, 0, 0],
    "zoomed out to a third": [3.0, 0, -20.0, 0, 3.0, -15.0, 0, 0],
}


@pytest.mark.parametrize("name", MAPS)
def test_a_map_without_rotation_equals_the_loop(name):
    pixels, crop = image(), (18, 24)
    got, ones, used = read(pixels, MAPS[name], crop, sampling.RESIZE)
    expected, inside = loop(pixels, used, crop)
    np.testing.assert_array_equal(ones == 1, inside)
    np.testing.assert_array_equal(got[~inside], np.tile(np.float32(FILL), (np.sum(~inside), 1)))
    # The window's edge pixels have no neighbour outside; all others equal those of the loop.
    rows, columns = np.nonzero(inside)
    inner = np.s_[rows.min() + 1 : rows.max(), columns.min() + 1 : columns.max()]
    np.testing.assert_allclose(got[inner], expected[inner], atol=0.02)
    assert np.abs(np.array(MAPS[name])[[2, 5]] - used[[2, 5]]).max() <= 1.5
    assert (
        np.abs(used[[0, 4]] / np.array(MAPS[name])[[0, 4]] - 1).max() <= 0.1
    )  # windows of about 15 pixels: one of them


def test_snapping_moves_a_place_by_at_most_a_pixel_and_nothing_where_windows_are_whole():
    random = np.random.default_rng(1)
    for _ in range(50):
        zoom, crop, size = random.uniform(0.6, 2), (60, 80), (200, 300)
        start = random.uniform(0, [(n * zoom - c) / zoom for n, c in zip(size, crop, strict=True)])
        drawn = [1 / zoom, 0, start[1] + 0.5 / zoom - 0.5, 0, 1 / zoom, start[0] + 0.5 / zoom - 0.5, 0, 0]
        used = sampling.snap(tf.constant(drawn, tf.float32), tf.constant(size), crop, sampling.RESIZE).numpy()
        for axis, length in ((0, crop[1]), (3, crop[0])):
            slope = axis if axis == 0 else 4
            for index in (0, length - 1):
                moved = (used[slope] - drawn[slope]) * index + used[axis + 2] - drawn[axis + 2]
                assert abs(moved) <= 1.01
        again = sampling.snap(tf.constant(used), tf.constant(size), crop, sampling.RESIZE).numpy()
        np.testing.assert_allclose(again, used, atol=1e-4)
    whole = np.array([1.0, 0, 17, 0, 1, 30, 0, 0], np.float32)
    np.testing.assert_array_equal(sampling.snap(tf.constant(whole), tf.constant(size), crop, sampling.RESIZE), whole)


@pytest.mark.parametrize("most", [sampling.WARP, sampling.DISPLACE])
@pytest.mark.parametrize(
    "coefficients",
    [
        [0.8, 0.2, 6.0, -0.2, 0.8, 8.0, 0, 0],
        [0.8, 0.2, -3.0, -0.2, 0.8, 17.0, 0, 0],
        [0.9, 0.1, 5.0, 0.05, 0.8, 4.0, 0.004, 0.006],
    ],
    ids=["inside", "beyond the edges", "perspective"],
)
def test_the_general_ways_equal_the_loop(coefficients, most):
    pixels, crop = image(), (18, 24)
    displacement = tf.zeros([*crop, 2]) if most == sampling.DISPLACE else None
    got, ones, used = read(pixels, coefficients, crop, most, displacement)
    np.testing.assert_array_equal(used, np.float32(coefficients))
    expected, inside = loop(pixels, used, crop)
    np.testing.assert_array_equal(ones == 1, inside)
    np.testing.assert_allclose(got, expected, atol=0.02)


def test_a_displacement_is_added_to_the_places_in_the_result():
    # All pixels of the result are moved by (3, 2), and then the map zooms to a half: the place moves by (6, 4).
    pixels, crop = image(), (6, 8)
    got, _, _ = read(pixels, [2.0, 0, 1, 0, 2, 1, 0, 0], crop, sampling.DISPLACE, tf.tile([[[3.0, 2.0]]], [6, 8, 1]))
    np.testing.assert_array_equal(got, pixels[5:17:2, 7:23:2])


def test_a_general_map_that_turns_nothing_is_read_as_a_window():
    pixels, crop = image(), (18, 24)
    turned, _, used = read(pixels, MAPS["zoomed in"], crop, sampling.WARP)
    plain, _, expected = read(pixels, MAPS["zoomed in"], crop, sampling.RESIZE)
    np.testing.assert_array_equal(turned, plain)
    np.testing.assert_array_equal(used, expected)


def test_labels_are_the_nearest_pixel_on_the_half_pixel_grid():
    # Six pixels to four: centres at (i + 0.5) * 1.5 = 0.75, 2.25, 3.75, 5.25, in pixels 0, 2, 3, 5. Two rows to two.
    label = np.arange(12, dtype=np.uint8).reshape(2, 6)
    coefficients = tf.constant([1.5, 0, 0.25, 0, 1, 0, 0, 0])
    got = sampling.nearest(tf.constant(label), coefficients, (2, 4), 255, sampling.RESIZE)
    np.testing.assert_array_equal(got, [[0, 2, 3, 5], [6, 8, 9, 11]])
    # Mirrored, and one row and column further out: x = 5.25 - 1.5 (u - 1), u = 1 shows column 5.
    mirrored = tf.constant([-1.5, 0, 6.25, 0, 1, -1, 0, 0])
    got = sampling.nearest(tf.constant(label), mirrored, (3, 5), 255, sampling.RESIZE)
    np.testing.assert_array_equal(got, [[255] * 5, [255, 5, 3, 2, 0], [255, 11, 9, 8, 6]])


@pytest.mark.parametrize("chroma", [True, False])
@pytest.mark.parametrize("coefficients", [[1.0, 0, 31, 0, 1, 17, 0, 0], [-0.7, 0, 100, 0, 0.7, 22, 0, 0]])
def test_the_window_of_a_jpeg_file_has_the_pixels_of_the_whole(coefficients, chroma):
    pixels = np.array(tf.image.resize(image(20, 30), (101, 149)), np.uint8)
    encoded = tf.io.encode_jpeg(pixels, quality=90, chroma_downsampling=chroma)
    whole, size = tf.io.decode_jpeg(encoded), tf.constant(pixels.shape[:2])
    used = sampling.snap(tf.constant(coefficients), size, (40, 50), sampling.RESIZE)
    got, expected = (sampling.bilinear(x, used, size, (40, 50), FILL, sampling.RESIZE) for x in (encoded, whole))
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("ratio", [2, 4, 8])
@pytest.mark.parametrize("size", [(256, 320), (251, 317)])
def test_a_jpeg_file_is_decoded_smaller_where_it_shrinks_and_stays_aligned(ratio, size):
    pixels = smooth(*size)
    encoded = tf.io.encode_jpeg(pixels, quality=95)
    crop, start = (24, 30), 0.5 * ratio - 0.5
    drawn = tf.constant([ratio, 0, start + 11, 0, ratio, start + 5, 0, 0], tf.float32)
    used = sampling.snap(drawn, tf.constant(size), crop, sampling.RESIZE)
    got = sampling.bilinear(encoded, used, tf.constant(size), crop, FILL, sampling.RESIZE).numpy()
    expected, inside = loop(pixels, used.numpy(), crop)
    # A quarter of a pixel of the result, on slopes of at most 255/320 levels per pixel of the image, and rounding in the JPEG.
    np.testing.assert_allclose(got[inside], expected[inside], atol=0.25 * ratio * 255 / 251 + 3)
    assert np.abs(np.mean(got[inside] - expected[inside])) < 0.25 * ratio * 255 / 251


def test_a_png_file_is_read_as_its_pixels():
    pixels = image()
    size, used = tf.constant([30, 40]), tf.constant(MAPS["mirrored slice"])
    got = sampling.bilinear(tf.io.encode_png(pixels), used, size, (18, 24), FILL, sampling.RESIZE)
    np.testing.assert_array_equal(got, pixels[8:26, 7:31][::-1, ::-1])
