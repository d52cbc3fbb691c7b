"""Makes of an image with instances an example of mask propagation: a frame, a flow, and a mask of the frame before (--pairs).

The frame before is not drawn. Every object, and the ground, is given a motion, which is the flow; the mask before, moved along
the flow, is the object's own mask with errors as such a mask has. The label is the object's true mask, 1 in 0. So any data set
with instances trains it, also single images; Perazzi, Khoreva, Benenson, Schiele, Sorkine-Hornung, Learning Video Object
Segmentation from Static Images, CVPR 2017, deform masks in this way. It happens after the augmentation, so flips and turns
need no care here.
"""

import functools
from collections.abc import Callable

import tensorflow as tf

import tfseg.spec as specs
from input_pipeline import IGNORE, instances

FLOW_ZERO, FLOW_UNIT = 128.0, 8.0  # a flow of x pixels is 128 + 8 x, as models/mask_propagation.py reads it
SEED = 0x9A125  # folded into an example's seed, so that its draws are others than those of the augmentation
LEAST = 8  # pixels of a crop's side


def build(spec: str) -> Callable | None:
    """Parses --pairs to `make(example, seed) -> example`; blank: None.

    Args:
        spec: `deformed(shift=6.0, error=0.15, blank=0.15, still=0.2)`.

    Raises:
        ValueError: for an unknown name or option, or one out of its range.
    """
    if not spec:
        return None
    call = specs.parse(spec)
    return specs.apply(specs.choose({"deformed": deformed}, call.name, "a way to make pairs", spec), call)


def deformed(*, shift: float = 6.0, error: float = 0.15, blank: float = 0.15, still: float = 0.2) -> Callable:
    """An object in its box, with the flow and a mask with errors.

    Args:
        shift: largest motion of an object in each direction, pixels; the ground has up to a third of it.
        error: of the mask: it is larger or smaller by this share, is moved by this share of its object's side, turned by as
            many radians, and its outline is uneven.
        blank: share of the examples that show the whole image with an empty mask and no flow. Their label has all objects:
            from them the network learns where there is anything, which finds lost objects again.
        still: share of the others that have no flow.

    Returns:
        The function of `build`.
    """
    shares = {"error": error, "blank": blank, "still": still}
    if not 0 <= shift <= 15 or not all(0 <= share <= 1 for share in shares.values()):
        raise ValueError(
            f"Expected --pairs=deformed(shift=0..15, error=0..1, blank=0..1, still=0..1). Received: {shift=}, {shares}."
        )
    return functools.partial(_pair, shift=float(shift), **shares)


def _pair(example, seed, shift, error, blank, still):
    """The pair of an example.

    Args:
        example: `image` [height, width, 3], 0..255, `label` uint8 and `instances` int32 [height, width].
        seed: int32 [2].
        shift, error, blank, still: as in `deformed`.

    Returns:
        The example with `image` float32 [height, width, 6], 0..255 as in models/mask_propagation.py, enlarged to the image's
        size from the box around the mask, and `label` 0, 1 and IGNORE. The object is the only one of `instances` and `boxes`.
    """
    image, label, ids = tf.cast(example["image"], tf.float32), example["label"], example["instances"]
    shape, (height, width) = ids.shape, tf.unstack(tf.shape(ids))
    size = tf.stack([height, width])
    draws = tf.random.stateless_uniform([16], seed)
    chosen = 1 + tf.cast(draws[0] * tf.cast(tf.reduce_max(ids), tf.float32), tf.int32)
    here, empty = tf.equal(ids, chosen), draws[1] < blank

    flow = _motions(ids, seed, shift)
    flow = tf.where(empty | (draws[2] < still), 0.0, flow)
    mask = _with_errors(here, draws[3:9], _noise(seed, 1, size)[..., 0], error)
    mask = tf.where(empty, 0.0, mask)
    wanted = tf.where(empty, ids > 0, here)

    top, left, bottom, right = _box(mask > 0.5, draws[9:13], empty)

    def enlarged(x, method):
        return tf.image.resize(x[top:bottom, left:right], size, method)

    scale = tf.cast(tf.stack([width, height]), tf.float32) / tf.cast(tf.stack([right - left, bottom - top]), tf.float32)
    smooth = enlarged(tf.concat([image, flow, mask[..., tf.newaxis]], -1), "bilinear")
    channels = [smooth[..., :3], FLOW_ZERO + FLOW_UNIT * scale * smooth[..., 3:5], 255.0 * smooth[..., 5:]]
    found = tf.where(tf.equal(label, IGNORE), tf.constant(IGNORE, tf.uint8), tf.cast(wanted, tf.uint8))
    found = tf.ensure_shape(enlarged(found[..., tf.newaxis], "nearest")[..., 0], shape)
    made = {
        **example,
        "image": tf.ensure_shape(tf.clip_by_value(tf.concat(channels, -1), 0.0, 255.0), [*shape, 6]),
        "label": found,
        "instances": tf.cast(tf.equal(found, 1), tf.int32),
        "box_classes": tf.ones([1], tf.int32),
    }
    return instances.settle_example(made)


