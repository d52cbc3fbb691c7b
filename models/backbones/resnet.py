"""ResNet: Deep Residual Learning for Image Recognition, and the families that change its blocks or its stem.

He, Zhang, Ren, Sun, CVPR 2016. https://arxiv.org/abs/1512.03385

- resnet*, resnext* (Xie et al., CVPR 2017, https://arxiv.org/abs/1611.05431) and wide_resnet50_2 (Zagoruyko, Komodakis,
  BMVC 2016, https://arxiv.org/abs/1605.07146) are torchvision's: a bottleneck has its stride in the 3x3.
- *_deep has the stem of PSPNet and UPerNet: three 3x3 convolutions, 64, 64 and 128 wide (hszhao/semseg,
  CSAILVision/semantic-segmentation-pytorch). *_v1c has the stem of "Bag of Tricks" (He et al., CVPR 2019,
  https://arxiv.org/abs/1812.01187), 32, 32 and 64 wide, with the names of open-mmlab/mmsegmentation.
- *_caffe has the stride in the first 1x1 of a bottleneck, like the authors' own Caffe networks, and its pool rounds up
  (kazuto1011/deeplab-pytorch).
- se_resnet* adds squeeze and excitation (Hu, Shen, Sun, CVPR 2018, https://arxiv.org/abs/1709.01507), in the form of
  Cadene/pretrained-models.pytorch, which has the authors' Caffe weights: stride in the first 1x1, an unpadded pool.
"""

import dataclasses

import keras

from models import layers
from models.backbones import Weights, _dilation

SEVEN = (("conv1", "bn1", 64),)
DEEP = (("conv1", "bn1", 64), ("conv2", "bn2", 64), ("conv3", "bn3", 128))
V1C = (("stem.0", "stem.1", 32), ("stem.3", "stem.4", 32), ("stem.6", "stem.7", 64))
SENET = (("layer0.conv1", "layer0.bn1", 64),)


@dataclasses.dataclass(frozen=True)
class Variant:
    """The differences between the members of the family."""

    blocks: tuple  # in each of the four stages
    bottleneck: bool = True  # 1x1, 3x3, 1x1, four times as wide outside; otherwise two 3x3
    groups: int = 1  # of the 3x3
    width: int = 64  # of a group in the first stage; bottlenecks without groups are 64 wide there
    stem: tuple = SEVEN  # (convolution, norm, filters): one 7x7, or several 3x3
    caffe: bool = False  # a stage's stride is in the first 1x1 instead of the 3x3
    pool: str = "floor"  # "ceil" rounds the size up; "unpadded" also has no padding on top and left
    excitation: bool = False


R18, R34, R50, R101, R152 = (2, 2, 2, 2), (3, 4, 6, 3), (3, 4, 6, 3), (3, 4, 23, 3), (3, 8, 36, 3)

VARIANTS = {
    "resnet18": Variant(R18, bottleneck=False),
    "resnet34": Variant(R34, bottleneck=False),
    "resnet50": Variant(R50),
    "resnet101": Variant(R101),
    "resnet152": Variant(R152),
    "resnext50_32x4d": Variant(R50, groups=32, width=4),
    "resnext101_32x8d": Variant(R101, groups=32, width=8),
    "wide_resnet50_2": Variant(R50, width=128),
    "resnet18_deep": Variant(R18, bottleneck=False, stem=DEEP),
    "resnet50_deep": Variant(R50, stem=DEEP),
    "resnet101_deep": Variant(R101, stem=DEEP),
    "resnet18_v1c": Variant(R18, bottleneck=False, stem=V1C),
    "resnet50_v1c": Variant(R50, stem=V1C),
    "resnet101_v1c": Variant(R101, stem=V1C),
    "resnet50_caffe": Variant(R50, caffe=True, pool="ceil"),
    "resnet101_caffe": Variant(R101, caffe=True, pool="ceil"),
    "se_resnet50": Variant(R50, stem=SENET, caffe=True, pool="unpadded", excitation=True),
    "se_resnet101": Variant(R101, stem=SENET, caffe=True, pool="unpadded", excitation=True),
    "se_resnet152": Variant(R152, stem=SENET, caffe=True, pool="unpadded", excitation=True),
}

