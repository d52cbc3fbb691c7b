"""DRN: Dilated Residual Networks, with the segmentation head.

Yu, Koltun, Funkhouser, CVPR 2017. https://arxiv.org/abs/1705.09914

The networks of github.com/fyu/drn (segment.py), without the log-softmax at their end, which is part of our loss. C-58 is
without the shortcut of layer7, which the reference registers but does not use.
"""

from models import backbones, layers
from models.backbones import drn

REFERENCE = {
    "params": {
        "drn": {12: 15_886_908, 19: 15_890_499},
        'drn(variant="a_50")': {12: 23_532_620, 19: 23_546_963},
        'drn(variant="c_26")': {12: 20_619_740, 19: 20_623_331},
        'drn(variant="c_42")': {19: 30_731_491},
        'drn(variant="c_58")': {19: 41_088_355 - 1_049_600},
        'drn(variant="d_38")': {12: 25_995_068, 19: 25_998_659},
        'drn(variant="d_54")': {12: 35_302_332, 19: 35_305_923},
        'drn(variant="d_105")': {19: 54_298_051},
    },
    "macs": {
        "drn": 1_596_850_176,
        'drn(variant="a_50")': 2_338_652_160,
        'drn(variant="c_26")': 2_078_932_992,
        'drn(variant="d_38")': 2_587_754_496,
        'drn(variant="d_54")': 3_489_005_568,
    },
    "input": (64, 96, 3),
    "source": "fyu/drn segment.py, run; less the frozen kernel of its upsampling",
    "published": "Cityscapes val: A-50 67.3, C-26 68.0, C-42 70.9, D-22 68.0, D-38 71.4, D-105 75.6 (fyu/drn's README)",
    "scores": {
        "Cityscapes val": {
            'drn(variant="a_50")': 67.3,
            'drn(variant="c_26")': 68.0,
            'drn(variant="c_42")': 70.9,
            "drn": 68.0,
            'drn(variant="d_38")': 71.4,
            'drn(variant="d_105")': 75.6,
        },
    },
}

LAST_STEP = layers.fit  # the reference's output is 8 times the rounded-up eighth of the image


def build(inputs, num_classes, *, variant="d_22", smoothed_dilation=None):
    """Section 5.

    `variant` is a backbone of models/backbones/drn.py without "drn_": the paper's C-26, C-42; D-22 ...
    `smoothed_dilation` "gi" or "ssc" smooths the backbone's dilated convolutions (layers/smoothed_dilation.py).
    """
    backbone = backbone_of(variant=variant)
    x = backbones.build(backbone, inputs, output_stride=8, smoothed_dilation=smoothed_dilation)["c5"]
    x = layers.conv(x, num_classes, 1, "seg", initial=drn.INITIAL)
    return {"logits": layers.bilinear_upsampling(x, 8, "up")}


def backbone_of(*, variant="d_22", smoothed_dilation=None):
    """The spec of the backbone."""
    return f"drn_{variant}"


def renames(*, variant="d_22", smoothed_dilation=None):
    """The reference numbers the modules of its backbone in one torch.nn.Sequential, including activations and pool."""
    if variant.startswith("d"):
        return ((r"^layer", "base."),)
    first = 3 if variant.startswith("a") else 2
    levels = tuple((rf"^layer{level}\.", f"base.{level + first}.") for level in range(1, 9))
    return ((r"^conv1$", "base.0"), (r"^bn1$", "base.1"), *levels)
