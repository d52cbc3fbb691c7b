"""Geometric augmentation: everything that moves pixels is drawn as one map, so every pixel is resampled once."""

import math

import tensorflow as tf

from input_pipeline import IGNORE, boxes, instances, sampling

CROP_DRAWS = 10  # as in MMSegmentation's RandomCrop
SCALES = ("log_uniform", "uniform", "set")
FURTHER = 1 << 20  # folded into the seed for draws after the first five, so that a new option changes no other draw


def affine(
    example: dict,
    seed: tf.Tensor,
    scale: tuple[float, ...] = (0.5, 2.0),
    rotation: float = 0.0,
    flip: bool = True,
    scales: str = "log_uniform",
    aspect: float = 1.0,
    shear: float = 0.0,
    translation: float = 0.0,
    perspective: float = 0.0,
    vertical_flip: bool = False,
    warp_share: float = 1.0,
    rare: tuple[int, ...] = (),
    rare_share: float = 0.5,
    elastic: float = 0.0,
    elastic_grid: int = 3,
    boxes_visible: float = 0.0,
    *,
    size: tuple[int, int],
    fill: tuple[float, float, float],
    max_class_share: float = 1.0,
):
    """Random scale, aspect, rotation, shear, translation, perspective, flips, elastic deformation and crop, in one map.

    The image is sampled bilinearly and the label by its nearest pixel, on the same grid (pixel centres at half
    integers). Pixels outside the image get the mean colour and IGNORE. Without scaling and rotation the crop's
    offset is whole, so pixels are copied exactly. What a draw needs is decided for each image (`sampling.py`): without
    rotation, shear and perspective a window is sliced and resized, and the map is moved to whole windows for it.

    Args:
        scale: range of the zoom, (low, high); for `scales="set"` the zooms to choose from, for example (0.5, 0.75, 1.0).
        rotation: largest angle, degrees, either way.
        flip: whether half of the examples are mirrored left to right.
        scales: "log_uniform": the zoom's logarithm is uniform, so that 1/2 is as likely as 2; "uniform"; "set": one of `scale`.
        aspect: largest ratio of the zooms of width and height, and of height and width; its logarithm is uniform. 1: none.
        shear: largest angle, degrees, by which columns lean from the vertical and rows from the horizontal, either way.
        translation: largest shift of the crop, beyond where it was placed, as a share of its height and width, either way.
        perspective: largest change of the zoom from the crop's middle to its edge, 0..0.4, either way: 0.1 shows one edge up
            to 10 % smaller and the opposite one up to 10 % larger.
        vertical_flip: whether half of the examples are mirrored top to bottom.
        warp_share: share of the examples, 0..1, that are rotated, sheared, seen in perspective; the others are only scaled,
            flipped and cropped, which takes a fifth of the time.
        rare: train ids. A share of the crops is centred on a pixel of one of these classes; all that are in the image are
            equally likely. A crop still lies inside the image if it fits.
        rare_share: that share, 0..1.
        elastic: standard deviation, pixels of the crop, of the displacement drawn at each point of a coarse grid, between
            which it is bicubic (U-Net, Ronneberger et al., 2015, section 3.1: 10 pixels, a grid of 3x3); 0: none.
        elastic_grid: points of that grid, on each side.
        boxes_visible: share of a box, 0..1, that must lie in the crop; otherwise the object leaves the boxes and the instances,
            while its pixels keep their label. At 0 it stays while half a pixel, or a pixel of an instance, is left.
        size: (height, width) of the result, pixels.
        fill: colour outside the image, RGB 0..255.
        max_class_share: largest share of the crop's valid pixels that one class may have, above 0 and up to 1: the place of
            the crop is drawn again until it holds, up to CROP_DRAWS times in all, and the last one is taken if none does
            (MMSegmentation's cat_max_ratio). At 1 the first is taken.

    Raises:
        ValueError: for an option outside its range.
    """
    _check(scale, scales, aspect, shear, translation, perspective, warp_share, rare, rare_share, elastic, elastic_grid)
    if not 0 <= boxes_visible <= 1 or (boxes_visible and (perspective or elastic)):
        raise ValueError(
            f"Expected boxes_visible from 0 to 1, and 0 with perspective or elastic. Received: {boxes_visible=}, "
            f"{perspective=}, {elastic=}."
        )
    if not 0 < max_class_share <= 1:
        raise ValueError(f"Expected max_class_share above 0 and up to 1. Received: {max_class_share}.")
    draws = tf.random.stateless_uniform([5], seed)
    more = tf.random.stateless_uniform([12], tf.random.experimental.stateless_fold_in(seed, FURTHER))
    warps = tf.where(more[0] < warp_share, 1.0, 0.0)
    zoom, stretch = _zoom(scale, scales, draws[0]), tf.exp(_either_way(more[1]) * (0.5 * math.log(aspect)))
    mirror = tf.where(draws[2] < 0.5, -1.0, 1.0) if flip else tf.constant(1.0)
    upside_down = tf.where(more[2] < 0.5, -1.0, 1.0) if vertical_flip else 1.0
    angle = warps * _either_way(draws[1]) * (rotation * math.pi / 180.0)
    others = {
        "zooms": tf.stack([zoom / stretch, zoom * stretch]) if aspect > 1 else None,
        "upside_down": upside_down,
        "leans": tf.tan(warps * _either_way(more[3:5]) * (shear * math.pi / 180.0)) if shear else None,
        "shift": _either_way(more[5:7]) * translation if translation else None,
        "slopes": warps * _either_way(more[7:9]) * perspective if perspective else None,
    }
    image_size, ids, most = sampling.size(example), example["label"], sampling.RESIZE
    if not (any(n != 1 for n in scale) or aspect > 1 or translation):
        most = sampling.COPY
    if rotation or shear or perspective:
        most = sampling.WARP
    displacement = None
    if elastic:
        most = sampling.DISPLACE
        displacement = _displacement(
            tf.random.experimental.stateless_fold_in(seed, FURTHER + 1), elastic, elastic_grid, size
        )
    centre = _rare_centre(ids, rare, more[9:12], seed, rare_share) if rare else None

    def crop(place, centre=None):
        drawn = _inverse_map(image_size, size, zoom, angle, mirror, place, centre=centre, **others)
        used = drawn if elastic else sampling.snap(drawn, image_size, size, most)
        return used, sampling.nearest(ids, used, size, IGNORE, most, displacement)

    def another(number, *_):
        place = tf.random.stateless_uniform([2], tf.random.experimental.stateless_fold_in(seed, number))
        return number + 1, *crop(place)

    transform, label = crop(draws[3:], centre)
    if max_class_share < 1:
        _, transform, label = tf.while_loop(
            lambda number, _, label: (number < CROP_DRAWS) & (_largest_share(label) > max_class_share),
            another,
            [1, transform, label],
        )
    image = sampling.bilinear(example["image"], transform, image_size, size, fill, most, displacement)
    if "instances" in example:  # 0: no instance
        moved = sampling.nearest(example["instances"], transform, size, 0, most, displacement)
        example = {**example, "instances": moved}
    if "instances" in example and "boxes" in example:
        example = boxes.without_hidden(example, transform, size, boxes_visible) if boxes_visible else example
        example = instances.settle_example(example)
    elif "boxes" in example:
        bent = perspective or elastic
        places = sampling.places(transform, size, displacement) if bent else None
        example = boxes.move(example, transform, size, places, boxes_visible)
    return {**example, "image": image, "label": label}