# The rule of torchvision, and of *_deep in hszhao/semseg. For *_v1c, *_caffe and se_resnet* only trained weights are published.
INITIAL = layers.kaiming_normal("fan_out")

REFERENCE = {
    "resnet18": {"params": {1000: 11_689_512}, "macs": 333_615_000, "input": (96, 96, 3)},
    "resnet34": {"params": {1000: 21_797_672}, "macs": 673_354_000, "input": (96, 96, 3)},
    "resnet50": {"params": {1000: 25_557_032}, "macs": 752_746_000, "input": (96, 96, 3)},
    "resnet101": {"params": {1000: 44_549_160}, "macs": 1_434_580_000, "input": (96, 96, 3)},
    "resnet152": {"params": {1000: 60_192_808}, "macs": 2_116_420_000, "input": (96, 96, 3)},
    "resnext50_32x4d": {"params": {1000: 25_028_904}, "macs": 778_699_000, "input": (96, 96, 3)},
    "resnext101_32x8d": {"params": {1000: 88_791_336}, "macs": 3_016_490_000, "input": (96, 96, 3)},
    "wide_resnet50_2": {"params": {1000: 68_883_240}, "macs": 2_095_190_000, "input": (96, 96, 3)},
    "se_resnet50": {"params": {1000: 28_088_024}},
    "se_resnet101": {"params": {1000: 49_326_872}},
    "se_resnet152": {"params": {1000: 66_821_848}},
}


def _mmseg(file):
    return Weights(f"https://download.openmmlab.com/pretrain/third_party/{file}.pth", file[-8:], None, "mmsegmentation")


def _cadene(file):
    url = f"http://data.lip6.fr/cadene/pretrainedmodels/{file}.pth"
    return Weights(url, file[-8:], None, "Cadene/pretrained-models.pytorch")


# torchvision's first weights, which published segmentation results start from. Its second weights score higher on ImageNet.
WEIGHTS = {
    "resnet18": Weights.torchvision("resnet18-f37072fd", 69.758),
    "resnet34": Weights.torchvision("resnet34-b627a593", 73.314),
    "resnet50": Weights.torchvision("resnet50-0676ba61", 76.130),
    "resnet101": Weights.torchvision("resnet101-63fe2227", 77.374),
    "resnet152": Weights.torchvision("resnet152-394f9c45", 78.312),
    "resnext50_32x4d": Weights.torchvision("resnext50_32x4d-7cdf4587", 77.618),
    "resnext101_32x8d": Weights.torchvision("resnext101_32x8d-8ba56ff5", 79.312),
    "wide_resnet50_2": Weights.torchvision("wide_resnet50_2-95faca4d", 78.468),
    "resnet18_v1c": _mmseg("resnet18_v1c-b5776b93"),
    "resnet50_v1c": _mmseg("resnet50_v1c-2cccc1ad"),
    "resnet101_v1c": _mmseg("resnet101_v1c-e67eebb6"),
    "se_resnet50": _cadene("se_resnet50-ce0d4300"),
    "se_resnet101": _cadene("se_resnet101-7e38fcc6"),
    "se_resnet152": _cadene("se_resnet152-d17c99b7"),
}


def channels(variant):
    """Of the five feature maps."""
    v = VARIANTS[variant]
    expansion = 4 if v.bottleneck else 1
    return {"c1": v.stem[-1][2], **{f"c{stage + 2}": 64 * 2**stage * expansion for stage in range(4)}}


