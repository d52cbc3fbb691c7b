"""DeepLab v2: Semantic Image Segmentation with Deep Convolutional Nets, Atrous Convolution, and Fully Connected CRFs.

Chen, Papandreou, Kokkinos, Murphy, Yuille, IEEE Transactions on Pattern Analysis and Machine Intelligence 40(4), 2018.
https://arxiv.org/abs/1606.00915

Atrous spatial pyramid pooling: parallel convolutions of several dilations, summed. On ResNet-101 in the authors' Caffe form
as kazuto1011/deeplab-pytorch has it, whose weights fit; on a VGG the paper's branches of fc6, fc7 and fc8. The image in three
sizes is a step of training and inference, the CRF one of inference, and neither is here.
"""

import keras

from models import backbones, deeplab_v1, layers
from models.backbones import vgg

REFERENCE = {
    "params": {
        "deeplab_v2": {12: 43_384_944, 21: 44_048_532},
        'deeplab_v2(backbone="vgg16")': {21: 37_877_652},
        'deeplab_v2(backbone="resnet18")': {},
    },
    "macs": {"deeplab_v2": 5_142_659_072},
    "input": (64, 96, 3),
    "source": "ResNet-101: kazuto1011/deeplab-pytorch libs/models/deeplabv2.py, run. VGG: counted by the paper's figure 7",
    "published": "VOC val: 76.35, with CRF 77.69 (the authors' model in three sizes); 76.65 and 77.93 "
    "(kazuto1011/deeplab-pytorch's README)",
    "scores": {
        "VOC val": {"deeplab_v2": 76.65},
    },
}

LAST_STEP = layers.resize  # the reference's output is 1/8 of the image, rounded up

RATES = (6, 12, 18, 24)  # of ASPP-L, at 1/8 of the resolution


def build(inputs, num_classes, *, backbone="resnet101_caffe", output_stride=8, smoothed_dilation=None):
    """Figure 7.

    `backbone` is a spec of `models.backbones` that can stay at `output_stride`, 8 or 16, of the resolution.
    `smoothed_dilation` "gi" or "ssc" smooths the backbone's dilated convolutions (layers/smoothed_dilation.py).
    """
    x = deeplab_v1.encoder(inputs, backbone, output_stride, smoothed_dilation)
    rates = [rate * 8 // output_stride for rate in RATES]
    if backbones.find(backbone)[1] is vgg:
        maps = [deeplab_v1.large_fov(x, num_classes, rate, f"_{i}") for i, rate in enumerate(rates, start=1)]
    else:
        start = layers.normal(0.01, bias=0.0)
        maps = [
            layers.conv(x, num_classes, 3, f"aspp.c{i}", dilation=rate, initial=start) for i, rate in enumerate(rates)
        ]
    return {"logits": keras.layers.Add()(maps)}


def renames(*, backbone="resnet101_caffe", output_stride=8, smoothed_dilation=None):
    """Those of v1, from the same repository."""
    return deeplab_v1.renames(backbone=backbone)
