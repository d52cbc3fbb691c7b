"""FCN: Fully Convolutional Networks for Semantic Segmentation.

Long, Shelhamer, Darrell, CVPR 2015; Shelhamer, Long, Darrell, IEEE Transactions on Pattern Analysis and Machine
Intelligence 39(4), 2017. https://arxiv.org/abs/1605.06211

On a VGG these are the authors' Caffe nets in the form of github.com/wkentaro/pytorch-fcn, whose weights fit. On every other
backbone it is the form of github.com/guanfuchen/semseg: a 1x1 convolution to the classes instead of fc6 and fc7, and bilinear
resizing instead of transposed convolutions. head="torchvision" is torchvision's, whose weights fit: one 3x3 head on a dilated
ResNet at 1/8 of the resolution, without skips.
"""

import keras

from models import backbones, layers
from models.backbones import mobilenet_v1, vgg

REFERENCE = {
    "params": {
        "fcn": {12: 134_360_420},
        "fcn(stride=16)": {12: 134_465_624},
        "fcn(stride=32)": {12: 134_899_532},
        'fcn(backbone="resnet18")': {12: 11_187_300},
        'fcn(backbone="resnet18", stride=16)': {12: 11_185_752},
        'fcn(backbone="resnet18", stride=32)': {12: 11_182_668},
        'fcn(backbone="resnet34")': {12: 21_295_460},
        'fcn(backbone="resnet34", stride=32)': {12: 21_290_828},
        'fcn(backbone="resnet50", stride=32)': {12: 23_532_620},
        'fcn(backbone="resnet101", stride=32)': {12: 42_524_748},
        'fcn(backbone="resnet50", head="torchvision")': {12: 35_315_288},
        'fcn(backbone="mobilenet_v1")': {12: 3_228_516},
        'fcn(backbone="mobilenet_v1", stride=16)': {12: 3_225_432},
        'fcn(backbone="mobilenet_v1", stride=32)': {12: 3_219_276},
    },
    "macs": {"fcn": 25_377_252_096},
    "input": (64, 96, 3),
    "source": "wkentaro/pytorch-fcn torchfcn/models, guanfuchen/semseg fcn_resnet.py and fcn_mobilenet.py, torchvision, run",
    "published": "COCO val2017 with VOC's classes: ResNet-50, head 'torchvision' 60.5 (torchvision)",
    "scores": {
        "COCO val2017, VOC's classes": {'fcn(backbone="resnet50", head="torchvision")': 60.5},
    },
}

AUX_WEIGHTS = {"aux_0": 0.5}  # of torchvision's form, its training script's

STRIDES = (8, 16, 32)
HEADS = (None, "torchvision")


def build(inputs, num_classes, *, backbone="vgg16", stride=8, head=None, auxiliary=True):
    """Figure 3: FCN-8s, FCN-16s or FCN-32s, by `stride`. `backbone` is a spec of `models.backbones`.

    With `head` "torchvision" it is torchvision's form, where `stride` is the backbone's, and `auxiliary` adds its second head.
    """
    if stride not in STRIDES:
        raise ValueError(f"Expected stride 8, 16 or 32. Received: {stride=}.")
    if head not in HEADS:
        raise ValueError(f"Expected head None or 'torchvision'. Received: {head=}.")
    if head == "torchvision":
        return torchvision_form(inputs, num_classes, backbone, stride, auxiliary)
    form = vgg_form if backbones.find(backbone)[1] is vgg else resized_form
    return {"logits": form(inputs, num_classes, backbone, stride)}


def vgg_form(inputs, num_classes, backbone, stride):
    """The authors' form: the image is padded by 100 zeros, so that fc6 has its 7x7 everywhere; crops remove the padding."""
    pools = []

    def pool(x):
        pools.append(keras.layers.MaxPooling2D(2, padding="same")(x))  # rounds up
        return pools[-1]

    x = keras.layers.ZeroPadding2D(99)(inputs)  # and 1 by the first convolution
    x = backbones.build(backbone, x, pool=pool)["c5"]
    # In the reference they are zero until a trained VGG is copied into them. Weights of zero would never train.
    start = layers.kaiming_normal("fan_in", bias=0.0)
    x = layers.relu(layers.conv(x, 4096, 7, "fc6", padding=0, initial=start))
    x = layers.relu(layers.conv(layers.spatial_dropout(x, 0.5), 4096, 1, "fc7", initial=start))
    x = score(layers.spatial_dropout(x, 0.5), num_classes, "score_fr")
    if stride == 32:
        return crop(upscore(x, 32, "upscore"), 19, inputs)
    x = upscore(x, 2, "upscore2")
    x = keras.layers.Add()([x, crop(score(pools[3], num_classes, "score_pool4"), 5, x)])
    if stride == 16:
        return crop(upscore(x, 16, "upscore16"), 27, inputs)
    x = upscore(x, 2, "upscore_pool4")
    x = keras.layers.Add()([x, crop(score(pools[2], num_classes, "score_pool3"), 9, x)])
    return crop(upscore(x, 8, "upscore8"), 31, inputs)


