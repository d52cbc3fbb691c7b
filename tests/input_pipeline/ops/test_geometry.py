"""Geometry: the fused warp against a pixel-by-pixel loop."""

import functools
import sys

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline import IGNORE, ops, sampling
from input_pipeline.ops import geometry
from tests.input_pipeline.ops.samples import FILL, SIZE, example, seeds

CHAINS = (
    "affine(scale=(0.5, 2.0), rotation=20, flip=True)",
    "affine(scale=(0.5, 0.6)) | brightness(0.3) | contrast(0.3) | saturation(0.5)",
)


def test_crop_alone_copies_pixels():
    augment, given = compiled("", SIZE, 1.0), example()
    corners = set()
    for seed in seeds(80):
        result = augment(given, seed)
        places = [
            (y, x)
            for y in range(30 - 24 + 1)
            for x in range(40 - 32 + 1)
            if np.array_equal(given["label"][y : y + 24, x : x + 32], result["label"])
        ]
        assert len(places) == 1
        (y, x), *_ = places
        np.testing.assert_array_equal(result["image"], given["image"][y : y + 24, x : x + 32])
        corners.add((y, x))
    # 7 x 9 = 63 corners: 80 uniform draws give about 63 * (1 - (62/63)^80) = 45 different ones.
    assert len(corners) > 35
    assert {0, 6} <= {y for y, _ in corners}
    assert {0, 8} <= {x for _, x in corners}


def test_flip_mirrors_half_of_the_examples():
    augment, given = ops.build("affine(scale=(1.0, 1.0), flip=True)", (30, 40), FILL), example()
    mirrored = 0
    for seed in seeds(60):
        image = augment(given, seed)["image"].numpy()
        if np.array_equal(image, given["image"][:, ::-1]):
            mirrored += 1
        else:
            np.testing.assert_array_equal(image, given["image"])
    assert 18 <= mirrored <= 42  # 30 expected, three standard deviations of sqrt(60 / 4) = 3.9 either way


def test_image_smaller_than_the_crop_lies_inside_it():
    augment, given = ops.build("", (40, 50), FILL), example()
    for seed in seeds(5):
        result = augment(given, seed)
        outside = result["label"].numpy() == IGNORE
        assert outside.sum() == 40 * 50 - 30 * 40
        np.testing.assert_allclose(result["image"].numpy()[outside], np.tile(FILL, (outside.sum(), 1)), atol=1e-4)
        np.testing.assert_array_equal(result["label"].numpy()[~outside].reshape(30, 40), given["label"])


def test_image_and_label_stay_aligned():
    """An image painted from its label: after any warp, pixels away from borders show their label's value."""
    label = np.kron(np.arange(12).reshape(3, 4) % 5, np.ones((20, 20))).astype(np.uint8)
    given = {"image": np.repeat(label[..., None] * 50, 3, -1), "label": label}
    augment = ops.build("affine(scale=(0.7, 1.5), rotation=30, flip=True)", (48, 64), (0.0, 0.0, 0.0))
    for seed in seeds(10):
        result = augment(given, seed)
        image, label = result["image"].numpy()[..., 0], result["label"].numpy()
        # Where the four neighbours have the same label, bilinear sampling is constant.
        inner = label[1:-1, 1:-1]
        same = np.all([label[1 + dy : 47 + dy, 1 + dx : 63 + dx] == inner for dy in (-1, 0, 1) for dx in (-1, 0, 1)], 0)
        same &= inner != IGNORE
        np.testing.assert_allclose(image[1:-1, 1:-1][same], inner[same] * 50.0, atol=1e-2)


def test_warp_equals_a_loop_over_pixels():
    """Bilinear sampling at A (centre of the output pixel) + b, nearest for the label, IGNORE and FILL outside."""
    given = example(9, 11)
    zoom, angle, mirror, place = 1.3, 0.4, -1.0, np.array([0.3, 0.8], np.float32)
    transform = geometry._inverse_map(tf.constant([9, 11]), (8, 7), zoom, angle, mirror, place).numpy()
    image = sampling.project(tf.cast(given["image"], tf.float32), transform, (8, 7), "BILINEAR", 0.0).numpy()
    # By hand: the zoomed image is 11.7 x 14.3, the slack 3.7 x 7.3, whole offsets 0..3 and 0..7: floor(0.3 * 4) = 1 and
    # floor(0.8 * 8) = 6; the crop's centre is (1 + 4, 6 + 3.5) in the zoomed image.
    centre_y, centre_x = 5 / zoom, 9.5 / zoom
    padded = np.zeros((9 + 2, 11 + 2, 3))
    padded[1:-1, 1:-1] = given["image"]
    for v in range(8):
        for u in range(7):
            dy, dx = v + 0.5 - 4, mirror * 0 + u + 0.5 - 3.5
            x = centre_x + (mirror * np.cos(angle) * dx - np.sin(angle) * dy) / zoom - 0.5
            y = centre_y + (mirror * np.sin(angle) * dx + np.cos(angle) * dy) / zoom - 0.5
            y0, x0 = int(np.floor(y)), int(np.floor(x))
            if not (-1 <= y0 < 9 and -1 <= x0 < 11):
                np.testing.assert_array_equal(image[v, u], 0)
                continue
            patch, fy, fx = padded[y0 + 1 : y0 + 3, x0 + 1 : x0 + 3], y - y0, x - x0
            expected = (patch[0, 0] * (1 - fx) + patch[0, 1] * fx) * (1 - fy)
            expected += (patch[1, 0] * (1 - fx) + patch[1, 1] * fx) * fy
            np.testing.assert_allclose(image[v, u], expected, atol=2e-3)


