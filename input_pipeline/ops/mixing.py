"""Augmentation across images: parts of one example in another one of its group, with label, instances and boxes.

`share` is the share of the images, 0..1, that are mixed. A pixel is always copied together with its label, never blended, so
that image and label stay aligned and no class is invented. Each result has the boxes of all images that are in it, some of them
empty (`boxes.py`). The instance numbers of the parts that are put in follow the existing numbers, and what is hidden has none.
"""

import tensorflow as tf

from input_pipeline import IGNORE, boxes, instances
from input_pipeline.ops import _draws


def cutmix(batch, seed, share: float = 0.5, area: tuple[float, float] = (0.0, 1.0)):
    """Puts a rectangle of the next image of the group into an image, at the same place.

    CutMix (Yun et al., 2019): the rectangle has the shape of the image and a part of its area that is uniform in `area`, 0..1;
    its centre is any pixel, and what lies outside the image is cut off. For segmentation: French et al., 2020.
    """
    _draws.check_range("area", area, 0, 1)
    count, height, width = _shape(batch)
    draws = tf.random.stateless_uniform([count, 4], seed)
    side = tf.sqrt(area[0] + draws[:, 0] * (area[1] - area[0]))
    masks = [
        _between(draws[:, i] * length - side * length / 2, draws[:, i] * length + side * length / 2, length)
        for i, length in ((1, float(height)), (2, float(width)))
    ]
    acts = _draws_below(draws[:, 3], share)
    mask = masks[0][:, :, tf.newaxis] & masks[1][:, tf.newaxis] & acts
    return _put(batch, _others(batch, _next(count, 1)), mask)


def classmix(batch, seed, share: float = 0.5, classes: float = 0.5):
    """Puts all pixels of some classes of the next image of the group into an image, at the same place.

    ClassMix (Olsson et al., 2021): the share `classes`, 0..1, of the classes in the other image is drawn, rounded up.
    Its labels are the true ones here. Ignored pixels are not copied.
    """
    _draws.check(classes=(classes, 0, 1))
    count, _, _ = _shape(batch)
    others = _others(batch, _next(count, 1))
    present = tf.stack([_counts(label) > 0 for label in tf.unstack(others["label"])])
    draws = tf.random.stateless_uniform([count, IGNORE + 1], seed)
    # The place of each class in the order of the draws; absent classes come last.
    order = tf.argsort(tf.argsort(tf.where(present[:, :IGNORE], draws[:, :IGNORE], 2.0)))
    number = tf.cast(tf.math.ceil(classes * tf.reduce_sum(tf.cast(present[:, :IGNORE], tf.float32), 1)), tf.int32)
    taken = (order < number[:, tf.newaxis]) & present[:, :IGNORE]
    return _put(batch, others, _of_classes(others["label"], taken) & _draws_below(draws[:, IGNORE], share))


def copy_paste(batch, seed, share: float = 0.5, rare: tuple[int, ...] = (), below: float = 0.02):
    """Puts all pixels of rare classes of another image of the group into an image, at the same place.

    Of the images that show such a class, one is drawn. Simple Copy-Paste (Ghiasi et al., 2021), with pixels of classes instead
    of instances; scale and flip were drawn for each image before.

    Args:
        batch: see `ops/__init__.py`.
        seed: see there.
        share: see above.
        rare: train ids. Blank: the classes that fill less than `below` of the valid pixels of the group.
        below: 0..1; has no effect if `rare` is given.
    """
    _draws.check(below=(below, 0, 1))
    if not all(isinstance(train_id, int) and 0 <= train_id < IGNORE for train_id in rare):
        raise ValueError(f"Expected rare=(id, ...) of train ids from 0 to {IGNORE - 1}. Received: rare={rare}.")
    count, _, _ = _shape(batch)
    counts = tf.stack([_counts(label)[:IGNORE] for label in tf.unstack(batch["label"])])
    if rare:
        taken = tf.reduce_any(tf.one_hot(rare, IGNORE, True, False), 0)
    else:
        total = tf.cast(tf.reduce_sum(counts, 0), tf.float32)
        taken = total < below * tf.reduce_sum(total)
    shows = tf.reduce_any((counts > 0) & taken, 1)
    draws = tf.random.stateless_uniform([count, count + 1], seed)
    possible = shows & ~tf.eye(count, dtype=tf.bool)  # [image, the other]
    others = _others(batch, tf.argmax(tf.where(possible, draws[:, :count], -1.0), 1))
    acts = _draws_below(draws[:, count], share) & tf.reduce_any(possible, 1)[:, tf.newaxis, tf.newaxis]
    return _put(batch, others, _of_classes(others["label"], tf.tile(taken[tf.newaxis], [count, 1])) & acts)


