"""U-Net: Convolutional Networks for Biomedical Image Segmentation.

Ronneberger, Fischer, Brox, MICCAI 2015. https://arxiv.org/abs/1505.04597

The network of github.com/milesial/Pytorch-UNet, whose weights fit. Unlike in the paper, its convolutions keep the size, have
no bias and are followed by batch norm, and there is no dropout. The paper crops the skip connections; here the upsampled map is
padded to their size, so that images can have any size.

With a backbone it is the network of segmentation_models_pytorch (github.com/qubvel-org), whose weights fit for a ResNet or a
VGG. The backbone is the way down. The way up doubles the resolution five times (nearest pixel), with 256, 128, 64, 32 and 16
channels.
"""

from keras import layers as keras_layers

from models import backbones, layers
from models.backbones import vgg

REFERENCE = {
    "params": {
        "unet": {2: 31_037_698, 12: 31_038_348},
        'unet(upsampling="bilinear")': {2: 17_263_042, 12: 17_263_692},
        # Counted by hand: the backbone, the decoder's 3x3 kernels, two numbers per channel of batch norm, the head.
        'unet(backbone="resnet18")': {1: 11_176_512 + 9 * 349_952 + 4 * 496 + 145},
    },
    "macs": {"unet": 4_520_017_920, 'unet(upsampling="bilinear")': 3_752_460_288},
    "input": (64, 96, 3),
    "source": "milesial/Pytorch-UNet unet/unet_model.py, run",
}

UPSAMPLINGS = ("transposed", "bilinear")


def build(inputs, num_classes, *, upsampling="transposed", width=64, backbone=""):
    """Figure 1: down the left side, up the right one.

    `upsampling` uses "transposed" convolutions or "bilinear" resizing; with the latter, deeper maps are half as wide.
    `width` is the number of channels at full resolution; the paper's 64 doubles with every step down.
    `backbone`, a spec of `models.backbones`, replaces the left side; the other options cannot be used with it.
    """
    if upsampling not in UPSAMPLINGS:
        raise ValueError(f"Expected upsampling: {', '.join(UPSAMPLINGS)}. Received: upsampling={upsampling!r}.")
    if backbone:
        if (upsampling, width) != ("transposed", 64):
            raise ValueError(f"Expected upsampling and width without a backbone. Received: {upsampling=}, {width=}.")
        return {"logits": backbone_form(inputs, num_classes, backbone)}
    bilinear = upsampling == "bilinear"
    half = 2 if bilinear else 1

    x1 = double_conv(inputs, "inc", width)
    x2 = down(x1, "down1", 2 * width)
    x3 = down(x2, "down2", 4 * width)
    x4 = down(x3, "down3", 8 * width)
    x5 = down(x4, "down4", 16 * width // half)

    x = up(x5, x4, "up1", 8 * width // half, bilinear)
    x = up(x, x3, "up2", 4 * width // half, bilinear)
    x = up(x, x2, "up3", 2 * width // half, bilinear)
    x = up(x, x1, "up4", width, bilinear)
    return {"logits": layers.conv(x, num_classes, 1, "outc.conv")}


def double_conv(x, name, filters, middle=None):
    """Two 3x3 convolutions with batch norm and ReLU."""
    x = layers.conv_norm(x, middle or filters, 3, f"{name}.double_conv", (0, 1))
    return layers.conv_norm(x, filters, 3, f"{name}.double_conv", (3, 4))


def down(x, name, filters):
    """A red arrow of the figure, and the two blue ones after it."""
    return double_conv(layers.max_pool(x, 2), f"{name}.maxpool_conv.1", filters)


def up(x, skip, name, filters, bilinear):
    """A green arrow of the figure, the grey one that meets it, and the two blue ones after them."""
    if bilinear:
        x = layers.resize(x, scale=2, align_corners=True)
        middle = (x.shape[-1] + skip.shape[-1]) // 2
    else:
        x = layers.transposed_conv(x, x.shape[-1] // 2, 2, f"{name}.up")
        middle = filters
    x = keras_layers.Concatenate()([skip, layers.fit(x, skip, center=True)])
    return double_conv(x, f"{name}.conv", filters, middle)


@layers.initial_weights(layers.kaiming_normal("fan_in", bias=0.0))
def backbone_form(inputs, num_classes, backbone):
    """Down the backbone, and up by segmentation_models_pytorch's decoder, which has He's initial weights, for ReLUs."""
    features = {"c0": inputs, **backbones.aligned(backbone, backbones.build(backbone, inputs), inputs)}
    strides = {"c0": 1, **backbones.strides(backbone)}
    x = features["c5"]
    if backbones.find(backbone)[1] is vgg:
        x = two_convolutions(x, "decoder.center", x.shape[-1], "0", "1")
    for i, filters in enumerate((256, 128, 64, 32, 16)):
        below, level = f"c{5 - i}", f"c{4 - i}"
        # Nearest pixel. If a size was rounded up on the way down, the last row or column is dropped.
        x = keras_layers.UpSampling2D(strides[below] // strides[level])(x)
        x = layers.fit(x, features[level])
        if level != "c0":
            x = keras_layers.Concatenate()([x, features[level]])
        x = two_convolutions(x, f"decoder.blocks.{i}", filters)
    return layers.conv(x, num_classes, 3, "segmentation_head.0")


def two_convolutions(x, name, filters, first="conv1", second="conv2"):
    """Two 3x3 convolutions with batch norm and ReLU, under the names of segmentation_models_pytorch."""
    for step in (first, second):
        x = layers.conv_norm(x, filters, 3, f"{name}.{step}")
    return x


def renames(*, upsampling="transposed", width=64, backbone=""):
    """segmentation_models_pytorch's backbone is its `encoder`."""
    return ((r"^(?!decoder|segmentation_head)", "encoder."),) if backbone else ()
