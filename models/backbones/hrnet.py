"""HRNet: Deep High-Resolution Representation Learning for Visual Recognition.

Wang, Sun, Cheng, Jiang, Deng, Zhao, Liu, Mu, Tan, Wang, Liu, Xiao, TPAMI 2020. https://arxiv.org/abs/1908.07919

The authors' github.com/HRNet/HRNet-Image-Classification (lib/models/cls_hrnet.py), whose names are kept. The first branch stays
at 1/4 of the resolution from the first layer to the last, and ends as c2; c3, c4 and c5 are the other branches. The reference
takes only multiples of 32. For other sizes, maps that are resized to the nearest pixel are cropped.
"""

import dataclasses
import functools

import keras

from models import layers
from models.backbones import _dilation

INITIAL = layers.kaiming_normal("fan_out")
OUTPUT_STRIDES = (32,)


@dataclasses.dataclass(frozen=True)
class Variant:
    """Channels at 1/4 of the resolution; bottlenecks of the first stage, modules of the others, blocks of a branch."""

    width: int
    bottlenecks: int = 4
    modules: tuple = (1, 4, 3)
    blocks: int = 4


VARIANTS = {
    "hrnet_w18_small_v2": Variant(18, 2, (1, 3, 2), 2),
    "hrnet_w18": Variant(18),
    "hrnet_w32": Variant(32),
    "hrnet_w48": Variant(48),
}


def channels(variant):
    """Of the five feature maps."""
    width = VARIANTS[variant].width
    return {"c1": 64, "c2": width, "c3": 2 * width, "c4": 4 * width, "c5": 8 * width}


def nearest(x, factor, like):
    """[B, h, w, C] -> [B, H, W, C]: every pixel `factor` x `factor` times, without what is more than `like` has."""
    return layers.fit(keras.layers.UpSampling2D(factor)(x), like, pad=False)


def build(inputs, variant, output_stride=32, *, upsample=nearest, momentum=0.9):
    """Figure 2: each stage adds a branch of half the resolution, and its modules exchange the maps of all branches.

    Only networks set the last two: `upsample` is a function (map, factor, map of the size that is wanted) -> map, and
    `momentum` is that of the batch norms.
    """
    _dilation.refuse(output_stride, "HRNet", "its branches have fixed resolutions, which meet in every module")
    v, conv_norm = VARIANTS[variant], functools.partial(layers.conv_norm, momentum=momentum)
    stem = conv_norm(inputs, 64, 3, "", ("conv1", "bn1"), stride=2)
    x = conv_norm(stem, 64, 3, "", ("conv2", "bn2"), stride=2)
    for i in range(v.bottlenecks):
        x = bottleneck(x, 64, f"layer1.{i}", conv_norm)
    maps = [
        conv_norm(x, v.width, 3, "transition1.0"),
        conv_norm(x, 2 * v.width, 3, "transition1.1.0", stride=2),
    ]
    for stage, modules in enumerate(v.modules, start=2):
        if stage > 2:
            name = f"transition{stage - 1}.{stage - 1}.0"
            maps = [*maps, conv_norm(maps[-1], 2 * maps[-1].shape[-1], 3, name, stride=2)]
        for i in range(modules):
            maps = module(maps, v.blocks, f"stage{stage}.{i}", conv_norm, upsample)
    return {"c1": stem, **dict(zip(("c2", "c3", "c4", "c5"), maps, strict=True))}


def head(features, num_classes, variant):
    """Figure 4c: wider maps, each added to the next lower resolution, then the means and a linear layer."""
    x = None
    for i, level in enumerate(("c2", "c3", "c4", "c5")):
        y = bottleneck(features[level], 32 * 2**i, f"incre_modules.{i}.0", layers.conv_norm)
        if x is not None:
            x = layers.conv_norm(x, y.shape[-1], 3, f"downsamp_modules.{i - 1}", stride=2, bias=True)
        x = y if x is None else keras.layers.Add()([y, x])
    x = layers.conv_norm(x, 2048, 1, "final_layer", bias=True)
    return layers.dense(keras.layers.GlobalAveragePooling2D()(x), num_classes, "classifier")


def bottleneck(x, filters, name, conv_norm):
    """1x1, 3x3, 1x1 to four times the channels, added to the input."""
    y = conv_norm(x, filters, 1, name, ("conv1", "bn1"))
    y = conv_norm(y, filters, 3, name, ("conv2", "bn2"))
    y = conv_norm(y, 4 * filters, 1, name, ("conv3", "bn3"), activation=None)
    if x.shape[-1] != 4 * filters:
        x = conv_norm(x, 4 * filters, 1, f"{name}.downsample", activation=None)
    return layers.relu(keras.layers.Add()([y, x]))


def basic_block(x, name, conv_norm):
    """Two 3x3, added to the input."""
    y = conv_norm(x, x.shape[-1], 3, name, ("conv1", "bn1"))
    y = conv_norm(y, x.shape[-1], 3, name, ("conv2", "bn2"), activation=None)
    return layers.relu(keras.layers.Add()([y, x]))


def module(maps, blocks, name, conv_norm, upsample):
    """Figure 3: residual blocks in every branch; then each map becomes the sum of all maps, brought to its size."""
    for i, x in enumerate(maps):
        for j in range(blocks):
            x = basic_block(x, f"{name}.branches.{i}.{j}", conv_norm)
        maps = [*maps[:i], x, *maps[i + 1 :]]
    fused = []
    for i, like in enumerate(maps):
        terms = []
        for j, x in enumerate(maps):
            of = f"{name}.fuse_layers.{i}.{j}"
            if j > i:
                x = upsample(conv_norm(x, like.shape[-1], 1, of, activation=None), 2 ** (j - i), like)
            for k in range(i - j):
                last = k == i - j - 1
                filters, activation = (like.shape[-1], None) if last else (x.shape[-1], layers.relu)
                x = conv_norm(x, filters, 3, f"{of}.{k}", activation=activation, stride=2)
            terms.append(x)
        fused.append(layers.relu(keras.layers.Add()(terms)))
    return fused
