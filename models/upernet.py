"""UPerNet: Unified Perceptual Parsing for Scene Understanding.

Xiao, Liu, Zhou, Jiang, Sun, ECCV 2018. https://arxiv.org/abs/1807.10221

The segmentation network of the authors' github.com/CSAILVision/semantic-segmentation-pytorch (mit_semseg/models/models.py),
whose weights fit; `width=256` is its "upernet_lite". On Swin and ConvNeXt it is the form of huggingface/transformers and
mmsegmentation (models/_upernet_modern.py).
"""

import keras

from models import _upernet_modern, backbones, layers

REFERENCE = {
    "params": {
        "upernet": {12: 64_151_500, 150: 64_222_294},
        'upernet(backbone="resnet101_deep")': {150: 83_214_422},
        "upernet(width=256)": {},
        'upernet(backbone="swin_tiny")': {12: 59_835_602},
        'upernet(backbone="convnext_tiny")': {12: 60_136_376},
    },
    "macs": {"upernet": 39_957_528_576},
    "input": (192, 224, 3),
    "source": "CSAILVision/semantic-segmentation-pytorch mit_semseg/models/models.py, run; on Swin and ConvNeXt "
    "huggingface/transformers models/upernet, run",
    "published": "ADE20K val, single and several scales: ResNet-50 40.44, 41.55; 101 41.98, 42.66 "
    "(CSAILVision/semantic-segmentation-pytorch's README); single scale: Swin-T 44.41, ConvNeXt-T 46.11 (mmsegmentation)",
}

AUX_WEIGHTS = {"aux_0": 0.4}  # on Swin and ConvNeXt

LAST_STEP = layers.resize  # the reference's output is a quarter of the image

BINS = (1, 2, 3, 6)
DECODER = layers.kaiming_normal("fan_in", shift=1e-4)


@layers.initial_weights(DECODER)
def build(inputs, num_classes, *, backbone="resnet50_deep", width=512, head=None):
    """Figure 4, the head for objects. `backbone` is a spec of `models.backbones`, `width` the channels of the pyramid.

    `head` is "csail", or on Swin and ConvNeXt by default "transformers"; on Swin it can be "mmseg".
    """
    head = _head(backbone, head)
    if head in _upernet_modern.HEADS:
        return _upernet_modern.build(inputs, num_classes, backbone, width, head)
    features = backbones.build(backbone, inputs)
    x = pyramid_pooling(features["c5"], width)
    maps = [x]
    for i, level in reversed(list(enumerate(("c2", "c3", "c4")))):  # top down, from 1/32 to 1/4
        lateral = layers.conv_norm(features[level], width, 1, f"decoder.fpn_in.{i}")
        x = keras.layers.Add()([lateral, layers.resize(x, like=lateral)])
        maps.insert(0, layers.conv_norm(x, width, 3, f"decoder.fpn_out.{i}.0"))
    maps = maps[:1] + [layers.resize(y, like=maps[0]) for y in maps[1:]]
    x = layers.conv_norm(keras.layers.Concatenate()(maps), width, 3, "decoder.conv_last.0")
    return {"logits": layers.conv(x, num_classes, 1, "decoder.conv_last.1")}


def renames(*, backbone="resnet50_deep", width=512, head=None):
    """Of the authors: everything but the decoder belongs to the backbone."""
    head = _head(backbone, head)
    if head in _upernet_modern.HEADS:
        return _upernet_modern.renames(backbone, head)
    return ((r"^(?!decoder\.)", "encoder."),)


def _head(backbone, head):
    """The head, or the backbone's if it is None."""
    heads = ("csail", *_upernet_modern.HEADS)
    if head not in (None, *heads):
        raise ValueError(f"Expected head: {', '.join(heads)}. Received: {head=}.")
    return head or _upernet_modern.default(backbone) or "csail"


def pyramid_pooling(x, width):
    """The means of 1, 4, 9 and 36 cells beside x, then a 3x3: [B, H, W, C] -> [B, H, W, width].

    Unlike in PSPNet, they are resized to the size of x before their 1x1. Its ReLU makes the order matter.
    """
    maps = [x]
    for i, bins in enumerate(BINS):
        y = layers.resize(layers.adaptive_average_pool(x, bins), like=x)
        maps.append(layers.conv_norm(y, 512, 1, f"decoder.ppm_conv.{i}"))
    return layers.conv_norm(keras.layers.Concatenate()(maps), width, 3, "decoder.ppm_last_conv")
