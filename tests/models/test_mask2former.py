"""models/mask2former.py and its layers: values by hand, and against an independent implementation."""

import keras
import numpy as np
import pytest
from scipy import ndimage, special

import models
from models import weights
from models.layers.deformable_attention import DeformableSampling, Directions
from models.layers.mask_classification import HIDDEN, OutsideMask
from models.layers.positions import SinePositions
from models.layers.tokens import as_maps
from tests.parity import fill, test_parity


def test_sampling_is_that_of_scipy():
    """Two images, two maps of 3x4 and 2x1 pixels, two heads of three channels, two points; places up to 4 pixels outside."""
    sizes, heads, points, channels = [(3, 4), (2, 1)], 2, 2, 3
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2, 14, heads, channels)).astype("float32")
    offsets = rng.uniform(-4, 4, size=(2, 14, heads, 2, points, 2)).astype("float32")
    scores = rng.normal(size=(2, 14, heads, 2 * points)).astype("float32")
    maps = [np.zeros((2, *size, 1), "float32") for size in sizes]
    inputs = [x.reshape(2, 14, -1) for x in (values, offsets, scores)]
    found = np.asarray(DeformableSampling(heads, points)([*inputs, *maps])).reshape(2, 14, heads, channels)

    shares = special.softmax(scores, axis=-1).reshape(2, 14, heads, 2, points)
    expected = np.zeros(found.shape)
    places = [((i + 0.5) / h, (j + 0.5) / w) for h, w in sizes for i in range(h) for j in range(w)]
    for image, query, head, level, point in np.ndindex(shares.shape):
        (h, w), first = sizes[level], 12 * level
        x, y = offsets[image, query, head, level, point]
        place = [[places[query][0] * h - 0.5 + y], [places[query][1] * w - 0.5 + x]]
        for c in range(channels):
            one = values[image, first : first + h * w, head, c].reshape(h, w)
            value = ndimage.map_coordinates(one, place, order=1, mode="grid-constant")[0]
            expected[image, query, head, c] += shares[image, query, head, level, point] * value
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_sampling_starts_along_the_directions_of_the_heads():
    """Eight heads: to the right, then below right on the diagonal (its longer axis counts), .., by 1 and 2 pixels."""
    start = np.asarray(Directions(8, 3, 2)((8 * 3 * 2 * 2,), "float32")).reshape(8, 3, 2, 2)
    expected = [[1, 0], [1, 1], [0, 1], [-1, 1], [-1, 0], [-1, -1], [0, -1], [1, -1]]
    for level in range(3):
        np.testing.assert_allclose(start[:, level, 0], expected, atol=1e-6)
        np.testing.assert_allclose(start[:, level, 1], 2 * np.array(expected), atol=1e-6)


def test_positions_by_hand():
    """Width 8 of 2x1 pixels: each axis has the frequencies 1 and 1/100. Row 0 has the angle pi, row 1 and the column 2 pi."""

    def axis(angle):
        return [np.sin(angle), np.cos(angle), np.sin(angle / 100), np.cos(angle / 100)]

    found = SinePositions(8)(np.zeros((1, 2, 1, 3), "float32"))
    expected = [[axis(np.pi) + axis(2 * np.pi), axis(2 * np.pi) + axis(2 * np.pi)]]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_query_sees_the_pixels_of_its_mask_or_all_if_it_is_empty():
    masks = np.array([[[[1.0, -1, -2], [-1.0, 0, -2]]]], "float32")  # 1x2 pixels of three queries
    expected = [[[[0, HIDDEN], [HIDDEN, 0], [0, 0]]]]
    np.testing.assert_array_equal(OutsideMask()(masks), expected)


def test_tokens_become_maps_of_sizes_known_at_run_time():
    likes = [keras.Input((None, None, 1)), keras.Input((None, None, 1))]
    tokens = keras.Input((None, 2))
    model = keras.Model([tokens, *likes], as_maps(tokens, likes))
    x = np.arange(16, dtype="float32").reshape(1, 8, 2)
    first, second = model([x, np.zeros((1, 3, 2, 1)), np.zeros((1, 1, 2, 1))])
    np.testing.assert_array_equal(first, x[:, :6].reshape(1, 3, 2, 2))
    np.testing.assert_array_equal(second, x[:, 6:].reshape(1, 1, 2, 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ('backbone="vit_small"', r"Expected a backbone whose maps c2, c3, c4, c5 have strides of 4, 8, 16, 32"),
        ("queries=0", "Expected queries of at least 1"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        models.build(f"mask2former({options})", 3)


@pytest.mark.slow  # builds the network a second time
def test_masks_are_those_of_the_reference():
    """The other parity file holds what is made of them."""
    witness = fill.read(fill.FOLDER / "witnesses" / "mask2former_swin_tiny_masks.json.gz")
    model = models.build("mask2former", 12, normalization=None)
    weights.load(model, fill.state_dict(witness))
    for case in witness["cases"]:
        test_parity.check(np.asarray(model(fill.image(case))["masks"])[:, -1], case)