def score(x, num_classes, name):
    """A 1x1 to the maps of the classes, which are zero before training."""
    return layers.conv(x, num_classes, 1, name, initial=layers.zeros)


def upscore(x, scale, name):
    """Upsampling by a transposed convolution, bilinear before training."""
    start = layers.bilinear
    return layers.transposed_conv(x, x.shape[-1], 2 * scale, name, stride=scale, bias=False, initial=start)


def crop(x, offset, like):
    """Crops x from `offset` on, to the size of `like`."""
    return layers.fit(layers.crop(x, ((offset, 0), (offset, 0))), like)


def resized_form(inputs, num_classes, backbone, stride):
    """guanfuchen's form: the maps of the classes at 1/32, 1/16 and 1/8 of the resolution, resized and summed."""
    # On MobileNet the reference keeps PyTorch's initial weights, on others it draws all kernels of convolutions again.
    mobilenet = backbones.find(backbone)[1] is mobilenet_v1
    start = layers.torch_default if mobilenet else layers.kaiming_normal("fan_out")
    features = backbones.build(backbone, inputs, initial=start)
    x = layers.conv(features["c5"], num_classes, 1, "classifier", initial=start)
    if stride <= 16:
        x = resize_and_add(x, layers.conv(features["c4"], num_classes, 1, "score_pool4", initial=start))
    if stride == 8:
        x = resize_and_add(x, layers.conv(features["c3"], num_classes, 1, "score_pool3", initial=start))
    return layers.resize(x, like=inputs, align_corners=True)


def torchvision_form(inputs, num_classes, backbone, stride, auxiliary):
    """torchvision's form: a head on the last map of a dilated backbone, and one on the map before it for training."""
    features = backbones.build(backbone, inputs, stride)
    logits = torchvision_head(features["c5"], num_classes, "classifier")
    outputs = {"logits": layers.resize(logits, like=inputs)}
    if auxiliary:
        outputs["aux_0"] = torchvision_head(features["c4"], num_classes, "aux_classifier")
    return outputs


def torchvision_head(x, num_classes, name):
    """A 3x3 to a quarter of the channels, dropout, a 1x1 to the classes."""
    x = layers.dropout(layers.conv_norm(x, x.shape[-1] // 4, 3, name), 0.1)
    return layers.conv(x, num_classes, 1, f"{name}.4")


def resize_and_add(x, y):
    """The sum of x, resized to the size of y, and y."""
    return keras.layers.Add()([layers.resize(x, like=y, align_corners=True), y])


def renames(*, backbone="vgg16", stride=8, head=None, auxiliary=True):
    """Names VGG's convolutions as in the paper, and numbers MobileNet's blocks across stages, with the stem as the first."""
    if head == "torchvision":
        return ((r"^(?!classifier|aux_classifier)", "backbone."),)
    call, family = backbones.find(backbone)
    if family is vgg:
        return _vgg_renames(call.name)
    return _mobilenet_renames(mobilenet_v1.VARIANTS[call.name]) if family is mobilenet_v1 else ()


def _vgg_renames(variant):
    pairs = []
    for stage, i, index in vgg.numbered(variant):
        pairs.append((rf"^features\.{index}$", f"conv{stage}_{i}"))
        if variant.endswith("_bn"):
            pairs.append((rf"^features\.{index + 1}$", f"bn{stage}_{i}"))
    return pairs


def _mobilenet_renames(stages):
    init = "features.init_block"
    pairs = [(rf"^{init}\.conv$", "conv1_bn.cbr_seq.0"), (rf"^{init}\.bn$", "conv1_bn.cbr_seq.1")]
    block = 1
    for stage, widths in enumerate(stages, start=1):
        for unit in range(1, len(widths) + 1):
            block += 1
            ours, theirs = rf"^features\.stage{stage}\.unit{unit}", f"conv{block}_dw.cbr_seq"
            for layer, index in (("dw_conv.conv", 0), ("dw_conv.bn", 1), ("pw_conv.conv", 3), ("pw_conv.bn", 4)):
                pairs.append((rf"{ours}\.{layer}$", f"{theirs}.{index}"))
    return pairs
