"""ESPNet: Efficient Spatial Pyramid of Dilated Convolutions for Semantic Segmentation.

Mehta, Rastegari, Caspi, Shapiro, Hajishirzi, ECCV 2018. https://arxiv.org/abs/1803.06815

The authors' github.com/sacmehta/ESPNet, whose weights fit: ESPNet (figure 4d), and with decoder=False its encoder ESPNet-C
(figure 4c), which they train first. They have published two decoders: test/Model.py takes the 16 channels of the first
convolution over, as their Cityscapes weights need, train/Model.py those 19 that the image has been added to, as their CamVid
weights need.
"""

import keras

from models import layers

REFERENCE = {
    "params": {
        "espnet": {12: 354_193},
        "espnet(skip_channels=19)": {12: 354_517},
        "espnet(decoder=False)": {12: 347_401},
    },
    "macs": {"espnet": 46_980_384, "espnet(skip_channels=19)": 47_478_048, "espnet(decoder=False)": 40_469_280},
    "input": (64, 96, 3),
    "source": "sacmehta/ESPNet test/Model.py, train/Model.py, run",
    "published": "Cityscapes test 60.3, CamVid test 55.64 (the authors' README)",
    "scores": {
        "Cityscapes test": {"espnet": 60.3},
        "CamVid test": {"espnet": 55.64},
    },
}

EPSILON = 1e-3
DILATIONS = (1, 2, 4, 8, 16)
STEM = 16  # channels of the first convolution
# What follows a convolution, and what these three are called after its name.
CONV_NORM_ACT = {"entries": ("conv", "bn", "act"), "activation": layers.prelu, "epsilon": EPSILON}


def build(inputs, num_classes, *, p=2, q=8, decoder=True, skip_channels=STEM):
    """Figure 4. `p` blocks at 1/4 of the resolution, `q` at 1/8; `skip_channels` is 16, or 19 with the image's three."""
    if min(p, q) < 1:
        raise ValueError(f"Expected p and q of at least 1. Received: {p=}, {q=}.")
    with_image = STEM + inputs.shape[-1]
    if skip_channels not in (STEM, with_image):
        raise ValueError(f"Expected skip_channels {STEM} or {with_image}. Received: {skip_channels=}.")
    # The reference's decoder refuses others; its encoder takes any size.
    image = layers.pad_to_multiple(inputs, 8) if decoder else inputs
    half = layers.average_pool(image, 3, 2, padding=1)
    quarter = layers.average_pool(half, 3, 2, padding=1)

    stem = layers.conv_norm(image, STEM, 3, "encoder.level1", stride=2, **CONV_NORM_ACT)
    level1 = norm_act(concatenate([stem, half]), "encoder.b1")
    first = x = downsample(level1, 64, "encoder.level2_0")
    for i in range(p):
        x = esp_block(x, f"encoder.level2.{i}")
    level2 = norm_act(concatenate([x, first, quarter]), "encoder.b2")
    first = x = downsample(level2, 128, "encoder.level3_0")
    for i in range(q):
        x = esp_block(x, f"encoder.level3.{i}")
    level3 = norm_act(concatenate([first, x]), "encoder.b3")
    x = layers.conv(level3, num_classes, 1, "encoder.classifier.conv", bias=False)
    if not decoder:
        return {"logits": x}

    x = double(layers.batch_norm(x, "br", EPSILON), "up_l3.0")
    x = concatenate([layers.conv(level2, num_classes, 1, "level3_C.conv", bias=False), x])
    x = norm_act(x, "combine_l2_l3.0")
    x = layers.conv(x, num_classes // branches(num_classes), 1, "combine_l2_l3.1.c1.conv", bias=False)
    x = norm_act(pyramid(x, num_classes, "combine_l2_l3.1"), "combine_l2_l3.1.bn")
    x = norm_act(double(x, "up_l2.0"), "up_l2.1")
    x = concatenate([x, stem if skip_channels == STEM else level1])
    x = layers.conv_norm(x, num_classes, 3, "conv", **CONV_NORM_ACT)
    return {"logits": layers.fit(double(x, "classifier"), inputs)}


def last_step(*, p=2, q=8, decoder=True, skip_channels=STEM):
    """ESPNet-C's own output is an eighth of the image."""
    return None if decoder else layers.resize


def renames(*, p=2, q=8, decoder=True, skip_channels=STEM):
    """ESPNet-C alone is not inside a module `encoder`."""
    return () if decoder else ((r"^encoder\.", ""),)


def concatenate(maps):
    """Concatenates the maps along their channels."""
    return keras.layers.Concatenate()(maps)


def norm_act(x, name):
    """Batch norm and PReLU."""
    return layers.prelu(layers.batch_norm(x, f"{name}.bn", EPSILON), f"{name}.act")


def double(x, name):
    """Doubles the resolution by a transposed convolution of the same channels."""
    return layers.transposed_conv(x, x.shape[-1], 2, name, bias=False)


def branches(filters):
    """The pyramid's branches: five, fewer only in the decoder of fewer classes, which the reference does not build."""
    return min(len(DILATIONS), filters)


def pyramid(x, filters, name):
    """Figure 1: dilated 3x3 side by side; each but the first adds the sums before it, against gridding."""
    count = branches(filters)
    maps = []
    for i, dilation in enumerate(DILATIONS[:count]):
        width = filters // count if i else filters - (count - 1) * (filters // count)
        y = layers.conv(x, width, 3, f"{name}.d{dilation}.conv", dilation=dilation, bias=False)
        maps.append(keras.layers.Add()([maps[-1], y]) if i > 1 else y)
    return concatenate(maps)


def downsample(x, filters, name):
    """The pyramid at half the resolution."""
    x = layers.conv(x, filters // len(DILATIONS), 3, f"{name}.c1.conv", stride=2, bias=False)
    return norm_act(pyramid(x, filters, name), name)


def esp_block(x, name):
    """Figure 1a: a 1x1 to a fifth of the channels, the pyramid, the sum with the input."""
    filters = x.shape[-1]
    y = layers.conv(x, filters // len(DILATIONS), 1, f"{name}.c1.conv", bias=False)
    return norm_act(keras.layers.Add()([x, pyramid(y, filters, name)]), f"{name}.bn")
