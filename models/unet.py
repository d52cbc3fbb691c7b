"""U-Net: Convolutional Networks for Biomedical Image Segmentation.

Ronneberger, Fischer, Brox, MICCAI 2015. https://arxiv.org/abs/1505.04597

The network of github.com/milesial/Pytorch-UNet, whose weights fit. Unlike in the paper, its convolutions keep the size, have
no bias and are followed by batch norm, and there is no dropout. The paper crops the skip connections; here the upsampled map is
padded to their size, so that images can have any size.

With a backbone it is the network of segmentation_models_pytorch (github.com/qubvel-org), whose weights fit for a ResNet or a
VGG, and with head="smp" also for an EfficientNet or MobileNetV2 (models/_smp.py). The backbone is the way down. The way up
doubles the resolution five times (nearest pixel), with 256, 128, 64, 32 and 16 channels.
"""

from keras import layers as keras_layers

from models import _smp, backbones, layers
from models.backbones import vgg
from models.fpn import DECODER, HEAD

REFERENCE = {
    "params": {
        "unet": {2: 31_037_698, 12: 31_038_348},
        'unet(upsampling="bilinear")': {2: 17_263_042, 12: 17_263_692},
        # Counted by hand: the backbone, the decoder's 3x3 kernels, two numbers per channel of batch norm, the head.
        'unet(backbone="resnet18")': {1: 11_176_512 + 9 * 349_952 + 4 * 496 + 145},
        'unet(backbone="mobilenet_v2", head="smp")': {12: 6_630_540},
        # Its reference registers the 1x1 of EfficientNet's classifier and its norm too, with 412_160 parameters.
        'unet(backbone="efficientnet_b0", head="smp")': {12: 6_253_064 - 412_160},
    },
    "macs": {"unet": 4_520_017_920, 'unet(upsampling="bilinear")': 3_752_460_288},
    "input": (64, 96, 3),
    "source": "milesial/Pytorch-UNet unet/unet_model.py, run; qubvel-org/segmentation_models.pytorch decoders/unet, run",
}

UNUSED = _smp.UNUSED

UPSAMPLINGS = ("transposed", "bilinear")


def build(inputs, num_classes, *, upsampling="transposed", width=64, backbone="", head=None):
    """Figure 1: down the left side, up the right one.

    `upsampling` uses "transposed" convolutions or "bilinear" resizing; with the latter, deeper maps are half as wide.
    `width` is the number of channels at full resolution; the paper's 64 doubles with every step down.
    `backbone`, a spec of `models.backbones`, replaces the left side; `upsampling` and `width` cannot be used with it. `head`
    "smp" takes the backbone in the form of segmentation_models_pytorch.
    """
    _smp.check_head(head)
    if head and not backbone:
        raise ValueError(f'Expected a backbone with head="smp", such as "resnet34". Received: {backbone=}.')
    if upsampling not in UPSAMPLINGS:
        raise ValueError(f"Expected upsampling: {', '.join(UPSAMPLINGS)}. Received: upsampling={upsampling!r}.")
    if backbone:
        if (upsampling, width) != ("transposed", 64):
            raise ValueError(f"Expected upsampling and width without a backbone. Received: {upsampling=}, {width=}.")
        return {"logits": backbone_form(inputs, num_classes, backbone_of(backbone=backbone, head=head))}
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


@layers.initial_weights(DECODER)
def backbone_form(inputs, num_classes, backbone):
    """Down the backbone, and up by segmentation_models_pytorch's decoder."""
    features = {"c0": inputs, **backbones.aligned(backbone, backbones.build(backbone, inputs), inputs)}
    strides = {"c0": 1, **backbones.strides(backbone)}
    x = features["c5"]
    if backbones.find(backbone)[1] is vgg:
        x = two_convolutions(x, "decoder.center", x.shape[-1], "0", "1")
    for i, filters in enumerate((256, 128, 64, 32, 16)):
        below, level = f"c{5 - i}", f"c{4 - i}"
        x = layers.nearest(x, strides[below] // strides[level], features[level])
        if level != "c0":
            x = keras_layers.Concatenate()([x, features[level]])
        x = two_convolutions(x, f"decoder.blocks.{i}", filters)
    return layers.conv(x, num_classes, 3, "segmentation_head.0", initial=HEAD)


def two_convolutions(x, name, filters, first="conv1", second="conv2"):
    """Two 3x3 convolutions with batch norm and ReLU, under the names of segmentation_models_pytorch."""
    for step in (first, second):
        x = layers.conv_norm(x, filters, 3, f"{name}.{step}")
    return x


def backbone_of(*, upsampling="transposed", width=64, backbone="", head=None):
    """The backbone, with head="smp" in the form of segmentation_models_pytorch."""
    return _smp.encoder(backbone) if head and backbone else backbone


def renames(*, upsampling="transposed", width=64, backbone="", head=None):
    """segmentation_models_pytorch's backbone is its `encoder`."""
    return _smp.RENAMES if backbone else ()
