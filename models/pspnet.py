"""PSPNet: Pyramid Scene Parsing Network.

Zhao, Shi, Qi, Wang, Jia, CVPR 2017. https://arxiv.org/abs/1612.01105

The authors' github.com/hszhao/semseg (model/pspnet.py), whose weights fit. Unlike the paper's Caffe network it has its strides
and dilation in ResNet's 3x3 convolutions. "aux_0" is computed from the features of the fourth stage only to train them; it is
not part of the logits.

With head="smp" it is the network of segmentation_models_pytorch (github.com/qubvel-org), whose weights fit. It is not dilated:
its pyramid stands on the backbone's map at 1/8, and deeper stages are left out.
"""

import keras

from models import _smp, backbones, layers
from models.backbones import resnet
from models.fpn import DECODER, HEAD

REFERENCE = {
    "params": {
        "pspnet": {12: 49_074_648, 19: 49_080_038, 150: 49_180_908},
        'pspnet(backbone="resnet101_deep")': {12: 68_066_776, 19: 68_072_166, 150: 68_173_036},
        'pspnet(backbone="resnet18_deep")': {},
        'pspnet(backbone="resnet18_deep", output_stride=16)': {},
        # Its reference registers ResNet's last two stages too, with 10_493_440 parameters.
        'pspnet(backbone="resnet18", head="smp")': {12: 11_380_524 - 10_493_440},
    },
    "macs": {"pspnet": 9_929_552_576, 'pspnet(backbone="resnet101_deep")': 14_115_271_360},
    "input": (97, 129, 3),
    "source": "hszhao/semseg model/pspnet.py, run; qubvel-org/segmentation_models.pytorch decoders/pspnet, run",
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

# The stem is one torch.nn.Sequential, including its ReLUs.
STEM = (
    *((rf"^conv{i}$", f"layer0.{3 * i - 3}") for i in (1, 2, 3)),
    *((rf"^bn{i}$", f"layer0.{3 * i - 2}") for i in (1, 2, 3)),
)

# The stages of a ResNet and a MobileNetV2 that segmentation_models_pytorch's encoder has and does not run.
UNUSED = (*_smp.UNUSED, r"^encoder\.layer[34]\.", r"^encoder\.features\.([7-9]|1\d)\.(conv|0|1)\.")

BINS = (1, 2, 3, 6)


def build(inputs, num_classes, *, backbone="resnet50_deep", output_stride=None, smoothed_dilation=None, head=None):
    """Figure 3. `backbone` is a spec of `models.backbones`.

    `output_stride` is the number of image pixels for a feature pixel: 8, 16 or 32; by default the paper's 8, or the smallest
    that the backbone takes. `smoothed_dilation` "gi" or "ssc" smooths the backbone's dilated convolutions
    (layers/smoothed_dilation.py). `head` is None, the authors', or "smp", which takes neither.
    """
    _smp.check_head(head)
    if head == "smp":
        if output_stride not in (None, 8) or smoothed_dilation:
            raise ValueError(
                f'Expected no output_stride and no smoothed_dilation with head="smp", which is not dilated. '
                f"Received: {output_stride=}, {smoothed_dilation=}."
            )
        return {"logits": smp_form(inputs, num_classes, backbone)}
    options = {"dilate_first": True} if backbones.find(backbone)[1] is resnet else {}
    stride = output_stride or min(backbones.output_strides(backbone))
    features = backbones.build(backbone, inputs, stride, smoothed_dilation=smoothed_dilation, **options)
    x = pyramid_pooling(features["c5"])
    x = classifier(x, 512, num_classes, "cls")
    aux = classifier(features["c4"], 256, num_classes, "aux")
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


def classifier(x, width, num_classes, name):
    """3x3, then 1x1 to the classes."""
    x = layers.conv_norm(x, width, 3, name)
    return layers.conv(layers.spatial_dropout(x, 0.1), num_classes, 1, f"{name}.4")


@layers.initial_weights(DECODER)
def smp_form(inputs, num_classes, backbone):
    """segmentation_models_pytorch's: a pyramid without batch norm in its single cell, a 1x1, a 3x3 to the classes."""
    x, maps = _smp.features(inputs, backbone)["c3"], []
    for i, bins in enumerate(BINS):
        y, name = layers.adaptive_average_pool(x, bins), f"decoder.psp.blocks.{i}.pool.1"
        width = x.shape[-1] // len(BINS)
        y = layers.relu(layers.conv(y, width, 1, f"{name}.0")) if bins == 1 else layers.conv_norm(y, width, 1, name)
        maps.append(layers.resize(y, like=x, align_corners=True))
    x = layers.conv_norm(keras.layers.Concatenate()([*maps, x]), 512, 1, "decoder.conv")
    x = layers.conv(layers.spatial_dropout(x, 0.2), num_classes, 3, "segmentation_head.0", initial=HEAD)
    return layers.resize(x, like=inputs, align_corners=True)


def size_multiple(*, backbone="resnet50_deep", output_stride=None, smoothed_dilation=None, head=None):
    """The references refuse others. The authors' grids of 1/8 and of the image share their corners."""
    return (8, 0) if head == "smp" else (8, 1)


def backbone_of(*, backbone="resnet50_deep", output_stride=None, smoothed_dilation=None, head=None):
    """The backbone, with head="smp" in the form of segmentation_models_pytorch."""
    return _smp.encoder(backbone) if head else backbone


def renames(*, backbone="resnet50_deep", output_stride=None, smoothed_dilation=None, head=None):
    """segmentation_models_pytorch's backbone is its `encoder`; of the authors' only the stem has other names."""
    return _smp.RENAMES if head == "smp" else STEM
