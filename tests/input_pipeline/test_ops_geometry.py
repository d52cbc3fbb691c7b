"""The options of `affine` besides scale, rotation and flip: the effect of each, in image, label and boxes alike."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline import IGNORE, ops
from input_pipeline.ops import geometry

FILL = (100.0, 110.0, 120.0)
CHAINS = {
    "uniform": 'affine(scale=(0.5, 2.0), scales="uniform")',
    "set": 'affine(scale=(0.6, 1.0, 1.5), scales="set")',  # 1/2 would lie between two pixels
    "aspect": "affine(scale=(0.8, 1.3), aspect=1.5, vertical_flip=True)",
    "shear": "affine(scale=(0.8, 1.3), shear=15)",
    "translation": "affine(scale=(0.8, 1.3), translation=0.3)",
    "perspective": "affine(scale=(0.8, 1.3), perspective=0.3)",
    "share": "affine(scale=(0.8, 1.3), rotation=20, shear=10, perspective=0.2, warp_share=0.5)",
    "elastic": "affine(scale=(0.8, 1.3), rotation=20, elastic=4.0)",
    "rare": "affine(scale=(0.8, 1.3), rare=(3, 4))",
    "small": "affine(scale=(0.1, 0.3))",
}


def seeds(count):
    return [tf.constant([11, i], tf.int32) for i in range(count)]


@functools.cache
def compiled(chain, size, limit=1.0):
    return tf.function(ops.build(chain, size, FILL, limit), reduce_retracing=True)


def ramp(height=60, width=80):
    """An image whose pixels show their origin: column and row, two levels per pixel; the label is every 255-th."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([2 * x, 2 * y, 0 * x], -1).astype(np.uint8)
    return {"image": tf.constant(pixels), "label": tf.constant((x % 200).astype(np.uint8))}


@pytest.mark.parametrize("name", CHAINS)
def test_image_label_and_instances_stay_aligned_to_a_quarter_pixel(name):
    given = ramp() | {"instances": tf.constant(np.mgrid[:60, :80][0].astype(np.int32) + 1)}
    augment, seen = compiled(CHAINS[name], (40, 56)), 0
    for seed in seeds(8):
        result = {k: v.numpy() for k, v in augment(given, seed).items()}
        inside = result["label"] != IGNORE
        seen += inside.sum()
        np.testing.assert_array_equal(result["instances"] == 0, ~inside)
        np.testing.assert_allclose(result["image"][~inside], np.tile(FILL, (np.sum(~inside), 1)), atol=1e-3)
        # The image holds the place to a fraction; the label is the nearest pixel: half a pixel off, and a quarter at most.
        x, y = result["image"][inside][:, 0] / 2, result["image"][inside][:, 1] / 2
        assert np.abs(x - result["label"][inside]).max() <= 0.5 + 0.25
        assert np.abs(y - (result["instances"][inside] - 1.0)).max() <= 0.5 + 0.25
        # On average over an area the nearest pixel is the place itself.
        if inside.sum() > 500:
            assert abs(np.mean(x - result["label"][inside])) < 0.25
            assert abs(np.mean(y - (result["instances"][inside] - 1.0))) < 0.25
    assert seen > 500


@pytest.mark.parametrize("name", CHAINS)
def test_eager_tf_data_and_encoded_images_agree(name):
    given = ramp()
    augment, seed = ops.build(CHAINS[name], (40, 56), FILL), seeds(3)[2]
    eager = augment(given, seed)
    encoded = {**given, "image": tf.io.encode_png(given["image"])}
    for x in (given, encoded):
        streamed = tf.data.Dataset.from_tensors(x).map(lambda e: augment(e, seed)).get_single_element()
        np.testing.assert_allclose(streamed["image"], eager["image"], atol=1e-2)
        assert np.mean(streamed["label"] != eager["label"]) < 0.01


@pytest.mark.parametrize("name", CHAINS)
def test_boxes_follow_their_pixels(name):
    label = np.zeros((60, 80), np.uint8)
    label[10:32, 20:46], label[36:55, 50:72] = 3, 4
    given = {
        "image": tf.constant(np.repeat(label[..., None], 3, -1)),
        "label": tf.constant(label),
        "boxes": tf.constant([[20.0, 10, 46, 32], [50, 36, 72, 55]]),
        "box_classes": tf.constant([3, 4]),
    }
    augment, seen, turned = compiled(CHAINS[name], (70, 90)), 0, name in ("shear", "share")
    for seed in seeds(10):
        result = {k: v.numpy() for k, v in augment(given, seed).items()}
        for kind, box in zip(result["box_classes"], result["boxes"], strict=True):
            rows, columns = np.nonzero(result["label"] == kind)
            if not len(rows):  # half a pixel of a box need not show
                assert min(box[2] - box[0], box[3] - box[1]) < 2
                continue
            around = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            # A sheared rectangle cut off by the crop need not reach the box around its corners.
            cut = box[0] <= 0 or box[1] <= 0 or box[2] >= 90 or box[3] >= 70
            if not (turned and cut):
                np.testing.assert_allclose(box, around, atol=1.5)
                seen += 1
    assert seen >= 3


