"""DeepLab v3: Rethinking Atrous Convolution for Semantic Image Segmentation.

Chen, Papandreou, Schroff, Adam, 2017. https://arxiv.org/abs/1706.05587

A dilated backbone and atrous spatial pyramid pooling with the mean of the image. Five ports, whose weights fit, differ:

- "vainf", VainF/DeepLabV3Plus-Pytorch: torchvision's ResNet without the paper's multi-grid, a 3x3 before the classes.
- "torchvision": the same with a second head for training, more dropout, and rates of 12, 24 and 36 at either stride.
- "kazuto", kazuto1011/deeplab-pytorch: the authors' Caffe ResNet with the paper's multi-grid (1, 2, 4), a 1x1 to the classes.
- "smp", qubvel-org/segmentation_models.pytorch: output stride 8 by default, torchvision's rates, a last resize whose corners
  are aligned.
- "transformers", huggingface/transformers' MobileViT, with the authors' weights as apple/deeplabv3-mobilevit-*: a 1x1 to the
  classes.

The resize to the image is the last step; only "smp" has it inside.
"""

from models import _smp, backbones, deeplab_v1, fcn, layers
from models.backbones import mobilenet_v2, mobilenet_v3, mobilevit, resnet
from models.fpn import DECODER, HEAD

REFERENCE = {
    "params": {
        "deeplab_v3": {12: 39_636_556, 21: 39_638_869},
        'deeplab_v3(backbone="resnet101")': {12: 58_628_684, 21: 58_630_997},
        'deeplab_v3(backbone="mobilenet_v2")': {12: 5_111_564, 21: 5_113_877},
        'deeplab_v3(backbone="resnet101_caffe")': {12: 58_038_348, 21: 58_040_661},
        'deeplab_v3(backbone="resnet18", output_stride=8)': {},
        'deeplab_v3(backbone="resnet50", output_stride=8)': {12: 41_999_448},
        'deeplab_v3(backbone="mobilenet_v3_large")': {12: 11_026_916},
        'deeplab_v3(backbone="resnet18", head="smp")': {12: 15_901_772},
        'deeplab_v3(backbone="mobilevit_xxs")': {12: 1_852_540},
    },
    "macs": {
        "deeplab_v3": 1_134_927_872,
        'deeplab_v3(backbone="resnet101")': 1_589_485_568,
        'deeplab_v3(backbone="mobilenet_v2")': 166_543_488,
        'deeplab_v3(backbone="resnet101_caffe")': 2_206_327_808,
    },
    "input": (64, 96, 3),
    "source": "VainF/DeepLabV3Plus-Pytorch network/modeling.py and kazuto1011/deeplab-pytorch libs/models/deeplabv3.py, "
    "torchvision, qubvel-org/segmentation_models.pytorch decoders/deeplabv3, huggingface/transformers models/mobilevit, run",
    "published": "VOC val: ResNet-101 77.3, ResNet-50 76.9, MobileNetV2 70.1 (VainF/DeepLabV3Plus-Pytorch's README); "
    "COCO val2017 with VOC's classes: ResNet-50 at 1/8 66.4, MobileNetV3-Large 60.3 (torchvision)",
    "scores": {
        "VOC val": {
            "deeplab_v3": 76.9,
            'deeplab_v3(backbone="resnet101")': 77.3,
            'deeplab_v3(backbone="mobilenet_v2")': 70.1,
        },
        "COCO val2017, VOC's classes": {
            'deeplab_v3(backbone="resnet50", output_stride=8)': 66.4,
            'deeplab_v3(backbone="mobilenet_v3_large")': 60.3,
        },
    },
}

AUX_WEIGHTS = {"aux_0": 0.5}  # of torchvision's form, its training script's

UNUSED = _smp.UNUSED

HEADS = ("transformers", "vainf", "torchvision", "kazuto", "smp")