def build(inputs, variant, output_stride=32, *, dilate_first=False, ceil_pool=False, multi_grid=(1,), dropout=0.0):
    """Table 1: a stem, a pool, four stages.

    If a stage loses its stride, everything after it is dilated instead, so that the weights compute the same as before. The
    first 3x3 of the stage, if it had the stride, keeps the dilation of the stage before, as in torchvision. With
    `dilate_first` it is dilated like the rest of its stage, as in PSPNet's hszhao/semseg. `ceil_pool` rounds the pool up.
    `multi_grid` multiplies the dilation of the last stage's blocks: one number for each block, the last for all others.
    `dropout` is the share of values that are dropped at the end of the last stage's residual branches.
    """
    if not isinstance(multi_grid, (tuple, list)) or not multi_grid or any(rate < 1 for rate in multi_grid):
        raise ValueError(f"Expected multi_grid such as (1, 2, 4), of numbers from 1. Received: {multi_grid=}.")
    v = VARIANTS[variant]
    x = stem(inputs, v)
    features = {"c1": x}
    x = pool(x, "ceil" if ceil_pool else v.pool)
    stages = _dilation.plan((2, 2, 1, 2, 2, 2), output_stride)[2:]
    for stage, (blocks, (stride, first, dilation)) in enumerate(zip(v.blocks, stages, strict=True)):
        first = dilation if dilate_first else first
        for i in range(blocks):
            name, filters = f"layer{stage + 1}.{i}", 64 * 2**stage
            grid = multi_grid[min(i, len(multi_grid) - 1)] if stage == 3 else 1
            dilations = ((dilation if i else first) * grid, dilation * grid)
            x = block(x, name, filters, v, 1 if i else stride, dilations, dropout=dropout if stage == 3 else 0.0)
        features[f"c{stage + 2}"] = x
    return features


def head(features, num_classes, variant):
    """The mean over the image and a linear layer."""
    x = keras.layers.GlobalAveragePooling2D()(features["c5"])
    name = "last_linear" if VARIANTS[variant].excitation else "fc"
    return layers.dense(x, num_classes, name)


def stem(x, v):
    """To half the resolution."""
    kernel = 7 if len(v.stem) == 1 else 3
    for i, (convolution, norm, filters) in enumerate(v.stem):
        x = layers.conv_norm(x, filters, kernel, "", (convolution, norm), stride=1 if i else 2)
    return x


def pool(x, rounding="floor"):
    """3x3 with stride 2. x comes from a ReLU, so padding with zeros is padding with -inf."""
    if rounding == "floor":
        return layers.max_pool(x, 3, 2, padding=1, nonnegative=True)
    # To round up, one more row and column is padded below and right; even sizes use it.
    before = 0 if rounding == "unpadded" else 1
    x = keras.layers.ZeroPadding2D(((before, before + 1), (before, before + 1)))(x)
    return keras.layers.MaxPooling2D(3, 2)(x)


def block(x, name, filters, v, stride=1, dilations=(1, 1), residual=True, dropout=0.0):
    """Figure 5: two 3x3, or 1x1, 3x3 and 1x1, added to the input; dilations before and after the stride."""
    outputs = filters * 4 if v.bottleneck else filters
    if v.bottleneck:
        width = filters * v.width // 64 * v.groups
        first, second, dilation = (stride, 1, dilations[1]) if v.caffe else (1, stride, dilations[0])
        where = {"stride": second, "dilation": dilation, "groups": v.groups}
        y = layers.conv_norm(x, width, 1, name, ("conv1", "bn1"), stride=first)
        y = layers.conv_norm(y, width, 3, name, ("conv2", "bn2"), **where)
        y = layers.conv_norm(y, outputs, 1, name, ("conv3", "bn3"), activation=None)
    else:
        y = layers.conv_norm(x, filters, 3, name, ("conv1", "bn1"), stride=stride, dilation=dilations[0])
        y = layers.conv_norm(y, filters, 3, name, ("conv2", "bn2"), activation=None, dilation=dilations[1])
    if v.excitation:
        y = layers.squeeze_excite(y, outputs // 16, f"{name}.se_module")
    if dropout:
        y = keras.layers.Dropout(dropout)(y)
    if not residual:
        return layers.relu(y)
    if stride > 1 or x.shape[-1] != outputs:
        x = layers.conv_norm(x, outputs, 1, f"{name}.downsample", activation=None, stride=stride)
    return layers.relu(keras.layers.Add()([y, x]))
