"""PSPNet: Pyramid Scene Parsing Network.

Zhao, Shi, Qi, Wang, Jia, CVPR 2017. https://arxiv.org/abs/1612.01105

The authors' github.com/hszhao/semseg (model/pspnet.py), whose weights fit. Unlike the paper's Caffe network it has its strides
and dilation in ResNet's 3x3 convolutions. "aux_0" is computed from the features of the fourth stage only to train them; it is
not part of the logits.
"""

import keras

from models import backbones, layers
from models.backbones import resnet

REFERENCE = {
    "params": {
        "pspnet": {12: 49_074_648, 19: 49_080_038, 150: 49_180_908},
        'pspnet(backbone="resnet101_deep")': {12: 68_066_776, 19: 68_072_166, 150: 68_173_036},
        'pspnet(backbone="resnet18_deep")': {},
        'pspnet(backbone="resnet18_deep", output_stride=16)': {},
    },
    "macs": {"pspnet": 9_929_552_576, 'pspnet(backbone="resnet101_deep")': 14_115_271_360},
    "input": (97, 129, 3),
    "source": "hszhao/semseg model/pspnet.py, run",
    "published": "ResNet-50, 101, single scale: ADE20K 41.89, 43.10; VOC 77.05, 79.07; "
    "Cityscapes val 77.30, 78.63 (hszhao/semseg's README)",
    "scores": {
        "ADE20K val": {"pspnet": 41.89, 'pspnet(backbone="resnet101_deep")': 43.1},
        "VOC val": {"pspnet": 77.05, 'pspnet(backbone="resnet101_deep")': 79.07},
        "Cityscapes val": {"pspnet": 77.3, 'pspnet(backbone="resnet101_deep")': 78.63},
    },
}

AUX_WEIGHTS = {"aux_0": 0.4}
FULL_SIZE = ("logits", "aux_0")

# The reference refuses others: its grids of 1/8 and of the image share their corners.
SIZE_MULTIPLE, SIZE_REMAINDER = 8, 1

# The stem is one torch.nn.Sequential, including its ReLUs.
RENAMES = (
    *((rf"^conv{i}$", f"layer0.{3 * i - 3}") for i in (1, 2, 3)),
    *((rf"^bn{i}$", f"layer0.{3 * i - 2}") for i in (1, 2, 3)),
)

BINS = (1, 2, 3, 6)


def build(inputs, num_classes, *, backbone="resnet50_deep", output_stride=None, smoothed_dilation=None):
    """Figure 3. `backbone` is a spec of `models.backbones`.

    `output_stride` is the number of image pixels for a feature pixel: 8, 16 or 32; by default the paper's 8, or the smallest
    that the backbone takes. `smoothed_dilation` "gi" or "ssc" smooths the backbone's dilated convolutions
    (layers/smoothed_dilation.py).
    """
    options = {"dilate_first": True} if backbones.find(backbone)[1] is resnet else {}
    stride = output_stride or min(backbones.output_strides(backbone))
    features = backbones.build(backbone, inputs, stride, smoothed_dilation=smoothed_dilation, **options)
    x = pyramid_pooling(features["c5"])
    x = head(x, 512, num_classes, "cls")
    aux = head(features["c4"], 256, num_classes, "aux")
    return {
        "logits": layers.resize(x, like=inputs, align_corners=True),
        "aux_0": layers.resize(aux, like=inputs, align_corners=True),
    }


def pyramid_pooling(x):
    """The features, with the means of 1, 4, 9 and 36 cells, each reduced to 1/4 of the channels."""
    maps = [x]
    for i, bins in enumerate(BINS):
        y = layers.adaptive_average_pool(x, bins)
        y = layers.conv_norm(y, x.shape[-1] // len(BINS), 1, f"ppm.features.{i}", (1, 2))
        maps.append(layers.resize(y, like=x, align_corners=True))
    return keras.layers.Concatenate()(maps)


def head(x, width, num_classes, name):
    """3x3, then 1x1 to the classes."""
    x = layers.conv_norm(x, width, 3, name)
    return layers.conv(layers.spatial_dropout(x, 0.1), num_classes, 1, f"{name}.4")