def build(
    inputs,
    num_classes,
    *,
    backbone="resnet50",
    output_stride=None,
    head=None,
    smoothed_dilation=None,
    auxiliary=True,
):
    """Figure 5.

    `backbone` is a spec of `models.backbones` that can stay at 1/8 or 1/16 of the resolution, `output_stride` 8 or 16: where
    it stays, by default 16, and 8 for "smp". `head` is "transformers", "vainf", "torchvision", "kazuto" or "smp". The default
    is "kazuto" on a Caffe ResNet, "transformers" on MobileViT, "torchvision" on MobileNetV3 and on a ResNet with output stride
    8, where torchvision's weights fit, and "vainf" elsewhere. `auxiliary` adds torchvision's second head, which only training
    needs. `smoothed_dilation` "gi" or "ssc" smooths the backbone's dilated convolutions (layers/smoothed_dilation.py).
    """
    head = chosen_here(head, backbone, output_stride)
    if output_stride is None:
        output_stride = 8 if head == "smp" else 16
    if head == "smp":
        return {"logits": smp_form(inputs, num_classes, backbone, output_stride, smoothed_dilation)}
    features = encoder(inputs, backbone, output_stride, head, smoothed_dilation)
    with layers.initial_weights(INITIAL[head]):
        x = pyramid(features["c5"], output_stride, head, "classifier.classifier.0")
        if head in ("vainf", "torchvision"):
            x = layers.conv_norm(x, 256, 3, "classifier.classifier", (1, 2))
        outputs = {"logits": layers.conv(x, num_classes, 1, "classifier.classifier.4")}
        if head == "torchvision" and auxiliary:
            level = "c3" if backbones.find(backbone)[1] is mobilenet_v3 else "c4"
            outputs["aux_0"] = fcn.torchvision_head(features[level], num_classes, "aux_classifier")
        return outputs


@layers.initial_weights(DECODER)
def smp_form(inputs, num_classes, backbone, output_stride, smoothed_dilation):
    """segmentation_models_pytorch's: a pyramid, and a 3x3 before the classes."""
    deeplab_v1.check_stride(output_stride)
    x = _smp.features(inputs, backbone, output_stride, smoothed_dilation=smoothed_dilation)["c5"]
    x = layers.aspp(x, SMP_RATES, "decoder.aspp", dropout=0.5)
    x = layers.conv_norm(x, 256, 3, "decoder", ("conv", "bn"))
    x = layers.conv(x, num_classes, 1, "segmentation_head.0", initial=HEAD)
    return layers.resize(x, like=inputs, align_corners=True)


SMP_RATES = (12, 24, 36)  # at any output stride
# How the layers after the backbone start: where kazuto's repository trains, all come from a Caffe model.
INITIAL = {
    "vainf": layers.kaiming_normal("fan_in"),
    "torchvision": layers.torch_default,
    "jfzhang95": layers.kaiming_normal("fan_in"),
    "kazuto": layers.torch_default,
    "transformers": mobilevit.INITIAL,
}
DROPOUT = {"vainf": 0.1, "torchvision": 0.5, "jfzhang95": 0.5, "kazuto": 0.0, "transformers": 0.1}  # after the pyramid
ALIGN_CORNERS = {head: head == "jfzhang95" for head in DROPOUT}  # of all resizes


def chosen_here(head, backbone, output_stride):
    """`chosen`, where networks of torchvision and transformers come before VainF's."""
    family = backbones.find(backbone)[1]
    if head is None and family is mobilevit:
        return "transformers"
    torchvisions = family is mobilenet_v3 or (family is resnet and output_stride == 8)
    if head is None and torchvisions and not deeplab_v1.is_caffe(backbone):
        return "torchvision"
    return chosen(head, HEADS, backbone)


def chosen(head, heads, backbone):
    """The head that is asked for, or by default the one whose reference has the backbone."""
    if head is None:
        return "kazuto" if deeplab_v1.is_caffe(backbone) else "vainf"
    if head not in heads:
        raise ValueError(f"Expected head {' or '.join(map(repr, heads))}. Received: {head=}.")
    return head


def encoder(inputs, backbone, output_stride, head, smoothed_dilation):
    """The feature maps of the dilated backbone."""
    deeplab_v1.check_stride(output_stride)
    family, options = backbones.find(backbone)[1], {"smoothed_dilation": smoothed_dilation}
    if family is resnet and head in ("kazuto", "jfzhang95"):
        options |= {"dilate_first": True, "multi_grid": (1, 2, 4)}
    if family is mobilenet_v2 and head == "vainf":
        options["pad_first"] = True
    if family is mobilenet_v3 and head == "torchvision":
        options |= {"first_of_stage": True, "dilate_first": True}
    if head == "kazuto":
        options["initial"] = layers.torch_default
    return backbones.build(backbone, inputs, output_stride, **options)