def test_scales_are_drawn_as_named():
    """The zoom by the slope of the ramp: columns of the image for a column of the crop, 1 / zoom."""

    def zooms(chain, count=60):
        augment, found = compiled(chain, (24, 32)), []
        for seed in seeds(count):
            result = augment(ramp(), seed)
            row = result["image"].numpy()[12, :, 0][result["label"].numpy()[12] != IGNORE] / 2
            found.append(1 / np.median(np.abs(np.diff(row))))
        return np.array(found)

    drawn = zooms('affine(scale=(0.5, 1.0, 2.0), scales="set")')
    nearest = np.array([0.5, 1.0, 2.0])[np.abs(drawn[:, None] - [0.5, 1.0, 2.0]).argmin(1)]
    np.testing.assert_allclose(drawn, nearest, rtol=0.05)
    assert min(np.sum(nearest == zoom) for zoom in (0.5, 1.0, 2.0)) >= 8  # 20 expected, deviation 3.7
    # Below 1 lies half of a log-uniform draw from 0.5..2, and a third of a uniform one: deviations 3.9 and 3.7 of 60.
    assert 18 <= np.sum(zooms("affine(scale=(0.5, 2.0))") < 1) <= 42
    assert 9 <= np.sum(zooms('affine(scale=(0.5, 2.0), scales="uniform")') < 1) <= 31


