"""Reads an image and its labels through a map, in the cheapest way that gives the right result.

A map is the eight coefficients of ImageProjectiveTransformV3, a0..a7 (float32 [8]): pixel (u, v) of the result shows the place
x = (a0 u + a1 v + a2) / (a6 u + a7 v + 1), y = (a3 u + a4 v + a5) / (a6 u + a7 v + 1) of the image. Places are counted by pixel
index, so that the centre of the first pixel is 0 and its edges are -0.5 and 0.5.

The ways, from cheap to expensive. The graph chooses one for each image. Milliseconds are for 360x480 on one core:
    COPY     nothing is scaled or turned: a slice (0.2)
    RESIZE   scale and flips: the window is sliced from the uint8 image, turned to float32 and resized (0.8)
    WARP     rotation, shear, perspective: ImageProjectiveTransformV3 on the window (5)
    DISPLACE a displacement for each pixel: four gathers (8)
For COPY and RESIZE the window has whole pixels on both sides (`snap`), so that resizing needs no general warp. All ways read
the image bilinearly and labels by the nearest pixel, at the same places. Places outside the image get the fill colour, and in
labels the value for outside. A place within half a pixel of the outermost centres is inside and shows the outermost pixel.
"""

import tensorflow as tf

COPY, RESIZE, WARP, DISPLACE = range(4)
RATIOS = (1, 2, 4, 8)  # a JPEG file can be decoded at 1/ratio of its size
# Pixels around a window of a JPEG file. Its colour has half the resolution and is interpolated. Without a neighbour, pixels at
# the window's edge are up to 6 levels off. With one more pixel they equal those of the whole file (measured at all ratios).
MARGIN = 2
TOLERANCE = 0.01  # pixels by which a crop is still inside the image: rounding


def size(example: dict) -> tf.Tensor:
    """(height, width) of an example's image, int32 [2]. It is read from the label, since the image may still be encoded."""
    return tf.shape(example["label"])[:2]


def snap(coefficients: tf.Tensor, image_size: tf.Tensor, crop: tuple[int, int], most: int) -> tf.Tensor:
    """The map that is used for `coefficients`: a map without rotation is moved to whole windows, others are unchanged.

    It moves by at most one pixel of the image, and by half a pixel of the result if the image ends inside the crop. If the
    image shrinks to 1/n or less (n = 2, 4, 8), it moves by less than n pixels of the image. Zoom 1 at a whole offset is
    unchanged. `most` is the most expensive way that can be needed.
    """

    def snapped():
        rows = _axis(coefficients[4], coefficients[5], image_size[0], crop[0])
        columns = _axis(coefficients[0], coefficients[2], image_size[1], crop[1])
        (y, y0), (x, x0) = _line(*rows, crop[0]), _line(*columns, crop[1])
        zero = tf.zeros([])
        return tf.stack([x, zero, x0, zero, y, y0, zero, zero])

    if most <= RESIZE:
        return snapped()
    return tf.cond(_is_aligned(coefficients), snapped, lambda: coefficients)


def nearest(
    values: tf.Tensor, coefficients: tf.Tensor, crop: tuple[int, int], outside: int, most: int, displacement=None
) -> tf.Tensor:
    """Reads `values` [height, width] (labels) by the nearest pixel: [crop height, crop width]; `outside` beyond its edges."""
    image_size = tf.shape(values)

    def aligned():
        rows = _axis(coefficients[4], coefficients[5], image_size[0], crop[0])
        columns = _axis(coefficients[0], coefficients[2], image_size[1], crop[1])
        # Columns are gathered as rows of the transposed image. This is three times as fast, as whole rows are copied at once.
        found = tf.transpose(tf.gather(tf.transpose(tf.gather(values, _indices(*rows))), _indices(*columns)))
        padded = tf.pad(found, [_around(*rows, crop[0]), _around(*columns, crop[1])], constant_values=outside)
        return tf.ensure_shape(padded, crop)

    def warped():
        return project(values[..., tf.newaxis], coefficients, crop, "NEAREST", outside)[..., 0]

    def displaced():
        x, y = places(coefficients, crop, displacement)
        column, row = (tf.cast(tf.floor(place + 0.5), tf.int32) for place in (x, y))
        inside = (column >= 0) & (column < image_size[1]) & (row >= 0) & (row < image_size[0])
        return tf.where(inside, _pick(values, row, column), tf.constant(outside, values.dtype))

    return _cheapest(coefficients, most, aligned, warped, displaced)


