"""Geometric augmentation: scale, rotation, flip and crop as one affine warp, so every pixel is resampled once."""

import math

import tensorflow as tf

from input_pipeline import IGNORE, boxes

CROP_DRAWS = 10  # as MMSegmentation's RandomCrop


def affine(
    example: dict,
    seed: tf.Tensor,
    scale: tuple[float, float] = (0.5, 2.0),
    rotation: float = 0.0,
    flip: bool = True,
    *,
    size: tuple[int, int],
    fill: tuple[float, float, float],
    max_class_share: float = 1.0,
):
    """Random scale, rotation, horizontal flip and crop to `size`, in one warp.

    The image is sampled bilinearly and the label by its nearest pixel, on the same grid (pixel centres at half
    integers). What lies outside the image becomes the mean colour and IGNORE. Without scaling and rotation the crop's
    offset is whole, so pixels are copied exactly.

    Args:
        scale: range of the zoom; its logarithm is uniform, so that 1/2 is as likely as 2.
        rotation: largest angle, degrees, either way.
        flip: whether half of the examples are mirrored left to right.
        size: (height, width) of the result, pixels.
        fill: colour outside the image, RGB 0..255.
        max_class_share: largest share of the crop's valid pixels that one class may have, above 0 and up to 1: the place of
            the crop is drawn again until it holds, up to CROP_DRAWS times in all, and the last one is taken if none does
            (MMSegmentation's cat_max_ratio). At 1 the first is taken.

    Raises:
        ValueError: for an empty or non-positive range of scales, or a share outside its range.
    """
    if not 0 < max_class_share <= 1:
        raise ValueError(f"Expected max_class_share above 0 and up to 1. Received: {max_class_share}.")
    if not 0 < scale[0] <= scale[1]:
        raise ValueError(f"Expected scale=(low, high) with 0 < low <= high. Received: scale={scale}.")
    draws = tf.random.stateless_uniform([5], seed)
    zoom = tf.exp(math.log(scale[0]) + draws[0] * (math.log(scale[1]) - math.log(scale[0])))
    angle = (2.0 * draws[1] - 1.0) * (rotation * math.pi / 180.0)
    mirror = tf.where(draws[2] < 0.5, -1.0, 1.0) if flip else tf.constant(1.0)
    image = tf.cast(example["image"], tf.float32)

    def crop(place):
        transform = _inverse_map(tf.shape(image)[:2], size, zoom, angle, mirror, place)
        return transform, _warp(example["label"][..., tf.newaxis], transform, size, "NEAREST", float(IGNORE))[..., 0]

    def another(number, *_):
        place = tf.random.stateless_uniform([2], tf.random.experimental.stateless_fold_in(seed, number))
        return number + 1, *crop(place)

    transform, label = crop(draws[3:])
    if max_class_share < 1:
        _, transform, label = tf.while_loop(
            lambda number, _, label: (number < CROP_DRAWS) & (_largest_share(label) > max_class_share),
            another,
            [1, transform, label],
        )
    image = _warp(image - fill, transform, size, "BILINEAR", 0.0) + fill
    if "boxes" in example:
        example = boxes.move(example, transform, size)
    return {**example, "image": image, "label": label}


def _largest_share(label):
    """Share of a label's most frequent class among its valid pixels; 1 where none is valid."""
    counts = tf.math.bincount(tf.cast(tf.reshape(label, [-1]), tf.int32), minlength=256, maxlength=256)[:IGNORE]
    total = tf.reduce_sum(counts)
    return tf.where(total > 0, tf.reduce_max(counts) / tf.maximum(total, 1), 1.0)


def _inverse_map(image_size, size, zoom, angle, mirror, place):
    """Coefficients that take a pixel of the crop to its place in the image, for ImageProjectiveTransformV3.

    `place` in [0, 1)^2 chooses where the crop lies in the zoomed image (or the image in a larger crop).
    """
    size = tf.constant(size, tf.float32)
    slack = tf.cast(image_size, tf.float32) * zoom - size
    # Whole offsets, so that zoom 1 copies pixels; slack may be negative, the image then lies inside the crop.
    corner = tf.sign(slack) * tf.minimum(tf.floor(place * (tf.floor(tf.abs(slack)) + 1.0)), tf.floor(tf.abs(slack)))
    centre = (corner + size / 2.0) / zoom
    cos, sin = tf.cos(angle) / zoom, tf.sin(angle) / zoom
    # The op counts pixels by index, the geometry by centres: half a pixel is added before and taken off after.
    dy, dx = 0.5 - size[0] / 2.0, 0.5 - size[1] / 2.0
    row_x = [mirror * cos, -sin, mirror * cos * dx - sin * dy + centre[1] - 0.5]
    row_y = [mirror * sin, cos, mirror * sin * dx + cos * dy + centre[0] - 0.5]
    return tf.stack([*row_x, *row_y, 0.0, 0.0])


def _warp(image, transform, size, interpolation, fill_value):
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image[tf.newaxis],
        transforms=transform[tf.newaxis],
        output_shape=size,
        fill_value=fill_value,
        interpolation=interpolation,
        fill_mode="CONSTANT",
    )[0]
