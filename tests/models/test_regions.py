"""RoIAlign and position-sensitive pooling, by hand and against loops."""

import numpy as np
import pytest

from models import layers


def test_a_box_of_a_ramp_by_hand():
    """A map with the value of the column: a cell's value is the mean place of its points, in cells, less half a cell.

    The map has 8 columns, the box 0.25 .. 0.75 is 2 .. 6, two cells are 2 .. 4 and 4 .. 6: 3 - 0.5 and 5 - 0.5. At the left
    edge, 0 .. 0.25, one cell of 2 columns has its points at 0.5 and 1.5, the values 0 and 1; 0 .. 0.125 has them at 0.25 and
    0.75: the first is left of the outermost centre and has its value.
    """
    ramp = np.broadcast_to(np.arange(8.0, dtype=np.float32)[:, None], (1, 4, 8, 1))
    found = np.asarray(layers.roi_align(ramp, np.array([[[0.25, 0, 0.75, 1]]], np.float32), 2))
    np.testing.assert_allclose(found[0, 0, :, :, 0], [[2.5, 4.5]] * 2, rtol=1e-6)
    edge = np.array([[[0, 0, 0.25, 1], [0, 0, 0.125, 1]]], np.float32)
    np.testing.assert_allclose(np.ravel(layers.roi_align(ramp, edge, 1)), [0.5, 0.125], rtol=1e-6)


def test_not_crop_and_resize():
    """A box of the whole map, as many cells as it has: the map itself with one sample, since the centres are the same."""
    maps = np.random.default_rng(0).standard_normal((2, 5, 5, 3)).astype(np.float32)
    found = layers.roi_align(maps, np.array([[[0, 0, 1, 1]]] * 2, np.float32), 5, samples=1)
    np.testing.assert_allclose(np.asarray(found)[:, 0], maps, rtol=1e-5, atol=1e-6)


def pooled(maps, roi, k, size, scale):
    """What the notes of fcis_scores.json say, in loops: [size, size, C]."""
    height, width = maps.shape[:2]
    maps = maps.reshape(height, width, -1, k, k)
    edges = [np.sign(v) * np.floor(abs(v) + 0.5) for v in roi]
    x1, y1, x2, y2 = edges[0] * scale, edges[1] * scale, (edges[2] + 1) * scale, (edges[3] + 1) * scale
    across, down = max(x2 - x1, 0.1) / size, max(y2 - y1, 0.1) / size
    result = np.zeros((size, size, maps.shape[2]))
    for i in range(size):
        for j in range(size):
            rows = range(max(0, int(np.floor(i * down + y1))), min(height, int(np.ceil((i + 1) * down + y1))))
            columns = range(max(0, int(np.floor(j * across + x1))), min(width, int(np.ceil((j + 1) * across + x1))))
            values = [maps[y, x, :, i * k // size, j * k // size] for y in rows for x in columns]
            result[i, j] = np.mean(values, 0) if values else 0
    return result


@pytest.mark.parametrize(("k", "size"), [(3, 7), (2, 6), (7, 21)])
def test_pooling_against_loops(k, size):
    """Also boxes of one pixel and less, halves, and boxes that leave the map; the size need not be a multiple of k."""
    maps = np.random.default_rng(k).standard_normal((2, 6, 9, 2 * k * k))
    rois = np.array(
        [[8, 16, 71, 60], [0.5, 2.5, 100.5, 31.49], [40, 8, 40, 8], [-20.5, -9, 30, 200], [30, 30, 20, 10]], float
    )
    found = np.asarray(layers.position_sensitive_pool(maps, np.stack([rois, rois[::-1]]), k, size, (1 / 16, 1 / 16)))
    for image, boxes in ((0, rois), (1, rois[::-1])):
        for row, roi in enumerate(boxes):
            np.testing.assert_allclose(found[image, row], pooled(maps[image], roi, k, size, 1 / 16), atol=1e-12)