def bilinear(
    image: tf.Tensor,
    coefficients: tf.Tensor,
    image_size: tf.Tensor,
    crop: tuple[int, int],
    fill: tuple[float, float, float],
    most: int,
    displacement=None,
) -> tf.Tensor:
    """Reads an image bilinearly: float32 [crop height, crop width, 3]; the colour `fill` beyond its edges.

    Args:
        image: uint8 or float32 [height, width, 3], or the bytes of an image file. Of a JPEG only the window is decoded (at
            1/2, 1/4 or 1/8 if the map shrinks it by as much).
        coefficients: the map, from `snap`.
        image_size: (height, width) of the image.
        crop: (height, width) of the result, pixels.
        fill: colour outside the image, RGB 0..255.
        most: the most expensive way that can be needed.
        displacement: float32 [crop height, crop width, 2] (x, y): added to the places in the result, pixels; for DISPLACE.
    """

    def canvas(height=crop[0], width=crop[1]):
        # Made of whole rows, because tiling vectors of 3 takes ten times as long.
        return tf.reshape(
            tf.tile(tf.tile(tf.constant(fill, tf.float32), [width])[tf.newaxis], [height, 1]), [height, width, 3]
        )

    def aligned():
        rows = _axis(coefficients[4], coefficients[5], image_size[0], crop[0])
        columns = _axis(coefficients[0], coefficients[2], image_size[1], crop[1])
        pixels = _window(image, rows[:2], columns[:2], image_size, tf.minimum(_ratio(*rows), _ratio(*columns)))
        mirrored = tf.boolean_mask([0, 1], tf.stack([rows[4], columns[4]]))
        found = tf.cast(
            tf.cond(tf.size(mirrored) > 0, lambda: tf.reverse(pixels, mirrored), lambda: pixels), tf.float32
        )
        if most > COPY:  # resizing does nothing if the size is the same
            target = tf.stack([rows[3] - rows[2], columns[3] - columns[2]])
            found = tf.raw_ops.ResizeBilinear(images=found[tf.newaxis], size=target, half_pixel_centers=True)[0]
        (top, bottom), (left, right) = _around(*rows, crop[0]), _around(*columns, crop[1])

        def framed():
            height = crop[0] - top - bottom
            wide = tf.concat([canvas(height, left), found, canvas(height, right)], 1)
            return tf.concat([canvas(top), wide, canvas(bottom)], 0)

        return tf.ensure_shape(tf.cond(top + bottom + left + right > 0, framed, lambda: found), [*crop, 3])

    def window(margin):
        """The pixels that a general map reads, and the row and column where they begin."""
        low, high = _bounds(coefficients, crop, margin)
        low = tf.clip_by_value(low, 0, image_size - 1)
        high = tf.clip_by_value(high, low + 1, image_size)
        pixels = _window(image, (low[0], high[0]), (low[1], high[1]), image_size, tf.constant(1))
        return tf.cast(pixels, tf.float32), tf.unstack(tf.cast(low, tf.float32))

    def warped():
        pixels, (row, column) = window(1.0)
        weights = tf.concat([coefficients[6:], [1.0]], 0)
        moved = tf.concat([coefficients[:3] - column * weights, coefficients[3:6] - row * weights, coefficients[6:]], 0)
        found = project(pixels, moved, crop, "BILINEAR", 0.0, "NEAREST")
        low, high = _bounds(coefficients, crop, 0.0)
        within = tf.reduce_all((low >= 0) & (high <= image_size))

        def masked():
            outside = project(tf.zeros(tf.concat([image_size, [1]], 0), tf.uint8), coefficients, crop, "NEAREST", 1)
            return tf.where(outside > 0, canvas(), found)

        return tf.cond(within, lambda: found, masked)

    def displaced():
        pixels, (row, column) = window(1.0 + tf.reduce_max(tf.abs(displacement)))
        x, y = places(coefficients, crop, displacement)
        height, width = (tf.cast(n, tf.float32) for n in (image_size[0], image_size[1]))
        inside = (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)
        x, y = x - column, y - row
        left, upper = tf.floor(x), tf.floor(y)
        fx, fy = (x - left)[..., tf.newaxis], (y - upper)[..., tf.newaxis]
        left, upper = tf.cast(left, tf.int32), tf.cast(upper, tf.int32)
        above, below = (_pick(pixels, r, left) * (1 - fx) + _pick(pixels, r, left + 1) * fx for r in (upper, upper + 1))
        return tf.where(inside[..., tf.newaxis], above * (1 - fy) + below * fy, canvas())

    return _cheapest(coefficients, most, aligned, warped, displaced)