def _check(scale, scales, aspect, shear, translation, perspective, warp_share, rare, rare_share, elastic, elastic_grid):
    """Raises ValueError for an option of `affine` outside its range."""
    if scales not in SCALES:
        raise ValueError(f"Expected scales to be one of {', '.join(SCALES)}. Received: scales={scales!r}.")
    if scales == "set":
        if not scale or min(scale) <= 0:
            raise ValueError(f"Expected scale=(a, b, ...) of zooms above 0. Received: scale={scale}.")
    elif len(scale) != 2 or not 0 < scale[0] <= scale[1]:
        raise ValueError(f"Expected scale=(low, high) with 0 < low <= high. Received: scale={scale}.")
    ranges = {
        "aspect": (aspect, 1, 10),
        "shear": (shear, 0, 60),
        "translation": (translation, 0, 1),
        "perspective": (perspective, 0, 0.4),
        "warp_share": (warp_share, 0, 1),
        "rare_share": (rare_share, 0, 1),
        "elastic": (elastic, 0, 1000),
        "elastic_grid": (elastic_grid, 2, 100),
    }
    for name, (value, low, high) in ranges.items():
        if not low <= value <= high:
            raise ValueError(f"Expected {name} from {low} to {high}. Received: {name}={value}.")
    if not all(isinstance(train_id, int) and 0 <= train_id < IGNORE for train_id in rare):
        raise ValueError(f"Expected rare=(id, ...) of train ids from 0 to {IGNORE - 1}. Received: rare={rare}.")


def _either_way(draw):
    """Turns a draw from [0, 1) into one from [-1, 1)."""
    return 2.0 * draw - 1.0


def _zoom(scale, scales, draw):
    if scales == "set":
        return tf.constant(scale, tf.float32)[tf.cast(tf.floor(draw * len(scale)), tf.int32)]
    if scales == "uniform":
        return scale[0] + draw * (scale[1] - scale[0])
    return tf.exp(math.log(scale[0]) + draw * (math.log(scale[1]) - math.log(scale[0])))


def _largest_share(label):
    """Share of a label's most frequent class among its valid pixels; 1 if none is valid."""
    counts = tf.math.bincount(tf.cast(tf.reshape(label, [-1]), tf.int32), minlength=256, maxlength=256)[:IGNORE]
    total = tf.reduce_sum(counts)
    return tf.where(total > 0, tf.reduce_max(counts) / tf.maximum(total, 1), 1.0)


