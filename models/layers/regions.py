"""Parts of maps inside boxes: RoIAlign and position-sensitive pooling, as products with matrices of weights.

A row of a cell's weights is the same for all columns, and the other way round, so each of them is two matrix products. These
have an exact gradient, and the same code runs on every backend. Both are functions of tensors, not layers of a network: the
boxes are known only after the network has run.
"""

from keras import ops


def roi_align(maps, boxes, size, samples=2):
    """Resamples boxes of maps to squares: He, Gkioxari, Dollár, Girshick, Mask R-CNN, ICCV 2017, section 3.

    A cell's value is the mean over samples x samples points that divide it evenly, each interpolated bilinearly on the half-
    pixel grid: the centre of the map's first cell lies at half a cell. This is torchvision's roi_align with aligned=True for
    boxes inside the image. (tf.image.crop_and_resize puts its points on the edges of the box instead.)

    Args:
        maps: float [batch, height, width, C].
        boxes: float [batch, n, 4], x1, y1, x2, y2 as shares of the image. Points beyond the outermost centres
            have the values there.
        size: cells of a side.
        samples: points of a side of a cell.

    Returns:
        [batch, n, size, size, C].
    """
    height, width = ops.shape(maps)[1:3]
    across = _interpolation(boxes[..., 0], boxes[..., 2], width, size, samples, maps.dtype)
    down = _interpolation(boxes[..., 1], boxes[..., 3], height, size, samples, maps.dtype)
    return ops.einsum("bnjx,bnixc->bnijc", across, ops.einsum("bniy,byxc->bnixc", down, maps))


def _interpolation(low, high, length, size, samples, kind):
    """The share of each of `length` cells of the map in each of `size` cells: [batch, n, size, length]."""
    steps = (ops.cast(ops.arange(size * samples), kind) + 0.5) / (size * samples)
    cells = ops.cast(ops.arange(length), kind)
    low, high = (ops.cast(edge, kind)[..., None] for edge in (low, high))
    last = ops.cast(length, kind) - 1
    place = ops.minimum(ops.relu((low + (high - low) * steps) * (last + 1) - 0.5), last)
    weights = ops.relu(1 - ops.abs(place[..., None] - cells))
    # Slices and not a reshape, since the number of boxes may be known only at run time.
    return sum(weights[:, :, sample::samples] for sample in range(samples)) / samples


def position_sensitive_pool(maps, boxes, k, size, scale):
    """Position-sensitive pooling as in msracver/FCIS (operator PSROIPooling): each part of a box reads maps of its own.

    A box is rounded to whole pixels, halves away from zero, and multiplied by the scale. It has at least .1 cells a side and is
    divided into size x size bins, from the floor of one edge to the ceiling of the other. A bin's value is the mean over its
    cells inside the map, 0 where there is none. Bin (i, j) reads the group (floor(i k / size), floor(j k / size)).
    (torchvision's ps_roi_pool is another operator: it rounds after the scaling, and size is k.)

    Args:
        maps: float [batch, height, width, C k k]; the channel of group (row, column) of c is (c k + row) k + column.
        boxes: float [batch, n, 4], x1, y1, x2, y2 in pixels, of which the last column and row belong to the box.
        k: groups of a side.
        size: bins of a side.
        scale: (of x, of y), cells of the map for a pixel.

    Returns:
        [batch, n, size, size, C].
    """
    batch, height, width, channels = ops.shape(maps)
    maps = ops.reshape(maps, (batch, height, width, channels // (k * k), k, k))
    across = _bins(boxes[..., 0], boxes[..., 2], scale[0], width, size, maps.dtype)
    down = _bins(boxes[..., 1], boxes[..., 3], scale[1], height, size, maps.dtype)
    groups = [slice(-(-group * size // k), -(-(group + 1) * size // k)) for group in range(k)]
    rows = [ops.einsum("bniy,byxcg->bnixcg", down[:, :, bins], maps[..., row, :]) for row, bins in enumerate(groups)]
    rows = ops.concatenate(rows, 2)
    columns = [
        ops.einsum("bnjx,bnixc->bnijc", across[:, :, bins], rows[..., column]) for column, bins in enumerate(groups)
    ]
    return ops.concatenate(columns, 3)


def _bins(low, high, scale, length, size, kind):
    """The share of each of `length` cells of the map in each of `size` bins: [batch, n, size, length]."""
    scale = ops.cast(scale, kind)
    low, high = (
        ops.sign(edge) * ops.floor(ops.abs(edge) + 0.5) for edge in (ops.cast(low, kind), ops.cast(high, kind))
    )
    start, end = low * scale, (high + 1) * scale
    side = ops.maximum(end - start, 0.1)[..., None] / size
    number, cells = ops.cast(ops.arange(size), kind), ops.cast(ops.arange(length), kind)
    most = ops.cast(length, kind)
    first = ops.clip(ops.floor(number * side + start[..., None]), 0, most)
    last = ops.clip(ops.ceil((number + 1) * side + start[..., None]), 0, most)
    inside = ops.logical_and(cells >= first[..., None], cells < last[..., None])
    return ops.cast(inside, kind) / ops.maximum(last - first, 1)[..., None]
