"""DeepLab v3+: Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation.

Chen, Zhu, Papandreou, Schroff, Adam, ECCV 2018. https://arxiv.org/abs/1802.02611

DeepLab v3 and a decoder that adds the detail of a map at 1/4. Four ports, whose weights fit, differ:

- "vainf", VainF/DeepLabV3Plus-Pytorch: torchvision's ResNet without multi-grid, one 3x3 in the decoder.
- "jfzhang95", jfzhang95/pytorch-deeplab-xception: multi-grid (1, 2, 4) in a ResNet, two 3x3 in the decoder, dropout, and
  resizes whose corners are aligned.
- "kazuto", kazuto1011/deeplab-pytorch: the authors' Caffe ResNet with multi-grid, two 3x3 in the decoder.
- "smp", qubvel-org/segmentation_models.pytorch: separable 3x3 as in the paper, one after the pyramid and one in the decoder,
  rates of 12, 24 and 36, resizes whose corners are aligned.
"""

import keras

from models import _smp, backbones, deeplab_v1, deeplab_v3, layers
from models.backbones import xception65
from models.fpn import DECODER, HEAD

REFERENCE = {
    "params": {
        "deeplab_v3plus": {12: 39_759_532, 21: 39_761_845},
        'deeplab_v3plus(backbone="resnet101")': {12: 58_751_660, 21: 58_753_973},
        'deeplab_v3plus(backbone="resnet101", head="jfzhang95")': {12: 59_341_996, 21: 59_344_309},
        'deeplab_v3plus(backbone="resnet101_caffe")': {12: 59_341_996, 21: 59_344_309},
        'deeplab_v3plus(backbone="xception65")': {12: 54_703_004, 21: 54_705_317},
        'deeplab_v3plus(backbone="mobilenet_v2")': {12: 5_223_404, 21: 5_225_717},
        'deeplab_v3plus(backbone="mobilenet_v2", output_stride=8)': {12: 5_223_404},
        'deeplab_v3plus(backbone="resnet34", head="smp")': {12: 22_440_284},
    },
    "macs": {
        "deeplab_v3plus": 1_395_556_352,
        'deeplab_v3plus(backbone="resnet101")': 1_850_114_048,
        'deeplab_v3plus(backbone="resnet101", head="jfzhang95")': 2_076_606_464,
        'deeplab_v3plus(backbone="resnet101_caffe")': 2_761_100_288,
        'deeplab_v3plus(backbone="xception65")': 1_938_373_568,
        'deeplab_v3plus(backbone="mobilenet_v2")': 422_895_744,
    },
    "input": (64, 96, 3),
    "source": "VainF/DeepLabV3Plus-Pytorch network/modeling.py, jfzhang95/pytorch-deeplab-xception modeling/deeplab.py, "
    "kazuto1011/deeplab-pytorch libs/models/deeplabv3plus.py, qubvel-org/segmentation_models.pytorch decoders/deeplabv3, run",
    "published": "VOC val: ResNet-101 78.3, ResNet-50 77.2, MobileNetV2 71.1; Cityscapes val: ResNet-101 76.2, "
    "MobileNetV2 72.1 (VainF/DeepLabV3Plus-Pytorch's README)",
    "scores": {
        "VOC val": {
            "deeplab_v3plus": 77.2,
            'deeplab_v3plus(backbone="resnet101")': 78.3,
            'deeplab_v3plus(backbone="mobilenet_v2")': 71.1,
        },
        "Cityscapes val": {
            'deeplab_v3plus(backbone="resnet101")': 76.2,
            'deeplab_v3plus(backbone="mobilenet_v2")': 72.1,
        },
    },
}

UNUSED = _smp.UNUSED

HEADS = ("vainf", "jfzhang95", "kazuto", "smp")
# The dropout after each 3x3 of the decoder.
DECODERS = {"vainf": (0.0,), "jfzhang95": (0.5, 0.1), "kazuto": (0.0, 0.0)}


def build(inputs, num_classes, *, backbone="resnet50", output_stride=16, head=None, smoothed_dilation=None):
    """Figure 2.

    `backbone` is a spec of `models.backbones` that can stay at 1/8 or 1/16 of the resolution, `output_stride` 8 or 16: where
    it stays. `head` is "vainf", "jfzhang95", "kazuto" or "smp", by default "jfzhang95" on Xception-65, "kazuto" on a Caffe
    ResNet and "vainf" elsewhere. `smoothed_dilation` "gi" or "ssc" smooths the backbone's dilated convolutions
    (layers/smoothed_dilation.py).
    """
    head = chosen(head, backbone)
    if head == "smp":
        return {"logits": smp_form(inputs, num_classes, backbone, output_stride, smoothed_dilation)}
    features = deeplab_v3.encoder(inputs, backbone, output_stride, head, smoothed_dilation)
    fine = features[fine_level(backbone)]
    with layers.initial_weights(deeplab_v3.INITIAL[head]):
        x = deeplab_v3.pyramid(features["c5"], output_stride, head, "classifier.aspp")
        x = decoder(fine, x, num_classes, head)
    return {"logits": layers.resize(x, like=inputs, align_corners=deeplab_v3.ALIGN_CORNERS[head])}