def mosaic(batch, seed, share: float = 0.5, centre: tuple[float, float] = (0.25, 0.75)):
    """Puts a window of each of the next three images of the group into the three other quarters of an image.

    Mosaic (YOLOv4, Bochkovskiy et al., 2020). The point where the four meet is uniform in `centre`, 0..1, of the height and of
    the width, in whole pixels; each window is the size of its quarter and lies anywhere in its image, so nothing is resampled
    (as in RICAP, Takahashi et al., 2018). The image itself stays in the upper left quarter, where it was.
    """
    _draws.check_range("centre", centre, 0, 1)
    count, height, width = _shape(batch)
    draws = tf.random.stateless_uniform([count, 9], seed)
    middle = [
        tf.round((centre[0] + draws[:, i] * (centre[1] - centre[0])) * length)
        for i, length in enumerate((height, width))
    ]
    acts, result = _draws_below(draws[:, 2], share), batch
    for i, (lower, right) in enumerate(((False, True), (True, False), (True, True)), 1):
        shift, masks = [], []
        for axis, (far, length) in enumerate(((lower, height), (right, width))):
            low, high = (middle[axis], tf.fill([count], float(length))) if far else (tf.zeros([count]), middle[axis])
            # The window begins at any pixel at which it fits into the image.
            first = tf.floor(draws[:, 1 + 2 * i + axis] * (length - (high - low) + 1.0))
            shift.append(tf.cast(low - tf.minimum(first, length - (high - low)), tf.int32))
            masks.append(_between(low, high, length))
        mask = masks[0][:, :, tf.newaxis] & masks[1][:, tf.newaxis] & acts
        result = _put(result, _shifted(_others(batch, _next(count, i)), tf.stack(shift, 1)), mask)
    return result


def _shape(batch):
    """(images, height, width), which are known when the graph is made."""
    return tuple(batch["label"].shape)


def _next(count, step):
    """For each image the number of the one that is `step` further; after the last comes the first."""
    return tf.constant([(i + step) % count for i in range(count)])


def _others(batch, numbers):
    """For each image another one, with all its entries that can be mixed in."""
    return {
        k: tf.gather(batch[k], numbers) for k in ("image", "label", "instances", "boxes", "box_classes") if k in batch
    }


def _shifted(others, by):
    """Images moved by `by` (rows, columns) pixels, int32 [images, 2]; pixels that leave at an edge enter at the other."""
    moved = {k: tf.stack([tf.roll(v, by[i], [0, 1]) for i, v in enumerate(tf.unstack(others[k]))])
             for k in ("image", "label", "instances") if k in others}  # fmt: skip
    if "boxes" in others:
        moved["boxes"] = others["boxes"] + tf.cast(tf.tile(by[:, ::-1], [1, 2]), tf.float32)[:, tf.newaxis]
    return others | moved


def _put(batch, others, mask):
    """The batch, with the pixels of `others` where `mask` (bool [images, height, width]) is true."""
    share = tf.cast(mask[..., tf.newaxis], batch["image"].dtype)  # 0 or 1; tf.where takes three times as long
    result = {"image": share * others["image"] + (1 - share) * batch["image"]}
    result["label"] = tf.where(mask, others["label"], batch["label"])
    if "instances" in batch:
        own, new = (tf.cast(x["instances"], tf.int32) for x in (batch, others))
        behind = batch["boxes"].shape[1] if "boxes" in batch else tf.reduce_max(own, [1, 2], keepdims=True)
        result["instances"] = tf.where(mask, tf.where(new > 0, new + behind, 0), own)
    if "instances" in batch and "boxes" in batch:
        result |= instances.settle(result["instances"], tf.concat([batch["box_classes"], others["box_classes"]], 1))
    elif "boxes" in batch:
        pairs = [boxes.visible({k: v[i] for k, v in x.items() if k in ("label", "boxes", "box_classes")}, shown[i])
                 for i in range(mask.shape[0]) for x, shown in ((batch, ~mask), (others, mask))]  # fmt: skip
        for number, key in enumerate(("boxes", "box_classes")):
            found = [pair[number] for pair in pairs]
            result[key] = tf.stack([tf.concat(found[i : i + 2], 0) for i in range(0, len(found), 2)])
    return {**batch, **result}


def _between(low, high, length):
    """Which pixels of a line of `length` have their centre in [low, high), for each image: bool [images, length]."""
    places = tf.range(float(length))[tf.newaxis] + 0.5
    return (places >= low[:, tf.newaxis]) & (places < high[:, tf.newaxis])


def _of_classes(labels, taken):
    """The pixels whose class is one of `taken` (bool [images, 255]); ignored ones are none."""
    table = tf.pad(taken, [[0, 0], [0, 1]])
    # A lookup in one flat table, because batch_dims takes twice as long.
    begin = (IGNORE + 1) * tf.range(labels.shape[0])[:, tf.newaxis, tf.newaxis]
    return tf.gather(tf.reshape(table, [-1]), tf.cast(labels, tf.int32) + begin)


def _counts(label):
    """Pixels of each id 0..255 of a label."""
    return tf.math.bincount(tf.cast(tf.reshape(label, [-1]), tf.int32), minlength=IGNORE + 1, maxlength=IGNORE + 1)


def _draws_below(draws, share):
    """Which images are mixed, bool [images, 1, 1]: true for `share` of them."""
    _draws.check(share=(share, 0, 1))
    return (draws < share)[:, tf.newaxis, tf.newaxis]
