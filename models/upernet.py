"""UPerNet: Unified Perceptual Parsing for Scene Understanding.

Xiao, Liu, Zhou, Jiang, Sun, ECCV 2018. https://arxiv.org/abs/1807.10221

The segmentation network of the authors' github.com/CSAILVision/semantic-segmentation-pytorch (mit_semseg/models/models.py),
whose weights fit; `width=256` is its "upernet_lite". On Swin and ConvNeXt it is the form of huggingface/transformers and
mmsegmentation (models/_upernet_modern.py), with head="smp" that of segmentation_models_pytorch (models/_upernet_smp.py).
"""

import keras

from models import _smp, _upernet_modern, _upernet_smp, backbones, layers

REFERENCE = {
    "params": {
        "upernet": {12: 64_151_500, 150: 64_222_294},
        'upernet(backbone="resnet101_deep")': {150: 83_214_422},
        "upernet(width=256)": {},
        'upernet(backbone="resnet34", head="smp")': {12: 29_602_508},
        'upernet(backbone="swin_tiny")': {12: 59_835_602},
        'upernet(backbone="convnext_tiny")': {12: 60_136_376},
    },
    "macs": {"upernet": 39_957_528_576},
    "input": (192, 224, 3),
    "source": "CSAILVision/semantic-segmentation-pytorch mit_semseg/models/models.py, run; on Swin and ConvNeXt "
    "huggingface/transformers models/upernet, run; qubvel-org/segmentation_models.pytorch decoders/upernet, run",
    "published": "ADE20K val, single and several scales: ResNet-50 40.44, 41.55; 101 41.98, 42.66 "
    "(CSAILVision/semantic-segmentation-pytorch's README); single scale: Swin-T 44.41, ConvNeXt-T 46.11 (mmsegmentation)",
    "scores": {
        "ADE20K val": {
            "upernet": 40.44,
            'upernet(backbone="resnet101_deep")': 41.98,
            'upernet(backbone="swin_tiny")': 44.41,
            'upernet(backbone="convnext_tiny")': 46.11,
        },
    },
}

AUX_WEIGHTS = {"aux_0": 0.4}  # on Swin and ConvNeXt

UNUSED = _smp.UNUSED

HEADS = ("csail", "smp", *_upernet_modern.HEADS)
WIDTHS = {"csail": 512, "smp": _upernet_smp.WIDTH, "transformers": 512, "mmseg": 512}  # of the pyramid, by default
BINS = (1, 2, 3, 6)
DECODER = layers.kaiming_normal("fan_in", shift=1e-4)


def build(inputs, num_classes, *, backbone="resnet50_deep", width=None, head=None):
    """Figure 4, the head for objects.

    `backbone` is a spec of `models.backbones`. `head` is "csail", the authors', "smp", or on Swin and ConvNeXt by default
    "transformers"; on Swin it can be "mmseg". `width` is the number of channels of the pyramid, by default 512, with "smp" 256.
    """
    head = chosen(head, backbone)
    if head == "smp" and width not in (None, _upernet_smp.WIDTH):
        raise ValueError(f'Expected no width with head="smp", whose pyramid has 256 channels. Received: {width=}.')
    width = WIDTHS[head] if width is None else width
    if head == "smp":
        return {"logits": _upernet_smp.decoder(inputs, num_classes, _smp.features(inputs, backbone))}
    if head in _upernet_modern.HEADS:
        return _upernet_modern.build(inputs, num_classes, backbone, width, head)
    return {"logits": decoder(num_classes, backbones.build(backbone, inputs), width)}


def chosen(head, backbone):
    """The head that is asked for, or by default the backbone's."""
    if head not in (None, *HEADS):
        raise ValueError(f"Expected head: {', '.join(HEADS)}. Received: {head=}.")
    return head or _upernet_modern.default(backbone) or "csail"


@layers.initial_weights(DECODER)
def decoder(num_classes, features, width):
    """A pyramid on the backbone's four last maps."""
    x = pyramid_pooling(features["c5"], width)
    maps = [x]
    for i, level in reversed(list(enumerate(("c2", "c3", "c4")))):  # top down, from 1/32 to 1/4
        lateral = layers.conv_norm(features[level], width, 1, f"decoder.fpn_in.{i}")
        x = keras.layers.Add()([lateral, layers.resize(x, like=lateral)])
        maps.insert(0, layers.conv_norm(x, width, 3, f"decoder.fpn_out.{i}.0"))
    maps = maps[:1] + [layers.resize(y, like=maps[0]) for y in maps[1:]]
    x = layers.conv_norm(keras.layers.Concatenate()(maps), width, 3, "decoder.conv_last.0")
    return layers.conv(x, num_classes, 1, "decoder.conv_last.1")


def pyramid_pooling(x, width):
    """The means of 1, 4, 9 and 36 cells beside x, then a 3x3: [B, H, W, C] -> [B, H, W, width].

    Unlike in PSPNet, they are resized to the size of x before their 1x1. Its ReLU makes the order matter.
    """
    maps = [x]
    for i, bins in enumerate(BINS):
        y = layers.resize(layers.adaptive_average_pool(x, bins), like=x)
        maps.append(layers.conv_norm(y, 512, 1, f"decoder.ppm_conv.{i}"))
    return layers.conv_norm(keras.layers.Concatenate()(maps), width, 3, "decoder.ppm_last_conv")


def size_multiple(*, backbone="resnet50_deep", width=None, head=None):
    """segmentation_models_pytorch refuses other sizes."""
    return (32, 0) if head == "smp" else (1, 0)


def last_step(*, backbone="resnet50_deep", width=None, head=None):
    """The output of the others is a quarter of the image."""
    return None if head == "smp" else layers.resize


def backbone_of(*, backbone="resnet50_deep", width=None, head=None):
    """The backbone, with head="smp" in the form of segmentation_models_pytorch."""
    return _smp.encoder(backbone) if head == "smp" else backbone


def renames(*, backbone="resnet50_deep", width=None, head=None):
    """Of the authors and segmentation_models_pytorch: everything but the decoder and the head belongs to the backbone."""
    head = chosen(head, backbone)
    return _upernet_modern.renames(backbone, head) if head in _upernet_modern.HEADS else _smp.RENAMES