def decoded(image: tf.Tensor) -> tf.Tensor:
    """An image as pixels, uint8 [height, width, 3]; decodes it if it is still the bytes of a file."""
    if image.dtype != tf.string:
        return image
    return tf.ensure_shape(tf.io.decode_image(image, channels=3, expand_animations=False), (None, None, 3))


def places(coefficients: tf.Tensor, crop: tuple[int, int], displacement=None) -> tuple[tf.Tensor, tf.Tensor]:
    """(x, y), the places in the image of all pixels of the result, moved by `displacement` first: float32 [height, width]."""
    u, v = tf.range(crop[1], dtype=tf.float32)[tf.newaxis], tf.range(crop[0], dtype=tf.float32)[:, tf.newaxis]
    if displacement is not None:
        u, v = u + displacement[..., 0], v + displacement[..., 1]
    return _place(coefficients, u, v)


def project(image, coefficients, crop, interpolation, outside, fill_mode="CONSTANT"):
    """TensorFlow's general warp of [height, width, channels], with `outside` beyond the edges if `fill_mode` is constant."""
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image[tf.newaxis],
        transforms=coefficients[tf.newaxis],
        output_shape=crop,
        fill_value=float(outside),
        interpolation=interpolation,
        fill_mode=fill_mode,
    )[0]


def _cheapest(coefficients, most, aligned, warped, displaced):
    if most == DISPLACE:
        return displaced()
    return aligned() if most <= RESIZE else tf.cond(_is_aligned(coefficients), aligned, warped)


def _is_aligned(coefficients):
    return tf.reduce_all(tf.gather(coefficients, [1, 3, 6, 7]) == 0.0)


def _axis(slope, start, length, crop):
    """The windows of a map along an axis: (first, end) in the image, (first, end) in the result, whether it is mirrored.

    The result's window is counted before mirroring. Whole pixels, at least one.
    """
    edges = tf.stack([start - 0.5 * slope, start + (crop - 0.5) * slope]) + 0.5
    low, high, zoom = tf.reduce_min(edges), tf.reduce_max(edges), 1.0 / tf.abs(slope)
    size = tf.cast(length, tf.float32)
    after, before = low >= -TOLERANCE, high <= size + TOLERANCE  # whether the crop begins, and ends, inside the image

    def whole(number):
        return tf.cast(tf.round(number), tf.int32)

    # Inside the image, all windows of the same zoom have the same size.
    count = tf.where(after & before, whole(high - low), tf.where(before, whole(high), length))
    first = tf.where(after, tf.clip_by_value(whole(low), 0, tf.maximum(length - count, 0)), 0)
    first = tf.where(after & ~before, tf.clip_by_value(whole(low), 0, length - 1), first)
    count = tf.maximum(tf.where(after & ~before, length - first, count), 1)
    begin = tf.minimum(tf.where(after, 0, whole(-low * zoom)), crop - 1)
    stop = tf.where(before, crop, tf.where(after, whole((size - low) * zoom), begin + whole(size * zoom)))
    stop = tf.clip_by_value(stop, begin + 1, crop)
    # A window that may be decoded at 1/n begins and ends at a multiple of n pixels, even if the image is not stored as JPEG.
    ratio = _ratio(first, first + count, begin, stop, None)
    first, count = first // ratio * ratio, count // ratio * ratio
    return first, first + count, begin, stop, slope < 0


