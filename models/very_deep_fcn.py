"""FCRN: High-performance Semantic Segmentation Using Very Deep Fully Convolutional Networks.

Wu, Shen, van den Hengel, 2016. https://arxiv.org/abs/1604.04339

A ResNet that stays at 1/8 of the resolution, dropout in its last residual blocks, and one dilated convolution to the classes,
whose size and dilation determine the field of view. The paper's online bootstrapping is the loss `bootstrapped_cross_entropy`.
The authors published no code for this network, only for its successor (github.com/itijyou/ademxapp). From there we have the
place of the dropout (util/symbol/resnet_v1.py), the 3x3 with a dilation of 12 (resnet_v2.py), and the way in which a network of
low resolution simulates one of high resolution (issegm/voc.py). Which blocks have dropout, and its rate, is our choice.
Differences from the paper: the backbone is torchvision's, whose stride is in the 3x3 of a bottleneck, and scores are enlarged
bilinearly, as in training, while voc.py is bicubic.
"""

from models import backbones, layers
from models.backbones import resnet

# By hand: the backbone without its 2048 * 1000 + 1000 of the linear layer, and 3 * 3 * 2048 + 1 for every class.
REFERENCE = {
    "params": {
        "very_deep_fcn": {12: 44_549_160 - 2_049_000 + 18_433 * 12, 21: 44_549_160 - 2_049_000 + 18_433 * 21},
        'very_deep_fcn(backbone="resnet50")': {12: 25_557_032 - 2_049_000 + 18_433 * 12},
        'very_deep_fcn(backbone="resnet152")': {12: 60_192_808 - 2_049_000 + 18_433 * 12},
        # 5 * 5 * 2048 + 1 for every class.
        'very_deep_fcn(backbone="resnet50", kernel=5)': {12: 25_557_032 - 2_049_000 + 51_201 * 12},
    },
    "source": "the paper, counted by hand from torchvision's ResNets",
    "published": "VOC 2012 test 78.3 (the paper's abstract)",
    "scores": {
        "VOC test": {"very_deep_fcn": 78.3},
    },
}

LAST_STEP = layers.fit  # the enlarged scores have the size of the image, rounded up


def build(
    inputs, num_classes, *, backbone="resnet101", output_stride=8, kernel=3, dilation=12, dropout=0.5, simulated_steps=1
):
    """Section 3.

    Args:
      backbone: a ResNet of `models.backbones`; the paper's are resnet50, resnet101 and resnet152.
      output_stride: 8, 16 or 32: the resolution of the backbone.
      kernel, dilation: of the last convolution; they determine the field of view.
      dropout: share of the values that are dropped from the residual branches of the backbone's last stage, in [0, 1).
      simulated_steps: s runs the network on s * s shifted images and interleaves their scores, which then lie
        output_stride / s pixels apart: a network of low resolution simulates one of high resolution. The weights are the
        same for every s.
    """
    if backbones.find(backbone)[1] is not resnet:
        known = ", ".join(resnet.VARIANTS)
        raise ValueError(f"Expected a backbone of the ResNet family: {known}. Received: {backbone=}.")
    if not 0 <= dropout < 1:
        raise ValueError(f"Expected dropout of at least 0 and below 1. Received: {dropout=}.")
    x = layers.shifted(inputs, simulated_steps, output_stride)
    x = backbones.build(backbone, x, output_stride, dropout=dropout)["c5"]
    x = layers.conv(x, num_classes, kernel, "classifier", dilation=dilation, initial=layers.normal(0.01, bias=0.0))
    x = layers.interleaved(x, simulated_steps)
    return {"logits": layers.resize(x, scale=output_stride // simulated_steps)}
