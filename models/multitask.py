"""Multi-task: any network with a backbone, with a head on the backbone's last feature map that detects objects.

The head is that of guanfuchen/semseg (drn_multitask.py), with the boxes of Redmon, Divvala, Girshick, Farhadi, You Only Look
Once, CVPR 2016. https://arxiv.org/abs/1506.02640

If the last feature map has a smaller stride than the head, 3x3 convolutions with stride 2 lead there. If its stride is larger,
it is enlarged and put beside the map that has the stride of the head.
"""

import keras

import tfseg.spec as specs
from models import backbones, drn_multitask, layers

REFERENCE = {
    "params": {"multitask": {12: 14_646_904, 19: 14_646_904 + 7 * (513 + 9 * 256 + 2)}},
    "source": "by hand: drn_a_18's 11,182,668 with 12 classes, 1,180,160 of a 3x3 with stride 2 to 256, 2,233,344 of three "
    "bottlenecks and 50,732 of a 3x3 to 22; each with its norm. A class more is 513 in the logits and 2,306 in the cells",
}

INITIAL = layers.kaiming_normal("fan_out", bias=0.0)
STRIDES = (8, 16, 32)


def build(inputs, num_classes, *, model='drn(variant="a_18")', detect="yolo_v1(boxes=2)"):
    """`model` is the spec of a network with a backbone, `detect` the head's, `yolo_v1(boxes=2, stride=16, classes=0)`."""
    call, head = specs.parse(model), specs.parse(detect)
    specs.choose(HEADS, head.name, "a head", detect)
    specs.check(HEADS[head.name], head, None, None)
    with backbones.recorded() as built:
        outputs = specs.apply(specs.find("models", call.name).build, call, inputs, num_classes)
    if not built:
        raise ValueError(f"Expected a network with a backbone. Received: model={model!r}, which has none.")
    with layers.initial_weights(INITIAL):
        return {**outputs, "detection": specs.apply(HEADS[head.name], head, built[-1], num_classes)}


def yolo_v1(built, num_classes, *, boxes=2, stride=16, classes=0):
    """Cells of `stride` pixels with `boxes` boxes each, of `classes` classes: 0 for the network's. See drn_multitask.py."""
    if stride not in STRIDES or boxes < 1 or classes < 0:
        raise ValueError(
            f"Expected yolo_v1(boxes=1.., stride={' or '.join(map(str, STRIDES))}, classes=0..). Received: boxes={boxes}, "
            f"stride={stride}, classes={classes}."
        )
    features, strides = built
    x = features["c5"]
    if strides["c5"] > stride:
        level = next(level for level in ("c4", "c3", "c2") if strides[level] <= stride)
        x = keras.layers.Concatenate()([features[level], layers.resize(x, like=features[level])])
        strides = {"c5": strides[level]}
    for number in range((stride // strides["c5"]).bit_length() - 1):
        x = layers.conv_norm(x, drn_multitask.FILTERS, 3, f"detect.reduce.{number}", stride=2)
    return drn_multitask.head(x, 5 * boxes + (classes or num_classes), "detect.")


HEADS = {"yolo_v1": yolo_v1}


def network_of(*, model='drn(variant="a_18")', detect="yolo_v1(boxes=2)"):
    """The network inside."""
    return model
