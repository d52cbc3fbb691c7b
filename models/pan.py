"""PAN: Pyramid Attention Network for Semantic Segmentation.

Li, Xiong, An, Wang, BMVC 2018. https://arxiv.org/abs/1805.10180

The network of segmentation_models_pytorch (github.com/qubvel-org), whose weights fit: on any backbone that stays at 1/16 of the
resolution.
"""

import keras

from models import backbones, layers
from models.backbones import resnet
from models.fpn import DECODER, HEAD

REFERENCE = {
    # ResNet-34 has 10_108_160 parameters more than ResNet-18.
    "params": {"pan": {12: 21_478_995}, 'pan(backbone="resnet18")': {12: 11_370_835}},
    "macs": {'pan(backbone="resnet18")': 1_549_304_278},
    "input": (128, 192, 3),
    "source": "qubvel-org/segmentation_models.pytorch decoders/pan, run",
    "published": "VOC test 84.0 with COCO, Cityscapes test 78.6 (paper, ResNet-101)",
}

RENAMES = ((r"^(?!decoder|segmentation_head)", "encoder."),)

WIDTH = 32
LEAST = 128  # pixels of an image's side, so that three pools leave something of a map at 1/16


@layers.initial_weights(DECODER)
def build(inputs, num_classes, *, backbone="resnet34"):
    """Figure 2. `backbone` is a spec of `models.backbones`."""
    image = layers.pad_to_multiple(inputs, 32, least=LEAST)  # the reference refuses others
    options = {"dilate_first": True} if backbones.find(backbone)[1] is resnet else {}
    features = backbones.build(backbone, image, output_stride=16, **options)
    features = backbones.aligned(backbone, features, image)
    x = pyramid_attention(features["c5"], "decoder.fpa")
    for i, level in ((3, "c4"), (2, "c3"), (1, "c2")):
        x = attention_upsample(features[level], x, f"decoder.gau{i}")
    x = layers.conv(x, num_classes, 3, "segmentation_head.0", initial=HEAD)
    return {"logits": layers.fit(resize(x, image), inputs)}


def resize(x, like):
    """Bilinear, with the corners aligned."""
    return layers.resize(x, like=like, align_corners=True)


def conv_norm(x, filters, kernel, name, activation=layers.relu):
    """A convolution with bias, batch norm, ReLU."""
    return layers.conv_norm(x, filters, kernel, name, ("conv", "bn"), activation, bias=True)


def pyramid_attention(x, name):
    """Figure 3b, feature pyramid attention: a map of 7x7, 5x5 and 3x3 at ever lower resolutions weighs a 1x1 of x."""
    mean = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    mean = conv_norm(mean, WIDTH, 1, f"{name}.branch1.1")
    middle = conv_norm(x, WIDTH, 1, f"{name}.mid.0")
    down1 = conv_norm(layers.max_pool(x, 2), 1, 7, f"{name}.down1.1")
    down2 = conv_norm(layers.max_pool(down1, 2), 1, 5, f"{name}.down2.1")
    down3 = conv_norm(layers.max_pool(down2, 2), 1, 3, f"{name}.down3.1")
    up3 = resize(conv_norm(down3, 1, 3, f"{name}.down3.2"), down2)
    up2 = resize(keras.layers.Add()([conv_norm(down2, 1, 5, f"{name}.conv2"), up3]), down1)
    up1 = resize(keras.layers.Add()([conv_norm(down1, 1, 7, f"{name}.conv1"), up2]), x)
    return keras.layers.Add()([keras.layers.Multiply()([middle, up1]), resize(mean, x)])


def attention_upsample(low, high, name):
    """Figure 4, global attention upsample: the deeper map's means weigh the shallower map, to which it is added."""
    mean = keras.layers.GlobalAveragePooling2D(keepdims=True)(high)
    weights = conv_norm(mean, WIDTH, 1, f"{name}.conv1.1", activation="sigmoid")
    low = keras.layers.Multiply()([conv_norm(low, WIDTH, 3, f"{name}.conv2"), weights])
    return keras.layers.Add()([resize(high, low), low])