def of_evaluation(make: Callable | None, example: dict, index: tf.Tensor) -> dict:
    """A decoded example of evaluation, with uint8 pixels: its pair is the same in every evaluation."""
    if make is None:
        return example
    made = make(example, tf.random.experimental.stateless_fold_in(tf.constant([SEED, 0]), index))
    return {**made, "image": tf.saturate_cast(tf.round(made["image"]), tf.uint8)}


def _motions(ids, seed, shift):
    """A flow float32 [height, width, 2]: a motion for each id, mixed at their borders as found flows are, and unrest."""
    fold = tf.random.experimental.stateless_fold_in
    table = tf.random.stateless_uniform([tf.reduce_max(ids) + 1, 2], fold(seed, 0), -shift, shift)
    table = tf.concat([table[:1] / 3, table[1:]], 0)
    flow = tf.gather(table, ids) + 0.5 * _noise(seed, 2, tf.shape(ids))
    return tf.nn.avg_pool2d(flow[tf.newaxis], 3, 1, "SAME")[0]


def _noise(seed, number, size):
    """Smooth normal noise float32 [height, width, 2]: 6 x 6 draws, enlarged."""
    draws = tf.random.stateless_normal([6, 6, 2], tf.random.experimental.stateless_fold_in(seed, number))
    return tf.image.resize(draws, size, "bicubic")


def _with_errors(mask, draws, noise, error):
    """A mask float32 [height, width], 0..1, that is moved, turned, of another size, and has an uneven, soft outline."""
    mask = tf.cast(mask, tf.float32)
    height, width = (tf.cast(n, tf.float32) for n in tf.unstack(tf.shape(mask)))
    area = tf.reduce_sum(mask)
    y = tf.reduce_sum(mask * tf.range(height)[:, tf.newaxis]) / tf.maximum(area, 1.0)
    x = tf.reduce_sum(mask * tf.range(width)) / tf.maximum(area, 1.0)
    signed = error * (2 * draws - 1)
    scale, cos, sin = 1 / (1 + signed[0]), tf.cos(signed[1]), tf.sin(signed[1])
    side = 2 * tf.sqrt(area)  # of a thin object; a square one has half of it
    # Where each pixel of the result is read: turned and scaled about the object's centre, and moved.
    a, b = scale * cos, -scale * sin
    dx, dy = x + signed[2] * side / 2, y + signed[3] * side / 2
    transform = tf.stack([a, b, dx - a * x - b * y, -b, a, dy + b * x - a * y, 0.0, 0.0])
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=mask[tf.newaxis, ..., tf.newaxis],
        transforms=transform[tf.newaxis],
        output_shape=tf.shape(mask),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    soft = tf.nn.avg_pool2d(moved, 3, 1, "SAME")[0, ..., 0]
    return tf.clip_by_value(0.5 + 2.5 * (soft - 0.5 + error * noise * tf.cast(soft > 0.05, tf.float32)), 0.0, 1.0)


def _box(mask, draws, whole):
    """(top, left, bottom, right) around a mask, 15 % larger on every side give or take 10 %; the whole image without a mask."""
    size = tf.shape(mask)
    edges = []
    for axis in (1, 0):
        places = tf.where(tf.reduce_any(mask, axis))[:, 0]
        length = size[1 - axis]
        first = tf.cast(tf.reduce_min(tf.concat([places, [tf.cast(length, tf.int64)]], 0)), tf.int32)
        last = tf.cast(tf.reduce_max(tf.concat([places, [-1]], 0)), tf.int32) + 1
        side = tf.cast(last - first, tf.float32)
        margin = tf.maximum(tf.cast(LEAST - (last - first), tf.float32) / 2, 0.0)
        more = [
            tf.cast(tf.round(tf.maximum((0.05 + 0.2 * draws[2 * axis + i]) * side, margin)), tf.int32) for i in (0, 1)
        ]
        none = whole | (last <= first)
        edges.append(
            (
                tf.where(none, 0, tf.maximum(first - more[0], 0)),
                tf.where(none, length, tf.minimum(last + more[1], length)),
            )
        )
    (top, bottom), (left, right) = edges
    return top, left, bottom, right