def _rare_centre(label, rare, draws, seed, share):
    """(y, x) of a pixel of one of the classes `rare`, in the image; (-1, -1) if there is none, or by chance.

    All classes in the label are equally likely, and so are all pixels of a class.
    """
    masks = [label == train_id for train_id in rare]
    present = tf.stack([tf.reduce_any(mask) for mask in masks])
    weights = tf.where(present, 0.0, -1e9)[tf.newaxis]
    number = tf.random.stateless_categorical(weights, 1, tf.random.experimental.stateless_fold_in(seed, FURTHER + 2))
    mask = tf.cast(label == tf.gather(tf.constant(rare, tf.uint8), number[0, 0]), tf.int32)

    def place(counts, draw):
        """Where the cumulative count first exceeds a uniform share of the total."""
        wanted = tf.cast(tf.floor(draw * tf.cast(tf.reduce_sum(counts), tf.float32)), tf.int32)
        return tf.reduce_sum(tf.cast(tf.cumsum(counts) <= wanted, tf.int32))

    def pixel():
        row = place(tf.reduce_sum(mask, 1), draws[0])
        return tf.cast(tf.stack([row, place(mask[row], draws[1])]), tf.float32)

    return tf.cond(tf.reduce_any(present) & (draws[2] < share), pixel, lambda: tf.constant([-1.0, -1.0]))


def _displacement(seed, deviation, points, size):
    """Displacements (x, y) of the pixels of a crop, float32 [height, width, 2]: bicubic between a coarse grid's."""
    grid = tf.random.stateless_normal([1, points, points, 2], seed, stddev=deviation)
    return tf.image.resize(grid, size, "bicubic")[0]


def _inverse_map(
    image_size,
    size,
    zoom,
    angle,
    mirror,
    place,
    *,
    zooms=None,
    upside_down=1.0,
    leans=None,
    shift=None,
    slopes=None,
    centre=None,
):
    """Coefficients that take a pixel of the crop to its place in the image, for ImageProjectiveTransformV3.

    Args:
        image_size: (height, width).
        size: (height, width) of the crop.
        zoom: of both sides; `zooms` are those of (height, width) if they differ.
        angle: of rotation, radians.
        mirror: -1 or 1, `upside_down` too.
        place: in [0, 1)^2, chooses where the crop lies in the zoomed image (or the image in a larger crop).
        zooms: see `zoom`.
        upside_down: see `mirror`.
        leans: (x for a unit of y, y for a unit of x).
        shift: (y, x) in heights and widths of the crop.
        slopes: (y, x) change of the zoom from the middle of the crop to its edge.
        centre: (y, x) of a pixel of the image as the crop's centre, instead of `place`; negative for none.
    """
    size = tf.constant(size, tf.float32)
    zooms = tf.stack([zoom, zoom]) if zooms is None else zooms
    slack = tf.cast(image_size, tf.float32) * zooms - size
    # Whole offsets, so that zoom 1 copies pixels. If slack is negative, the image lies inside the crop.
    corner = tf.sign(slack) * tf.minimum(tf.floor(place * (tf.floor(tf.abs(slack)) + 1.0)), tf.floor(tf.abs(slack)))
    if centre is not None:
        limit = tf.floor(tf.maximum(slack, 0.0))
        centred = tf.clip_by_value(tf.round((centre + 0.5) * zooms - size / 2.0), 0.0, limit)
        corner = tf.where((centre >= 0.0) & (slack > 0.0), centred, corner)
    if shift is not None:
        corner += tf.round(shift * size)
    middle = (corner + size / 2.0) / zooms
    cos, sin = tf.cos(angle), tf.sin(angle)
    # From the crop, counted from its middle, to the image: mirrored and zoomed, then leaning, then turned.
    x_by_x, y_by_y = mirror / zooms[1], upside_down / zooms[0]
    x_by_y, y_by_x = (0.0, 0.0) if leans is None else (leans[0] * y_by_y, leans[1] * x_by_x)
    linear = [[cos * x_by_x - sin * y_by_x, cos * x_by_y - sin * y_by_y]]
    linear += [[sin * x_by_x + cos * y_by_x, sin * x_by_y + cos * y_by_y]]
    # The op counts pixels by index, the geometry by centres: half a pixel is added before and taken off after.
    dy, dx = 0.5 - size[0] / 2.0, 0.5 - size[1] / 2.0
    rows = [[a, b, a * dx + b * dy + c - 0.5] for (a, b), c in zip(linear, (middle[1], middle[0]), strict=True)]
    if slopes is None:
        return tf.stack([*rows[0], *rows[1], 0.0, 0.0])
    # With the denominator w = 1 + s (position - middle) the numerators are the linear part plus the middle's place times w.
    py, px = slopes[0] * 2.0 / size[0], slopes[1] * 2.0 / size[1]
    whole = 1.0 + px * dx + py * dy
    places = (middle[1] - 0.5, middle[0] - 0.5)
    rows = [[a + c * px, b + c * py, t + c * (px * dx + py * dy)] for (a, b, t), c in zip(rows, places, strict=True)]
    return tf.stack([*rows[0], *rows[1], px, py]) / whole