@layers.initial_weights(DECODER)
def smp_form(inputs, num_classes, backbone, output_stride, smoothed_dilation):
    """segmentation_models_pytorch's, whose 3x3 convolutions are all depthwise ones and 1x1."""
    deeplab_v1.check_stride(output_stride)
    features = _smp.features(inputs, backbone, output_stride, smoothed_dilation=smoothed_dilation)
    x = layers.aspp(features["c5"], deeplab_v3.SMP_RATES, "decoder.aspp.0", dropout=0.5, separable=True)
    x = layers.separable_conv_norm(x, 256, "decoder.aspp", entries=("1.0", "1.1", "2"))
    fine = layers.conv_norm(features[fine_level(backbone)], 48, 1, "decoder.block1")
    x = keras.layers.Concatenate()([layers.resize(x, like=fine, align_corners=True), fine])
    x = layers.separable_conv_norm(x, 256, "decoder.block2")
    x = layers.conv(x, num_classes, 1, "segmentation_head.0", initial=HEAD)
    return layers.resize(x, like=inputs, align_corners=True)


def fine_level(backbone):
    """The last feature map at 1/4."""
    return max(level for level, stride in backbones.strides(backbone).items() if stride == 4)


def chosen(head, backbone):
    """The head that is asked for, or by default the one whose reference has the backbone."""
    if head is None and backbones.find(backbone)[1] is xception65:
        return "jfzhang95"
    return deeplab_v3.chosen(head, HEADS, backbone)


def decoder(fine, x, num_classes, head):
    """48 channels of the fine map beside the pyramid's, 3x3 convolutions, a 1x1 to the classes."""
    fine = layers.conv_norm(fine, 48, 1, "classifier.project")
    x = layers.resize(x, like=fine, align_corners=deeplab_v3.ALIGN_CORNERS[head])
    # jfzhang95 and kazuto concatenate in the other order.
    x = keras.layers.Concatenate()([fine, x] if head == "vainf" else [x, fine])
    for i, dropout in enumerate(DECODERS[head]):
        x = layers.conv_norm(x, 256, 3, "classifier.classifier", (3 * i, 3 * i + 1))
        x = keras.layers.Dropout(dropout)(x) if dropout else x
    return layers.conv(x, num_classes, 1, f"classifier.classifier.{3 * len(DECODERS[head])}")


def size_multiple(*, backbone="resnet50", output_stride=16, head=None, smoothed_dilation=None):
    """segmentation_models_pytorch refuses other sizes."""
    return (16, 0) if head == "smp" else (1, 0)


def backbone_of(*, backbone="resnet50", output_stride=16, head=None, smoothed_dilation=None):
    """The backbone, with head="smp" in the form of segmentation_models_pytorch."""
    return _smp.encoder(backbone) if head == "smp" else backbone


def renames(*, backbone="resnet50", output_stride=16, head=None, smoothed_dilation=None):
    """Our layers are called as VainF's modules, but for the beginnings of its backbone's."""
    match chosen(head, backbone):
        case "smp":
            return _smp.RENAMES
        case "jfzhang95":
            return jfzhang95()
        case "kazuto":
            return kazuto(backbone)
    return deeplab_v3.vainf(backbone)


def jfzhang95():
    """Pairs of the backbone, the pyramid and the decoder, whose modules are numbered with their dropout."""
    return (
        (r"^(?!classifier\.)", "backbone."),
        (r"^classifier\.aspp\.convs\.4\.", "aspp.global_avg_pool."),
        *((rf"^classifier\.aspp\.convs\.{i}\.0", f"aspp.aspp{i + 1}.atrous_conv") for i in range(4)),
        *((rf"^classifier\.aspp\.convs\.{i}\.1", f"aspp.aspp{i + 1}.bn") for i in range(4)),
        (r"^classifier\.aspp\.project\.0", "aspp.conv1"),
        (r"^classifier\.aspp\.project\.1", "aspp.bn1"),
        (r"^classifier\.project\.0", "decoder.conv1"),
        (r"^classifier\.project\.1", "decoder.bn1"),
        *((rf"^classifier\.classifier\.{i}$", f"decoder.last_conv.{i + i // 3}") for i in (0, 1, 3, 4, 6)),
    )


def kazuto(backbone):
    """Pairs of the backbone, the pyramid and the decoder."""
    modules = {0: "conv1.conv", 1: "conv1.bn", 3: "conv2.conv", 4: "conv2.bn", 6: "conv3"}
    return (
        *deeplab_v1.renames(backbone=backbone),
        *deeplab_v3.kazuto("classifier.aspp"),
        (r"^classifier\.project\.0", "reduce.conv"),
        (r"^classifier\.project\.1", "reduce.bn"),
        *((rf"^classifier\.classifier\.{i}$", f"fc2.{name}") for i, name in modules.items()),
    )
