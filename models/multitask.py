"""Multi-task: any network with a backbone, with a head that detects objects, and one that gives their masks.

The head of the boxes is that of guanfuchen/semseg (drn_multitask.py), with the boxes of Redmon, Divvala, Girshick, Farhadi, You
Only Look Once, CVPR 2016. https://arxiv.org/abs/1506.02640

If the last feature map has a smaller stride than the head, 3x3 convolutions with stride 2 lead there. If its stride is larger,
it is enlarged and put beside the map that has the stride of the head.

Masks are those of Hu, Dollár, He, Darrell, Girshick, Learning to Segment Every Thing, CVPR 2018 (`transfer`, and the
`class_agnostic` that it is compared with), https://arxiv.org/abs/1711.10370, or of Li, Qi, Dai, Ji, Wei, Fully Convolutional
Instance-aware Semantic Segmentation, CVPR 2017 (`fcis`), https://arxiv.org/abs/1611.07709. Both find boxes by a region proposal
network; here they come from the cells of the detector, and are not refined. A network takes pixels only, and its boxes are
known only after it has run. So its outputs are what masks are made of (`layers.masks_in_boxes`,
`layers.position_sensitive_pool`): the loss takes them with true boxes, prediction with those that the cells give.
"""

import keras
from keras import ops

import tfseg.spec as specs
from models import backbones, drn_multitask, layers

REFERENCE = {
    "params": {"multitask": {12: 14_646_904, 19: 14_646_904 + 7 * (513 + 9 * 256 + 2)}},
    "source": "by hand: drn_a_18's 11,182,668 with 12 classes, 1,180,160 of a 3x3 with stride 2 to 256, 2,233,344 of three "
    "bottlenecks and 50,732 of a 3x3 to 22; each with its norm. A class more is 513 in the logits and 2,306 in the cells",
}

INITIAL = layers.kaiming_normal("fan_out", bias=0.0)
STRIDES = (8, 16, 32)
MASK_STRIDES = {"fcis": 8, "transfer": 4, "class_agnostic": 4}
FCIS_INITIAL = layers.normal(0.01, bias=0.0)  # msracver/FCIS, resnet_v1_101_fcis.py: init_weight
COORDINATES = 4  # of a box; its fifth channel is the confidence


def build(inputs, num_classes, *, model='drn(variant="a_18")', detect="yolo_v1(boxes=2)", masks=""):
    """`model` is the spec of a network with a backbone, `detect` the head's, `yolo_v1(boxes=2, stride=16, classes=0)`.

    `masks` is blank, or `transfer(width=256)`, `class_agnostic(width=256)` or `fcis(k=7, width=1024)`.
    """
    call, head = specs.parse(model), specs.parse(detect)
    specs.choose(HEADS, head.name, "a head", detect)
    specs.check(HEADS[head.name], head, None, None)
    if masks:
        of_masks = specs.parse(masks)
        specs.choose(MASKS, of_masks.name, "a head of masks", masks)
        specs.check(MASKS[of_masks.name], of_masks, None, None, None)
    with backbones.recorded() as built:
        outputs = specs.apply(specs.find("models", call.name).build, call, inputs, num_classes)
    if not built:
        raise ValueError(f"Expected a network with a backbone. Received: model={model!r}, which has none.")
    with layers.initial_weights(INITIAL):
        detection, kinds = specs.apply(HEADS[head.name], head, built[-1], num_classes)
        outputs = {**outputs, "detection": detection}
        if masks:
            x = _at_stride(*built[-1], MASK_STRIDES[of_masks.name])[0]
            last = keras.Model(inputs, detection).get_layer("detect.conv_end")
            outputs |= specs.apply(MASKS[of_masks.name], of_masks, x, last, kinds)
    return outputs


