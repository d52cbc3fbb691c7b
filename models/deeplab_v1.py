"""DeepLab v1 (LargeFOV): Semantic Image Segmentation with Deep Convolutional Nets and Fully Connected CRFs.

Chen, Papandreou, Kokkinos, Murphy, Yuille, ICLR 2015. https://arxiv.org/abs/1412.7062
"""

from models import backbones, layers
from models.backbones import resnet

LAST_STEP = layers.resize

REFERENCE = {
    "params": {
        "deeplab_v1": {},
        'deeplab_v1(backbone="resnet101_caffe")': {12: 42_524_748, 21: 42_543_189},
    },
    "source": "kazuto1011/deeplab-pytorch libs/models/deeplabv1.py, run",
}


def build(inputs, num_classes, *, backbone="resnet101_caffe"):
    options = {"dilate_first": True, "initial": layers.torch_default}
    x = backbones.build(backbone, inputs, output_stride=8, **options)["c5"]
    return {"logits": layers.conv(x, num_classes, 1, "fc")}


def renames(*, backbone="resnet101_caffe"):
    """kazuto's names of a bottleneck's modules."""
    call, family = backbones.find(backbone)
    if family is not resnet:
        return ()
    blocks = [
        (rf"^layer{stage}\.{i}\.", f"layer{stage + 1}.block{i + 1}.")
        for stage, count in enumerate(resnet.VARIANTS[call.name].blocks, start=1)
        for i in range(count)
    ]
    steps = {"1": "reduce", "2": "conv3x3", "3": "increase"}
    return (
        (r"^conv1$", "layer1.conv1.conv"),
        (r"^bn1$", "layer1.conv1.bn"),
        *blocks,
        *((rf"(block\d+)\.conv{i}$", rf"\1.{name}.conv") for i, name in steps.items()),
        *((rf"(block\d+)\.bn{i}$", rf"\1.{name}.bn") for i, name in steps.items()),
        (r"(block\d+)\.downsample\.0$", r"\1.shortcut.conv"),
        (r"(block\d+)\.downsample\.1$", r"\1.shortcut.bn"),
    )