@functools.cache
def compiled(chain, size, limit):
    """A graph, because hundreds of draws would take seconds without it. A contract test shows that it gives the same."""
    return tf.function(ops.build(chain, size, FILL, limit))


def columns(seed, chain="", limit=1.0):
    """The crop of a 30 x 40 label of two columns' blocks, 0 left of column 30 and 1 from there on, 24 x 8 pixels."""
    label = np.repeat((np.arange(40) >= 30)[None], 30, 0).astype(np.uint8)
    augment = compiled(chain, (24, 8), limit)
    # The first channel is the column, so that the image shows where the crop is.
    image = np.repeat(np.repeat(np.arange(40, dtype=np.uint8)[None, :, None], 30, 0), 3, -1)
    return augment({"image": tf.constant(image), "label": tf.constant(label)}, seed)


def test_a_limit_on_the_largest_class_redraws_the_crop():
    # Of the offsets 0..32, those of 24..28 have 6..2 columns of class 0 and 2..6 of class 1: 3/4 of a class at most.
    accepted, first_accepted = 0, 0
    for seed in seeds(200):
        first, taken = columns(seed), columns(seed, limit=0.75)
        left = int(taken["image"][0, 0, 0])
        np.testing.assert_array_equal(taken["image"][:, :, 0], np.tile(np.arange(left, left + 8), (24, 1)))
        np.testing.assert_array_equal(taken["label"], taken["image"][:, :, 0] >= 30)
        accepted += 24 <= left <= 28
        if 24 <= int(first["image"][0, 0, 0]) <= 28:
            first_accepted += 1
            np.testing.assert_array_equal(taken["image"], first["image"])
    # 5 of 33 a draw: 30 of 200, standard deviation 5.1; in ten draws 1 - (28/33)^10 = 0.807: 161, deviation 5.6.
    assert 15 <= first_accepted <= 45
    assert 145 <= accepted <= 178


def test_the_crop_that_is_redrawn_keeps_zoom_and_flip_and_is_a_function_of_the_seed():
    chain = "affine(scale=(0.5, 2.0), flip=True)"
    for seed in seeds(12):
        first, taken, again = columns(seed, chain), columns(seed, chain, 0.75), columns(seed, chain, 0.75)
        np.testing.assert_array_equal(taken["image"], again["image"])
        # Columns of the image per column of the crop, if the crop is inside: 1 / zoom, negative if mirrored.
        slopes = [np.median(np.diff(x["image"].numpy()[12, :, 0])) for x in (first, taken)]
        if all(np.all(x["label"] != IGNORE) for x in (first, taken)):
            assert slopes[0] == pytest.approx(slopes[1], abs=1e-2)


def test_ignored_pixels_have_no_share_and_a_crop_without_valid_ones_is_drawn_again():
    # By hand: 3 of 4 valid pixels are of class 2; ignored ones do not count. Without valid pixels the share is 1.
    assert geometry._largest_share(tf.constant([[2, 2, 2, 5], [255, 255, 255, 255]], tf.uint8)) == 0.75
    assert geometry._largest_share(tf.constant([[255, 255]], tf.uint8)) == 1.0


def test_a_limit_works_in_the_stream_as_eagerly():
    given = example()  # five classes in equal shares: 0.2 and a little; a limit below forces all ten draws
    augment = ops.build("", SIZE, FILL, 0.1)
    for seed in seeds(3):
        streamed = tf.data.Dataset.from_tensors(given).map(lambda x, s=seed: augment(x, s)).get_single_element()
        np.testing.assert_array_equal(streamed["label"], augment(given, seed)["label"])


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        ("affine(scale=(2.0, 1.0))", "0 < low <= high"),
        ("affine(max_class_share=0.5)", "Expected affine(scale, rotation, flip, "),
    ],
)
def test_wrong_chains_say_what_is_known(chain, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
        ops.build(chain, SIZE, FILL)(example(), seeds(1)[0])


@pytest.fixture
def more(tmp_path, monkeypatch):
    """A further file of ops, whose text the test writes."""
    monkeypatch.setattr(ops, "__path__", [*ops.__path__, str(tmp_path)])
    yield tmp_path / "more_ops.py"
    sys.modules.pop("input_pipeline.ops.more_ops", None)


def test_a_helper_is_no_augmentation(more):
    more.write_text(
        "def invert(example, seed):\n    return example\n\n\ndef luminance(image, weights=(1, 1, 1)):\n    pass\n"
    )
    assert "invert" in ops.names()
    assert "luminance" not in ops.names()
    message = (
        r"Expected luminance of .*more_ops\.py to be an augmentation.*Received: luminance\(image, weights=\(1, 1, 1\)\)"
    )
    with pytest.raises(ValueError, match=message):
        ops.build("luminance", SIZE, FILL)


def test_two_ops_of_one_name_are_refused(more):
    more.write_text("def contrast(example, seed):\n    return example\n")
    with pytest.raises(ValueError, match=r"Expected one augmentation called contrast\. .*ops\.color .*ops\.more_ops"):
        ops.names()


def test_every_public_function_is_an_op():
    # A helper begins with an underscore, so that a mistyped `example` or `seed` is found here.
    assert sorted(function.__name__ for function in ops.functions()) == list(ops.names())
