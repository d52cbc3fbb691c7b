"""PIDNet: A Real-time Semantic Segmentation Network Inspired by PID Controllers.

Xu, Xiong, Bhattacharyya, CVPR 2023. https://arxiv.org/abs/2206.02066

The authors' github.com/XuJiacong/PIDNet, whose weights fit. Their keys begin with "model.". Blocks and heads are DDRNet's. The
reference's first commits refuse sizes that are no multiple of 8; as in its later ones, maps have the size of the third branch.
"""

import functools

import keras
from keras import ops

from models import ddrnet, layers
from models.ddrnet import basic_block, bottleneck, head, stage

REFERENCE = {
    "params": {
        "pidnet": {12: 7_719_129},
        "pidnet(auxiliary=False)": {12: 7_624_812},
        'pidnet(variant="m")': {12: 28_761_305},
        'pidnet(variant="l")': {12: 37_310_713},
    },
    "macs": {"pidnet": 139_456_512, 'pidnet(variant="l")': 809_592_832},
    "input": (64, 96, 3),
    "source": "XuJiacong/PIDNet models/pidnet.py, run",
    "published": "Cityscapes val: S 78.8, M 79.9, L 80.9; CamVid test: S 80.1, M 82.0 (the authors' README)",
    "scores": {
        "Cityscapes val": {"pidnet": 78.8, 'pidnet(variant="m")': 79.9, 'pidnet(variant="l")': 80.9},
        "CamVid test": {"pidnet": 80.1, 'pidnet(variant="m")': 82.0},
    },
}

# The reference's output is an eighth of the image; its evaluation resizes it so.
LAST_STEP = functools.partial(layers.resize, align_corners=True)

AUX_WEIGHTS = {"aux_0": 0.4}

INITIAL = layers.kaiming_normal("fan_out")

# Depth of the first stages and of the later ones, width of the stem, channels of a branch of the pyramid and of the heads.
VARIANTS = {"s": (2, 3, 32, 96, 128), "m": (2, 3, 64, 96, 128), "l": (3, 4, 64, 112, 256)}


@layers.initial_weights(INITIAL)
def build(inputs, num_classes, *, variant="s", auxiliary=True):
    """Figure 3: p keeps the details, i finds the context, d the boundaries; they meet in the fusion.

    `variant` is "s", "m" or "l". `auxiliary` adds the two heads that only training needs: "aux_0" on the details, and
    "boundary", one logit a pixel at 1/8 of the resolution, for the losses `boundary_bce` and `boundary_awareness`.
    """
    if variant not in VARIANTS:
        raise ValueError(f"Expected variant: {', '.join(VARIANTS)}. Received: {variant=}.")
    first, later, width, pyramid_width, head_width = VARIANTS[variant]
    large = variant == "l"
    x = stage(ddrnet.stem(inputs, width), width, first, "layer1")
    x = layers.relu(stage(layers.relu(x), 2 * width, first, "layer2", stride=2))

    i = layers.relu(stage(x, 4 * width, later, "layer3", stride=2))
    p = stage(x, 2 * width, first, "layer3_")
    p = details = pixel_attention(p, compression(i, 2 * width, 1, "compression3"), width, "pag3")
    d = basic_block(x, 2 * width if large else width, "layer3_d")
    d = added(d, compression(i, d.shape[-1], 3, "diff3"))

    i = layers.relu(stage(i, 8 * width, later, "layer4", stride=2))
    p = stage(layers.relu(p), 2 * width, first, "layer4_")
    p = pixel_attention(p, compression(i, 2 * width, 1, "compression4"), width, "pag4")
    d = layers.relu(d)
    d = basic_block(d, 2 * width, "layer4_d") if large else bottleneck(d, width, "layer4_d.0")
    d = boundaries = added(d, compression(i, 2 * width, 3, "diff4"))

    p = bottleneck(layers.relu(p), 2 * width, "layer5_.0")
    d = bottleneck(layers.relu(d), 2 * width, "layer5_d.0")
    i = bottleneck(i, 8 * width, "layer5.0", stride=2)
    i = bottleneck(i, 8 * width, "layer5.1")
    pyramid = ddrnet.dappm if large else pappm
    i = layers.resize(pyramid(i, pyramid_width, 4 * width, "spp"), like=d)

    x = (boundary_fusion if large else light_boundary_fusion)(p, i, d, 4 * width, "dfm")
    outputs = {"logits": head(x, head_width, num_classes, "final_layer")}
    if auxiliary:
        outputs["aux_0"] = head(details, head_width, num_classes, "seghead_p")
        outputs["boundary"] = head(boundaries, width, 1, "seghead_d")
    return outputs


def compression(x, filters, kernel, name):
    """A convolution and batch norm without activation."""
    return layers.conv_norm(x, filters, kernel, name, activation=None)


def added(x, y):
    """The sum of x and y, which is resized to the size of x."""
    return keras.layers.Add()([x, layers.resize(y, like=x)])


def mixed(share, x, y):
    """share * x + (1 - share) * y."""
    return keras.layers.Add()([keras.layers.Multiply()([share, x]), keras.layers.Multiply()([1.0 - share, y])])


def pixel_attention(p, i, width, name):
    """Figure 4, Pag: where projections of both branches agree, a pixel takes the context, elsewhere it keeps the details."""
    of_i = layers.resize(compression(i, width, 1, f"{name}.f_y"), like=p)
    product = keras.layers.Multiply()([compression(p, width, 1, f"{name}.f_x"), of_i])
    share = ops.sigmoid(ops.sum(product, axis=-1, keepdims=True))
    return mixed(share, layers.resize(i, like=p), p)


def pappm(x, width, filters, name):
    """Figure 5, the parallel form of DDRNet's pyramid: every scale is added to the first, one grouped 3x3 for all of them."""
    first = ddrnet.norm_conv(x, width, 1, f"{name}.scale0", 0)
    maps = keras.layers.Concatenate()([keras.layers.Add()([y, first]) for y in ddrnet.scales(x, width, name)])
    maps = ddrnet.norm_conv(maps, 4 * width, 3, f"{name}.scale_process", 0, groups=4)
    return ddrnet.compressed(x, [first, maps], filters, name)


def boundary_fusion(p, i, d, filters, name):
    """Figure 6a, Bag: details where a boundary is, context elsewhere; then a 3x3."""
    return ddrnet.norm_conv(mixed(ops.sigmoid(d), p, i), filters, 3, f"{name}.conv", 0)


def light_boundary_fusion(p, i, d, filters, name):
    """Figure 6b, Light-Bag: the same choice added to each branch, then a 1x1 each."""
    share = ops.sigmoid(d)
    of_p = keras.layers.Add()([p, keras.layers.Multiply()([1.0 - share, i])])
    of_i = keras.layers.Add()([i, keras.layers.Multiply()([share, p])])
    return keras.layers.Add()(
        [compression(of_p, filters, 1, f"{name}.conv_p"), compression(of_i, filters, 1, f"{name}.conv_i")]
    )