def _ratio(first, end, begin, stop, _):
    """The largest of RATIOS by which a window shrinks at least."""
    return tf.reduce_max(tf.where((end - first) // (stop - begin) >= RATIOS, RATIOS, 1))


def _line(first, end, begin, stop, mirrored, crop):
    """(slope, start) of the map along an axis that `_axis` divides into windows."""
    first, begin = tf.cast(first, tf.float32), tf.cast(begin, tf.float32)
    slope = (tf.cast(end, tf.float32) - first) / (tf.cast(stop, tf.float32) - begin)
    ahead = first + (0.5 - begin) * slope - 0.5
    return tf.where(mirrored, -slope, slope), tf.where(mirrored, first + (crop - begin - 0.5) * slope - 0.5, ahead)


def _indices(first, end, begin, stop, mirrored):
    """Pixels of the image that lie nearest to those of the result's window: int32 [stop - begin]."""
    count = stop - begin
    # Computed in whole numbers: floor((i + 0.5) * scale) in floats could be rounded differently on another machine.
    indices = first + (2 * tf.range(count) + 1) * (end - first) // (2 * count)
    return tf.cond(mirrored, lambda: indices[::-1], lambda: indices)


def _around(first, end, begin, stop, mirrored, crop):
    """How many pixels of the result lie before and after its window."""
    del first, end
    before, after = begin, crop - stop
    return tf.where(mirrored, after, before), tf.where(mirrored, before, after)


def _window(image, rows, columns, image_size, ratio):
    """Pixels of a window, given as (first, end) of rows and of columns. A JPEG file is decoded at 1/`ratio` of its size."""
    (top, bottom), (left, right) = rows, columns
    if image.dtype != tf.string:
        return tf.ensure_shape(image[top:bottom, left:right], (None, None, 3))

    def jpeg():
        return tf.switch_case(
            tf.cast(tf.reduce_sum(tf.cast(ratio >= RATIOS[1:], tf.int32)), tf.int32),
            [lambda r=r: _jpeg_window(image, top, bottom, left, right, image_size, r) for r in RATIOS],
        )

    is_jpeg = tf.strings.substr(image, 0, 3) == b"\xff\xd8\xff"
    return tf.cond(is_jpeg, jpeg, lambda: decoded(image)[top:bottom, left:right])


def _jpeg_window(image, top, bottom, left, right, image_size, ratio):
    height, width = (-(-image_size[axis] // ratio) for axis in (0, 1))
    top, bottom, left, right = (edge // ratio for edge in (top, bottom, left, right))
    y0, x0 = tf.maximum(top - MARGIN, 0), tf.maximum(left - MARGIN, 0)
    y1, x1 = tf.minimum(bottom + MARGIN, height), tf.minimum(right + MARGIN, width)
    found = tf.io.decode_and_crop_jpeg(image, tf.stack([y0, x0, y1 - y0, x1 - x0]), channels=3, ratio=ratio)
    return found[top - y0 : bottom - y0, left - x0 : right - x0]


def _bounds(coefficients, crop, margin):
    """(first, end) of the rows and columns of the image that a map reads, `margin` pixels of the result wider: int32 [2]."""
    edge = margin + 0.5
    u = tf.stack([-edge, crop[1] - 1 + edge, -edge, crop[1] - 1 + edge])
    v = tf.stack([-edge, -edge, crop[0] - 1 + edge, crop[0] - 1 + edge])
    corners = tf.stack(_place(coefficients, u, v)[::-1]) + 0.5
    # A difference of a thousandth of a pixel is a rounding error.
    low, high = tf.floor(tf.reduce_min(corners, 1) + 1e-3), tf.math.ceil(tf.reduce_max(corners, 1) - 1e-3)
    return tf.cast(low - tf.sign(margin), tf.int32), tf.cast(high + tf.sign(margin), tf.int32)


def _place(coefficients, u, v):
    """(x, y) in the image of pixels (u, v) of the result."""
    a = tf.unstack(coefficients)
    w = a[6] * u + a[7] * v + 1.0
    return (a[0] * u + a[1] * v + a[2]) / w, (a[3] * u + a[4] * v + a[5]) / w


def _pick(values, row, column):
    """values[row, column]. Places beyond an edge are moved to that edge."""
    height, width = tf.shape(values)[0], tf.shape(values)[1]
    flat = tf.reshape(values, [height * width, *values.shape[2:]])
    return tf.gather(flat, tf.clip_by_value(row, 0, height - 1) * width + tf.clip_by_value(column, 0, width - 1))
