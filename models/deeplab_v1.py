"""DeepLab v1: Semantic Image Segmentation with Deep Convolutional Nets and Fully Connected CRFs.

Chen, Papandreou, Kokkinos, Murphy, Yuille, ICLR 2015. https://arxiv.org/abs/1412.7062

On a VGG the paper's LargeFOV, after the authors' Caffe train.prototxt: pools of 3x3, of which the last two do not stride, a
mean of 3x3 after them, and a 3x3 dilated by 12 for fc6. On every other backbone the form of kazuto1011/deeplab-pytorch, whose
ResNet-101 is the authors' Caffe network: a 1x1 to the classes. The paper's CRF is a step of inference and not here.
"""

import keras

from models import backbones, layers
from models.backbones import resnet, vgg

REFERENCE = {
    "params": {
        "deeplab_v1": {12: 20_496_204, 21: 20_505_429},
        'deeplab_v1(backbone="resnet101_caffe")': {12: 42_524_748, 21: 42_543_189},
        'deeplab_v1(backbone="resnet18")': {},
    },
    "macs": {'deeplab_v1(backbone="resnet101_caffe")': 5_042_020_352},
    "input": (64, 96, 3),
    "source": "ResNet-101: kazuto1011/deeplab-pytorch libs/models/deeplabv1.py, run; VGG: counted, 20.5M in the paper",
    "published": "VOC val: LargeFOV 62.25, with the CRF 67.64 (the paper's table 1)",
    "scores": {
        "VOC val": {"deeplab_v1": 62.25},
    },
}

LAST_STEP = layers.resize  # the reference's output is 1/8 of the image, rounded up


def build(inputs, num_classes, *, backbone="vgg16", output_stride=8, smoothed_dilation=None):
    """Section 3.

    `backbone` is a spec of `models.backbones` that can stay at `output_stride`, 8 or 16, of the resolution.
    `smoothed_dilation` "gi" or "ssc" smooths the backbone's dilated convolutions (layers/smoothed_dilation.py).
    """
    x = encoder(inputs, backbone, output_stride, smoothed_dilation)
    if backbones.find(backbone)[1] is vgg:
        x = layers.average_pool(x, 3, 1, padding=1)
        return {"logits": large_fov(x, num_classes, 96 // output_stride)}
    return {"logits": layers.conv(x, num_classes, 1, "fc")}


def check_stride(output_stride):
    """Raises ValueError where it is neither 8 nor 16."""
    if output_stride not in (8, 16):
        raise ValueError(f"Expected output_stride 8 or 16. Received: {output_stride=}.")


def encoder(inputs, backbone, output_stride, smoothed_dilation):
    """The last map of a dilated backbone: a VGG with pools of 3x3, a ResNet that is dilated from a stage's first block on."""
    check_stride(output_stride)
    family, options = backbones.find(backbone)[1], {"smoothed_dilation": smoothed_dilation}
    if family is vgg:
        options |= {"pool": pool, "dense_pool": dense_pool}
    if family is resnet:
        options["dilate_first"] = True
    if is_caffe(backbone):  # kazuto's start from a Caffe model, and otherwise as PyTorch
        options["initial"] = layers.torch_default
    return backbones.build(backbone, inputs, output_stride, **options)["c5"]


def pool(x):
    """To half the resolution, rounded up."""
    return resnet.pool(x, "ceil")


def dense_pool(x):
    """At the same resolution."""
    return layers.max_pool(x, 3, 1, padding=1)


def large_fov(x, num_classes, dilation, branch=""):
    """fc6 to fc8 as 3x3, 1x1 and 1x1 convolutions."""
    # The authors copy fc6 and fc7 from a trained VGG, and draw fc8 with 0.01.
    start = layers.kaiming_normal("fan_in", bias=0.0)
    x = layers.relu(layers.conv(x, 1024, 3, f"fc6{branch}", dilation=dilation, initial=start))
    x = layers.relu(layers.conv(keras.layers.Dropout(0.5)(x), 1024, 1, f"fc7{branch}", initial=start))
    return layers.conv(
        keras.layers.Dropout(0.5)(x), num_classes, 1, f"fc8{branch}", initial=layers.normal(0.01, bias=0.0)
    )


def is_caffe(backbone):
    """Whether a backbone is a ResNet of the authors' Caffe form."""
    call, family = backbones.find(backbone)
    return family is resnet and resnet.VARIANTS[call.name].caffe


def renames(*, backbone="vgg16", output_stride=8, smoothed_dilation=None):
    """kazuto's names of the modules of a ResNet, on which alone its weights fit."""
    call, family = backbones.find(backbone)
    return kazuto(resnet.VARIANTS[call.name].blocks) if family is resnet else ()


def kazuto(blocks):
    """Pairs for a ResNet of so many blocks in its stages: stages from 2, blocks from 1, and modules by what they do."""
    steps = {
        "conv1": "reduce.conv",
        "conv2": "conv3x3.conv",
        "conv3": "increase.conv",
        "downsample\\.0": "shortcut.conv",
    }
    norms = {"bn1": "reduce.bn", "bn2": "conv3x3.bn", "bn3": "increase.bn", "downsample\\.1": "shortcut.bn"}
    return (
        (r"^conv1$", "layer1.conv1.conv"),
        (r"^bn1$", "layer1.conv1.bn"),
        *(
            (rf"^layer{stage}\.{i}\.", f"layer{stage + 1}.block{i + 1}.")
            for stage, count in enumerate(blocks, start=1)
            for i in range(count)
        ),
        *((rf"(block\d+)\.{ours}$", rf"\1.{theirs}") for ours, theirs in (steps | norms).items()),
    )