def test_a_zoom_of_one_from_a_set_copies_pixels():
    random = np.random.default_rng(0)
    given = {
        "image": tf.constant(random.integers(0, 256, (60, 80, 3), np.uint8)),
        "label": tf.zeros([60, 80], tf.uint8),
    }
    result = compiled('affine(scale=(1.0,), scales="set", flip=False, translation=0.2)', (60, 80))(given, seeds(1)[0])
    inside = result["label"].numpy() != IGNORE
    rows, columns = np.nonzero(inside)
    image = result["image"].numpy()[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert inside.sum() < 60 * 80
    height, width = image.shape[:2]
    candidates = [
        given["image"].numpy()[y : y + height, x : x + width] for y in (0, 60 - height) for x in (0, 80 - width)
    ]
    assert any(np.array_equal(image, candidate) for candidate in candidates)


def test_maps_by_hand():
    def place(coefficients, u, v):
        a = np.array(coefficients, np.float64)
        w = a[6] * u + a[7] * v + 1
        return (a[0] * u + a[1] * v + a[2]) / w, (a[3] * u + a[4] * v + a[5]) / w

    common = (tf.constant([20, 30]), (10, 20), 1.0, 0.0, 1.0, tf.constant([0.5, 0.5]))
    # Slack 10 x 10, whole offsets 0..10: floor(0.5 * 11) = 5. The middle of the crop is (5 + 5, 5 + 10) in the image, by index
    # (9.5, 14.5), and that of the crop (4.5, 9.5).
    np.testing.assert_allclose(place(geometry._inverse_map(*common), 9.5, 4.5), (14.5, 9.5), atol=1e-5)
    # Columns lean by half a pixel a row, rows by a quarter of a pixel a column.
    leaning = geometry._inverse_map(*common, leans=tf.constant([0.5, 0.25]))
    np.testing.assert_allclose(place(leaning, 9.5, 6.5), (15.5, 11.5), atol=1e-5)
    np.testing.assert_allclose(place(leaning, 13.5, 4.5), (18.5, 10.5), atol=1e-5)
    # Zooms 2 of the height, 0.5 of the width: slack 30 x -5, offsets floor(0.5 * 31) = 15 and -floor(0.5 * 6) = -3. The middle
    # is ((15 + 5) / 2, (-3 + 10) / 0.5) = (10, 14), by index (9.5, 13.5); a row further is half a pixel, a column two.
    stretched = geometry._inverse_map(*common, zooms=tf.constant([2.0, 0.5]))
    np.testing.assert_allclose(place(stretched, 9.5, 4.5), (13.5, 9.5), atol=1e-5)
    np.testing.assert_allclose(place(stretched, 10.5, 5.5), (15.5, 10.0), atol=1e-5)
    # Upside down, and a quarter of the crop's height (10) further down, rounded to 2 pixels.
    turned = geometry._inverse_map(*common, upside_down=-1.0, shift=tf.constant([0.25, 0.0]))
    np.testing.assert_allclose(place(turned, 9.5, 5.5), (14.5, 10.5), atol=1e-5)
    # In perspective the right edge, 10 pixels from the middle, is seen at 10 / (1 + 0.2), the left one at 10 / (1 - 0.2).
    seen = geometry._inverse_map(*common, slopes=tf.constant([0.0, 0.2]))
    np.testing.assert_allclose(place(seen, 9.5, 4.5), (14.5, 9.5), atol=1e-4)
    np.testing.assert_allclose(place(seen, 19.5, 4.5), (14.5 + 10 / 1.2, 9.5), atol=1e-4)
    np.testing.assert_allclose(place(seen, -0.5, 4.5), (14.5 - 10 / 0.8, 9.5), atol=1e-4)
    np.testing.assert_allclose(place(seen, 19.5, 9.5), (14.5 + 10 / 1.2, 9.5 + 5 / 1.2), atol=1e-4)
    # Centred on pixel (12, 8): corner (12.5 - 5, 8.5 - 10) rounded to even and kept in 0..10: (8, 0), the middle (13, 10).
    centred = geometry._inverse_map(*common, centre=tf.constant([12.0, 8.0]))
    np.testing.assert_allclose(place(centred, 9.5, 4.5), (9.5, 12.5), atol=1e-5)
    np.testing.assert_allclose(
        geometry._inverse_map(*common, centre=tf.constant([-1.0, -1.0])), geometry._inverse_map(*common)
    )


def test_crops_are_centred_on_rare_classes():
    label = np.zeros((60, 80), np.uint8)
    label[50, 70], label[5:9, 5:9] = 3, 4  # one pixel of class 3 and sixteen of class 4
    given = {"image": tf.zeros([60, 80, 3], tf.uint8), "label": tf.constant(label)}
    shown = {chain: [] for chain in ("", ", rare=(3, 4), rare_share=1.0", ", rare=(3,), rare_share=0.5", ", rare=(7,)")}
    for chain, found in shown.items():
        augment = compiled(f"affine(scale=(1.0, 1.0), flip=False{chain})", (16, 16))
        found += [set(np.unique(augment(given, seed)["label"])) & {3, 4} for seed in seeds(60)]
    free, both, half, absent = shown.values()
    assert all(len(classes) == 1 for classes in both)
    # Each class is equally likely, for any number of pixels: 30 of 60, deviation 3.9.
    assert 18 <= sum(classes == {3} for classes in both) <= 42
    assert 18 <= sum(3 in classes for classes in half) <= 45
    assert absent == free  # the same draw as without the option
    assert sum(map(len, free)) < 25


def test_elastic_deformation_has_the_deviation_that_is_asked_for():
    crop = (64, 64)
    fields = np.stack([geometry._displacement(seed, 10.0, 3, crop).numpy() for seed in seeds(200)])
    assert fields.shape == (200, 64, 64, 2)
    # Pixel (10, 10) is within half a pixel of the first grid point, whose cell is 64 / 3 wide: 400 draws of deviation 10.
    assert np.std(fields[:, 10, 10]) == pytest.approx(10.0, rel=0.15)
    assert abs(np.mean(fields[:, 10, 10])) < 2.0
    # Bicubic between points 21 pixels apart, with slopes of at most a few deviations a cell: no tears.
    assert np.abs(np.diff(fields, axis=2)).max() < 5.0
    assert not np.allclose(fields[0, ..., 0], fields[0, ..., 1])


def test_a_new_option_changes_no_other_draw():
    plain = compiled("affine(scale=(0.7, 1.4), rotation=10)", (24, 32))
    for options in ("warp_share=1.0", "rare=(9,)", "rare_share=0.1", "elastic_grid=5"):
        other = compiled(f"affine(scale=(0.7, 1.4), rotation=10, {options})", (24, 32))
        for seed in seeds(3):
            np.testing.assert_array_equal(plain(ramp(), seed)["image"], other(ramp(), seed)["image"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("scales='even'", "Expected scales to be one of log_uniform, uniform, set"),
        ("scale=(), scales='set'", "zooms above 0"),
        ("scale=(0.5, 1.0, 2.0)", "0 < low <= high"),
        ("aspect=0.5", "Expected aspect from 1 to 10"),
        ("perspective=0.6", "Expected perspective from 0 to 0.4"),
        ("rare=(255,)", "train ids from 0 to 254"),
        ("elastic=3.0, elastic_grid=1", "Expected elastic_grid from 2"),
        ("translation=-1", "Expected translation from 0 to 1"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ops.build(f"affine({options})", (24, 32), FILL)(ramp(), seeds(1)[0])