def pyramid(x, output_stride, head, name):
    """Atrous spatial pyramid pooling, whose rates double where the output stride halves, but for torchvision's."""
    rates = [rate * 16 // (8 if head == "torchvision" else output_stride) for rate in (6, 12, 18)]
    return layers.aspp(x, rates, name, align_corners=ALIGN_CORNERS[head], dropout=DROPOUT[head])


def size_multiple(*, backbone="resnet50", output_stride=None, head=None, smoothed_dilation=None, auxiliary=True):
    """segmentation_models_pytorch refuses other sizes."""
    return (8, 0) if head == "smp" else (1, 0)


def last_step(*, backbone="resnet50", output_stride=None, head=None, smoothed_dilation=None, auxiliary=True):
    """Of a size that is padded, the resize is inside."""
    return None if head == "smp" else layers.resize


def backbone_of(*, backbone="resnet50", output_stride=None, head=None, smoothed_dilation=None, auxiliary=True):
    """The backbone, with head="smp" in the form of segmentation_models_pytorch."""
    return _smp.encoder(backbone) if head == "smp" else backbone


def renames(*, backbone="resnet50", output_stride=None, head=None, smoothed_dilation=None, auxiliary=True):
    """Our layers are called as VainF's modules, but for the beginnings of its backbone's."""
    head = chosen_here(head, backbone, output_stride)
    if head == "smp":
        return _smp.RENAMES
    if head == "torchvision":
        return (
            (r"^features\.", "backbone."),
            (r"^(?!backbone\.|classifier\.|aux_classifier\.)", "backbone."),
            (r"^classifier\.classifier\.", "classifier."),
        )
    if head == "transformers":
        return TRANSFORMERS
    if head == "kazuto":
        return (
            *deeplab_v1.renames(backbone=backbone),
            *kazuto("classifier.classifier.0"),
            (r"^classifier\..*4$", "fc2"),
        )
    return vainf(backbone)


# Pairs of transformers' head.
TRANSFORMERS = (
    (r"^classifier\.classifier\.0\.convs\.4\.", "segmentation_head.aspp.convs.4.conv_1x1."),
    (r"^classifier\.classifier\.0\.", "segmentation_head.aspp."),
    (r"^(segmentation_head\.aspp\.convs\.[0-3]|segmentation_head\.aspp\.project)\.0$", r"\1.convolution"),
    (r"^(segmentation_head\.aspp\.convs\.[0-3]|segmentation_head\.aspp\.project)\.1$", r"\1.normalization"),
    (r"^(segmentation_head\.aspp\.convs\.4\.conv_1x1)\.1$", r"\1.convolution"),
    (r"^(segmentation_head\.aspp\.convs\.4\.conv_1x1)\.2$", r"\1.normalization"),
    (r"^classifier\.classifier\.4$", "segmentation_head.classifier.convolution"),
)


def vainf(backbone):
    """Pairs of VainF's backbones."""
    if backbones.find(backbone)[1] is mobilenet_v2:  # cut after the third block
        return (
            (r"^features\.([0-3])\.", r"backbone.low_level_features.\1."),
            (r"^features\.(\d+)\.", r"backbone.high_level_features.\1."),
        )
    return ((r"^(?!classifier\.)", "backbone."),)


def kazuto(name):
    """Pairs of kazuto's pyramid, which is called `name` here."""
    name = name.replace(".", r"\.")
    return (
        (rf"^{name}\.convs\.4\.1", "aspp.stages.imagepool.conv.conv"),
        (rf"^{name}\.convs\.4\.2", "aspp.stages.imagepool.conv.bn"),
        (rf"^{name}\.convs\.(\d)\.0", r"aspp.stages.c\1.conv"),
        (rf"^{name}\.convs\.(\d)\.1", r"aspp.stages.c\1.bn"),
        (rf"^{name}\.project\.0", "fc1.conv"),
        (rf"^{name}\.project\.1", "fc1.bn"),
    )
