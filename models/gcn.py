"""GCN: Large Kernel Matters - Improve Semantic Segmentation by Global Convolutional Network.

Peng, Zhang, Yu, Luo, Sun, CVPR 2017. https://arxiv.org/abs/1703.02719

The network of github.com/guanfuchen/semseg (gcn.py), whose weights fit. It differs from the paper: its boundary refinement has
a batch norm, and the ReLU before the first convolution; it doubles the resolution bilinearly, not by transposed convolutions;
its kernel is 7, while the paper's best is 15.
"""

import keras

from models import backbones, layers

REFERENCE = {
    "params": {
        "gcn": {12: 11_369_808},
        'gcn(backbone="resnet34")': {12: 21_477_968},
        'gcn(backbone="resnet50")': {12: 24_185_168},
        'gcn(backbone="resnet101")': {12: 43_177_296},
    },
    "macs": {"gcn": 253_373_184, 'gcn(backbone="resnet50")': 554_994_432},
    "input": (64, 96, 3),
    "source": "guanfuchen/semseg semseg/modelloader/gcn.py, run",
}

LAST_STEP = layers.fit  # the reference's output is 4 times the rounded-up quarter of the image


def build(inputs, num_classes, *, backbone="resnet18", kernel=7):
    """Figure 2(A). `backbone` is a spec of `models.backbones`, the paper's ResNet-152; `kernel`, odd, is k of its table 1."""
    if kernel % 2 == 0:
        raise ValueError(f"Expected an odd kernel, which has a centre. Received: {kernel=}.")
    features, x = backbones.build(backbone, inputs), None
    for level in (4, 3, 2, 1):
        y = global_convolution(features[f"c{level + 1}"], num_classes, kernel, f"gcn{level}")
        y = boundary_refinement(y, f"br1_{level}")
        if x is not None:
            y = keras.layers.Add()([y, layers.resize(x, like=y, align_corners=True)])
            y = boundary_refinement(y, f"br2_{level}")
        x = y
    for i in range(1, 3):
        x = boundary_refinement(layers.resize(x, scale=2, align_corners=True), f"br3_{i}")
    return {"logits": x}


def global_convolution(x, num_classes, k, name):
    """Figure 2(B): the sum of k x 1 then 1 x k, and 1 x k then k x 1, directly to the classes."""
    left = layers.conv(x, num_classes, (k, 1), f"{name}.conv1_1")
    left = layers.conv(left, num_classes, (1, k), f"{name}.conv1_2")
    right = layers.conv(x, num_classes, (1, k), f"{name}.conv2_1")
    right = layers.conv(right, num_classes, (k, 1), f"{name}.conv2_2")
    return keras.layers.Add()([left, right])


def boundary_refinement(x, name):
    """Figure 2(C): the maps of the classes plus two 3x3 of them."""
    y = layers.relu(layers.batch_norm(x, f"{name}.bn"))
    y = layers.conv(y, x.shape[-1], 3, f"{name}.conv1")
    y = layers.conv(y, x.shape[-1], 3, f"{name}.conv2")
    return keras.layers.Add()([x, y])
