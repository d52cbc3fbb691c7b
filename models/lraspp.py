"""LR-ASPP: the lite reduced atrous spatial pyramid pooling of Searching for MobileNetV3.

Howard, Sandler, Chu, Chen, Chen, Tan, Wang, Zhu, Pang, Vasudevan, Le, Adam, ICCV 2019. https://arxiv.org/abs/1905.02244

The network of torchvision, whose weights fit: the mean of the whole image in place of the paper's 49x49 windows. The resize to
the image, which it does inside, is the last step.
"""

import keras

from models import backbones, layers
from models.backbones import mobilenet_v3

REFERENCE = {
    "params": {"lraspp": {12: 3_220_008, 21: 3_221_538}, 'lraspp(backbone="mobilenet_v2")': {}},
    "macs": {"lraspp": 47_727_936},
    "input": (64, 96, 3),
    "source": "pytorch/vision torchvision.models.segmentation.lraspp_mobilenet_v3_large, run",
    "published": "COCO val2017 with VOC's classes: 57.9 (torchvision)",
    "scores": {
        "COCO val2017, VOC's classes": {"lraspp": 57.9},
    },
}

LAST_STEP = layers.resize

RENAMES = ((r"^features\.", "backbone."),)

WIDTH = 128


def build(inputs, num_classes, *, backbone="mobilenet_v3_large", output_stride=16):
    """Figure 10. `backbone` is a spec of `models.backbones`, `output_stride` where its resolution stops falling."""
    options = {}
    if backbones.find(backbone)[1] is mobilenet_v3:
        options = {"first_of_stage": True, "dilate_first": True}
    features = backbones.build(backbone, inputs, output_stride, **options)
    low, high = features["c3"], features["c5"]
    x = layers.conv_norm(high, WIDTH, 1, "classifier.cbr")
    share = keras.layers.GlobalAveragePooling2D(keepdims=True)(high)
    share = keras.layers.Activation("sigmoid")(layers.conv(share, WIDTH, 1, "classifier.scale.1", bias=False))
    x = layers.resize(keras.layers.Multiply()([x, share]), like=low)
    low = layers.conv(low, num_classes, 1, "classifier.low_classifier")
    return {"logits": keras.layers.Add()([low, layers.conv(x, num_classes, 1, "classifier.high_classifier")])}
