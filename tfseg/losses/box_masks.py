"""The loss of Mask R-CNN's masks in the true boxes, for the classes that have masks."""

import tensorflow as tf

from models import layers
from tfseg import box_masks as masks_lib
from tfseg.losses import _cells, _in_boxes


def box_masks(mask_features, mask_head, boxes, box_classes, instances, image, logits, *, classes=(), known=(), most=16):
    """The mask loss of He et al., ICCV 2017, section 3, as Hu et al., CVPR 2018 (https://arxiv.org/abs/1711.10370), train it.

    The head gives a mask of its class in each true box: 28 x 28 cells, whose target is whether the object covers half of the
    cell or more. An object's loss is the mean of their binary cross entropies, an image's the mean over its objects. Objects of
    classes without masks (not in `known`) take no part, which is how a partly supervised set is trained: boxes of all classes,
    masks of some.

    Args:
        mask_features: float [batch, h, w, width], what the head is applied to.
        mask_head: float [batch, n], the head's weights; see models/layers/mask_head.py.
        boxes: float [batch, rows, 4], x1, y1, x2, y2 in pixels.
        box_classes: int32 [batch, rows], train ids; NONE for a row without an object.
        instances: int32 [batch, height, width], 0 for none, k for the object of row k - 1.
        image: [batch, height, width, 3]. Only its size is read.
        logits: [.., classes]. Only the number of classes is read.
        classes: the train ids that the cells of the detection stand for, in their order, as for yolo_v1. Blank: all.
        known: the train ids of the classes that have masks. Blank: all of them.
        most: objects of an image that count, the largest.

    Returns:
        (sum, number of images with an object that counts), float32 scalars; (0, 0) with a gradient of 0 where there is none.

    Raises:
        ValueError: where the head's kernels do not fit the number of classes, or an argument is wrong.
    """
    kinds = tuple(classes) or tuple(range(logits.shape[-1]))
    masked = tuple(known) or kinds
    if not (set(masked) <= set(kinds) and isinstance(most, int) and most >= 1):
        raise ValueError(
            f"Expected known=(..) of the train ids {kinds} of the cells, most of 1 or more. Received: {known=}, {most=}."
        )
    mask_features, mask_head, boxes = map(tf.convert_to_tensor, (mask_features, mask_head, boxes))
    masks_lib.check_kernels(layers.kernels_of(mask_head, mask_features.shape[-1]), len(kinds))
    float_type = tf.float64 if mask_features.dtype == tf.float64 else tf.float32
    boxes = tf.cast(boxes, float_type)
    sides = boxes[..., 2:] - boxes[..., :2]
    counted = (_cells.channel(box_classes, masked) >= 0) & tf.reduce_all(sides > 0, -1)
    area = tf.where(counted, sides[..., 0] * sides[..., 1], 0)
    rows = tf.argsort(area, -1, "DESCENDING", stable=True)[:, :most]
    boxes, counted, places = (
        tf.gather(x, rows, batch_dims=1) for x in (boxes, counted, _cells.channel(box_classes, kinds))
    )
    shares = _cells.shares_of(boxes, image, float_type)
    found = layers.masks_in_boxes(tf.cast(mask_features, float_type), tf.cast(mask_head, float_type), shares, places)
    covered = _in_boxes.share_of_object(instances, rows + 1, boxes, 2 * layers.MASK_CELLS)
    loss = tf.reduce_mean(_in_boxes.bits(found, tf.cast(covered >= 0.5, float_type)), [2, 3])
    counted = tf.cast(counted, float_type)
    objects = tf.reduce_sum(counted, 1)
    of_images = tf.math.divide_no_nan(tf.reduce_sum(counted * loss, 1), objects)
    return tf.cast(tf.reduce_sum(of_images), tf.float32), tf.reduce_sum(tf.cast(objects > 0, tf.float32))
