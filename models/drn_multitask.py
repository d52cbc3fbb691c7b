"""DRN multi-task: a ResNet-18 that segments and detects, with the boxes of YOLO.

guanfuchen/semseg, semseg/modelloader/drn_a_mt.py, https://github.com/guanfuchen/semseg; the boxes are those of Redmon, Divvala,
Girshick, Farhadi, You Only Look Once, CVPR 2016. https://arxiv.org/abs/1506.02640

It is named after DRN, but its trunk has no dilation and a stride of 32. `detection` is [B, rows, columns, 5 boxes + classes],
rows and columns of 32 pixels, rounded up: for each box x and y in its cell, width and height as shares of the image, and its
confidence, then a probability for each class; all 0..1. The scales and shifts of the trunk's batch norms stay as they are,
while their statistics are trained. A network that is loaded from a .keras file trains them too.
"""

import keras

from models import backbones, layers

REFERENCE = {
    "params": {"drn_multitask": {12: 13_565_156, 19: 13_565_156 + 7 * 513}},
    "source": "guanfuchen/semseg drn_a_mt.py, run; without 9,600 frozen scales and shifts. A class more is 512 and a bias",
}

INITIAL = layers.normal(0.01)  # drn_a_mt.py: every convolution's kernel, and torch's own biases
FILTERS, BLOCKS, DILATION = 256, 3, 2  # of the detection head


def build(inputs, num_classes, *, boxes=2, detection_classes=2):
    """`boxes` a cell, of `detection_classes`: the original's are cars and pedestrians."""
    x = backbones.build("resnet18", inputs, initial=INITIAL)["c5"]
    for layer in keras.Model(inputs, x).layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.gamma.trainable = layer.beta.trainable = False
    with layers.initial_weights(INITIAL):
        scores = layers.conv(x, num_classes, 1, "out_conv")
        detection = head(x, 5 * boxes + detection_classes)
    return {"logits": layers.resize(scores, like=inputs, align_corners=True), "detection": detection}


def head(x, channels, name=""):
    """Three bottlenecks with dilation, a 3x3 convolution to the channels of a cell, batch norm, sigmoid."""
    for number in range(BLOCKS):
        x = bottleneck(x, f"{name}layer5.{number}", shortcut=number == 0)
    return layers.conv_norm(x, channels, 3, name.removesuffix("."), ("conv_end", "bn_end"), activation="sigmoid")


def bottleneck(x, name, shortcut):
    """1x1, 3x3 with dilation, 1x1, added to x or to a 1x1 convolution of it."""
    y = layers.conv_norm(x, FILTERS, 1, name, ("conv1", "bn1"))
    y = layers.conv_norm(y, FILTERS, 3, name, ("conv2", "bn2"), dilation=DILATION)
    y = layers.conv_norm(y, FILTERS, 1, name, ("conv3", "bn3"), activation=None)
    x = layers.conv_norm(x, FILTERS, 1, f"{name}.downsample", activation=None) if shortcut else x
    return layers.relu(keras.layers.Add()([y, x]))


def backbone_of(*, boxes=2, detection_classes=2):
    """The spec of the backbone."""
    return "resnet18"
