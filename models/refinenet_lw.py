"""Light-Weight RefineNet for Real-Time Semantic Segmentation.

Nekrasov, Shen, Reid, BMVC 2018. https://arxiv.org/abs/1810.03272

The authors' github.com/DrSleep/light-weight-refinenet, whose weights fit. It is RefineNet without residual units and with 1x1
convolutions instead of 3x3. Its MobileNetV2 differs from torchvision's in one convolution: the first block also has the 1x1
that widens, from 32 channels to 32. With `--init_from=imagenet` this convolution has random weights.
"""

import keras

from models import backbones, layers
from models.backbones import mobilenet_v2

REFERENCE = {
    "params": {
        "refinenet_lw": {12: 3_263_820, 21: 3_284_565},
        'refinenet_lw(backbone="resnet50")': {12: 27_336_780, 21: 27_357_525},
        'refinenet_lw(backbone="resnet101")': {12: 46_328_908, 21: 46_349_653},
        'refinenet_lw(backbone="resnet152")': {21: 61_993_301},
        'refinenet_lw(backbone="resnet18")': {},
    },
    "macs": {
        "refinenet_lw": 193_221_888,
        'refinenet_lw(backbone="resnet50")': 741_507_072,
        'refinenet_lw(backbone="resnet101")': 1_196_064_768,
    },
    "input": (64, 96, 3),
    "source": "DrSleep/light-weight-refinenet models/resnet.py and models/mobilenet.py, run",
    "published": "VOC val: ResNet-50 78.5, 101 80.3, 152 82.1, MobileNet-v2 76.2 (DrSleep/light-weight-refinenet's README)",
    "scores": {
        "VOC val": {
            "refinenet_lw": 76.2,
            'refinenet_lw(backbone="resnet50")': 78.5,
            'refinenet_lw(backbone="resnet101")': 80.3,
            'refinenet_lw(backbone="resnet152")': 82.1,
        },
    },
}

LAST_STEP = layers.resize  # the reference's output is a quarter of the image


def build(inputs, num_classes, *, backbone="mobilenet_v2"):
    """`backbone` is a ResNet, MobileNetV2 (for which the reference has another form), or another spec of `models.backbones`."""
    if backbones.find(backbone)[1] is mobilenet_v2:
        return {"logits": mobilenet_form(inputs, num_classes)}
    return {"logits": resnet_form(inputs, num_classes, backbone)}


def resnet_form(inputs, num_classes, backbone):
    """Four maps of the backbone, from the coarsest to the finest."""
    features, x = backbones.build(backbone, inputs, initial=layers.torch_default), None
    for stage, level in enumerate(("c5", "c4", "c3", "c2"), start=1):
        skip = keras.layers.Dropout(0.5)(features[level]) if stage <= 2 else features[level]
        skip = conv1x1(skip, f"p_ims1d2_outl{stage}_dimred", 512 if stage == 1 else 256)
        if stage > 1:  # the result of the coarser map exists
            skip = conv1x1(skip, f"adapt_stage{stage}_b2_joint_varout_dimred")
            x = conv1x1(x, f"mflow_conv_g{stage - 1}_b3_joint_varout_dimred")
            skip = keras.layers.Add()([skip, layers.resize(x, like=skip, align_corners=True)])
        x = chained_residual_pooling(layers.relu(skip), f"mflow_conv_g{stage}_pool.0")
    return layers.conv(x, num_classes, 3, "clf_conv")


def mobilenet_form(inputs, num_classes):
    """Six maps; pairs of the same resolution are summed."""
    stages, x = mobilenet(inputs), None
    for level, members in ((4, (8, 7)), (3, (6, 5)), (2, (4,)), (1, (3,))):
        maps = [conv1x1(stages[stage], f"conv{stage}") for stage in members]
        if level < 4:
            x = conv1x1(x, f"conv_adapt{level + 1}")
            maps.append(layers.resize(x, like=maps[0], align_corners=True))
        skip = keras.layers.Add()(maps) if len(maps) > 1 else maps[0]
        x = chained_residual_pooling(layers.relu6(skip), f"crp{level}.0")
    return layers.conv(x, num_classes, 3, "segm")


def chained_residual_pooling(x, name):
    """Four times a 5x5 pool at stride 1 and a convolution, each of the last result; all are summed."""
    y = x
    for i in (1, 2, 3, 4):
        y = conv1x1(layers.max_pool(y, 5, 1, padding=2), f"{name}.{i}_outvar_dimred", x.shape[-1])
        x = keras.layers.Add()([x, y])
    return x


def conv1x1(x, name, filters=256):
    """Without bias, and without batch norm or ReLU after it."""
    return layers.conv(x, filters, 1, name, bias=False)


def mobilenet(inputs):
    """{stage in the reference's numbers, 2 to 8: its last map} of MobileNetV2, whose first block is widened."""
    x = layers.conv_norm(inputs, 32, 3, "features.0", activation=layers.relu6, stride=2)
    x = layers.conv_norm(x, 32, 1, "features.1.widening", activation=layers.relu6)
    block, stages = 1, {}
    for stage, (expansion, filters, repetitions, stride) in enumerate(mobilenet_v2.STAGES, start=2):
        for i in range(repetitions):
            x = mobilenet_v2.block(x, filters, expansion, f"features.{block}.conv", 1 if i else stride)
            block += 1
        stages[stage] = x
    return stages


def renames(*, backbone="mobilenet_v2"):
    """The reference numbers MobileNetV2's blocks by stage, and the three steps of every block in the same way."""
    if backbones.find(backbone)[1] is not mobilenet_v2:
        return ()
    pairs = [(r"^features\.0\.", "layer1."), (r"^features\.1\.widening\.", "layer2.0.output.0.")]
    block = 1
    for stage, (expansion, _, repetitions, _) in enumerate(mobilenet_v2.STAGES, start=2):
        steps = {r"0\.": "0.", r"1\.": "1.", "2$": "2.0", "3$": "2.1"}
        if expansion == 1:  # torchvision's first block has no 1x1 that widens
            steps = {r"0\.": "1.", "1$": "2.0", "2$": "2.1"}
        for i in range(repetitions):
            for ours, theirs in steps.items():
                pairs.append((rf"^features\.{block}\.conv\.{ours}", f"layer{stage}.{i}.output.{theirs}"))
            block += 1
    return pairs