def yolo_v1(built, num_classes, *, boxes=2, stride=16, classes=0):
    """Cells of `stride` pixels with `boxes` boxes each, of `classes` classes: 0 for the network's. See drn_multitask.py.

    Returns the cells and the number of classes.
    """
    if stride not in STRIDES or boxes < 1 or classes < 0:
        raise ValueError(
            f"Expected yolo_v1(boxes=1.., stride={' or '.join(map(str, STRIDES))}, classes=0..). Received: boxes={boxes}, "
            f"stride={stride}, classes={classes}."
        )
    x, smaller = _at_stride(*built, stride)
    for number in range((stride // smaller).bit_length() - 1):
        x = layers.conv_norm(x, drn_multitask.FILTERS, 3, f"detect.reduce.{number}", stride=2)
    kinds = classes or num_classes
    return drn_multitask.head(x, 5 * boxes + kinds, "detect."), kinds


def _at_stride(features, strides, stride):
    """(the last feature map, its stride), or if that is larger than `stride`, enlarged beside the deepest map that fits."""
    x = features["c5"]
    if strides["c5"] <= stride:
        return x, strides["c5"]
    level = next(level for level in ("c4", "c3", "c2", "c1") if strides.get(level, stride + 1) <= stride)
    return keras.layers.Concatenate()([features[level], layers.resize(x, like=features[level])]), strides[level]


HEADS = {"yolo_v1": yolo_v1}


def transfer(x, last, kinds, *, width=256):
    """Kernels of the masks' classes, made of the detector's weights: Learning to Segment Every Thing, figure 2.

    The embedding of a class is the row of its probability in the detector's `last` convolution, followed by the rows of the
    coordinates of all boxes, which the classes share here. That convolution is 3x3; its rows are summed over the 3x3, as a 1x1
    would have them.
    """
    _check_width(width)
    x = layers.conv_norm(x, width, 1, "masks.features")
    rows = ClassRows(kinds, name="masks.rows")(last(UnitInputs(name="masks.units")(last.input)))
    kernels = layers.weight_transfer(rows, width, "masks.transfer")
    return {"mask_features": x, "mask_head": layers.MaskHead(name="masks.head")([x, kernels])}


def class_agnostic(x, last, kinds, *, width=256):
    """One kernel for the masks of all classes."""
    _check_width(width)
    x = layers.conv_norm(x, width, 1, "masks.features")
    return {"mask_features": x, "mask_head": layers.MaskHead(name="masks.head")(x)}


def fcis(x, last, kinds, *, k=7, width=1024):
    """Scores of being outside and inside an object of each class and of the background, in each of k x k parts of it.

    `inside_outside` is [B, H / 8, W / 8, 2 (1 + classes) k k]; the channel of class c, side s (0 outside, 1 inside), row r and
    column q is ((2 c + s) k + r) k + q, as in msracver/FCIS. Class 0 is the background.
    """
    _check_width(width)
    if not (isinstance(k, int) and k >= 1):
        raise ValueError(f"Expected k of 1 or more. Received: {k=}.")
    x = layers.relu(layers.conv(x, width, 1, "masks.conv_new_1"))
    return {"inside_outside": layers.conv(x, 2 * (1 + kinds) * k * k, 1, "masks.fcis_cls_seg", initial=FCIS_INITIAL)}


MASKS = {"transfer": transfer, "class_agnostic": class_agnostic, "fcis": fcis}


def _check_width(width):
    if not (isinstance(width, int) and width >= 1):
        raise ValueError(f"Expected width of 1 or more. Received: {width=}.")


@keras.saving.register_keras_serializable(package="tfseg")
class UnitInputs(keras.layers.Layer):
    """[.., C] -> [C, 3, 3, C]: each channel alone, 1 everywhere. A convolution of it has its summed weights in the middle."""

    def call(self, inputs):
        """The units; of the inputs only the channels are read."""
        channels = inputs.shape[-1]
        return ops.ones((1, 3, 3, 1), self.compute_dtype) * ops.eye(channels, dtype=self.compute_dtype)[:, None, None]

    def compute_output_spec(self, inputs):
        """The known shape."""
        channels = inputs.shape[-1]
        return keras.KerasTensor((channels, 3, 3, channels), self.compute_dtype)


@keras.saving.register_keras_serializable(package="tfseg")
class ClassRows(keras.layers.Layer):
    """What a convolution to 5 B + `classes` channels makes of UnitInputs [C, 3, 3, ..] -> embeddings [classes, C + 4 B C]."""

    def __init__(self, classes, **kwargs):
        super().__init__(**kwargs)
        self.classes = classes

    def call(self, inputs):
        """Each class's own row, then those of the coordinates."""
        rows = ops.transpose(inputs[:, 1, 1])
        boxes = [i for i in range(rows.shape[0] - self.classes) if i % 5 < COORDINATES]
        shared = ops.reshape(ops.take(rows, ops.convert_to_tensor(boxes), axis=0), (1, -1))
        return ops.concatenate([rows[-self.classes :], ops.repeat(shared, self.classes, axis=0)], axis=1)

    def compute_output_spec(self, inputs):
        """All is known."""
        channels, *_, outputs = inputs.shape
        coordinates = (outputs - self.classes) // 5 * COORDINATES
        return keras.KerasTensor((self.classes, channels * (1 + coordinates)), self.compute_dtype)

    def get_config(self):
        """With the number of classes."""
        return {**super().get_config(), "classes": self.classes}


def network_of(*, model='drn(variant="a_18")', detect="yolo_v1(boxes=2)", masks=""):
    """The network inside."""
    return model
