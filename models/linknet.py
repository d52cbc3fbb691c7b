"""LinkNet: Exploiting Encoder Representations for Efficient Semantic Segmentation.

Chaurasia, Culurciello, VCIP 2017. https://arxiv.org/abs/1707.03718

The authors' github.com/e-lab/pytorch-linknet. Unlike figure 1 of the paper, it adds the pooled stem to the output of the last
decoder. It ends with a log-softmax, whose outputs are logits too.

With head="smp" it is the network of segmentation_models_pytorch (github.com/qubvel-org), whose weights fit: five decoders with
transposed 4x4 convolutions, of which the first four add the backbone's maps and the last reaches the full resolution.
"""

import keras

from models import _smp, backbones, layers
from models.fpn import DECODER, HEAD

REFERENCE = {
    "params": {
        "linknet": {12: 11_534_796, 19: 11_535_699},
        'linknet(head="smp")': {12: 11_664_140},
        'linknet(backbone="mobilenet_v2")': {},
    },
    "macs": {"linknet": 253_526_016},
    "input": (64, 96, 3),
    "source": "e-lab/pytorch-linknet models/linknet.py, run; qubvel-org/segmentation_models.pytorch decoders/linknet, run",
    "published": "Cityscapes val 76.44, CamVid 69.10 by a metric of their own (e-lab/LinkNet's README)",
}

SIZE_MULTIPLE = 32  # the reference refuses others, because the maps of decoder and encoder then differ in size

UNUSED = _smp.UNUSED


def build(inputs, num_classes, *, backbone="resnet18", head=None):
    """Figure 1.

    `backbone` is a spec of `models.backbones`; the paper's is ResNet-18. `head` is None, the authors', or "smp".
    """
    _smp.check_head(head)
    if head == "smp":
        return {"logits": smp_form(inputs, num_classes, backbone)}
    features = backbones.aligned(backbone, backbones.build(backbone, inputs), inputs)
    strides = backbones.strides(backbone)
    stem = features["c1"]
    if strides["c2"] > strides["c1"]:
        stem = layers.max_pool(stem, 3, 2, padding=1)

    x = features["c5"]
    for i in (4, 3, 2, 1):  # each has the size and channels of the input of the encoder's block, to which it is added
        skip = features[f"c{i}"] if i > 1 else stem
        stride = strides[f"c{i + 1}"] // strides[f"c{i}"] if i > 1 else 1
        x = decoder(x, skip.shape[-1], f"decoder{i}", stride)
        x = keras.layers.Add()([skip, layers.fit(x, skip)])

    return {"logits": keras.layers.Activation("log_softmax", dtype="float32")(ending(x, num_classes))}


def decoder(x, filters, name, stride):
    """Figure 3: 1x1 to a quarter of the channels, a transposed 3x3, 1x1."""
    width = x.shape[-1] // 4
    x = layers.conv_norm(x, width, 1, f"{name}.conv1")
    up = {"convolution": layers.transposed_conv, "stride": stride, "padding": 1, "output_padding": stride - 1}
    x = layers.conv_norm(x, width, 3, f"{name}.tp_conv", **up)
    return layers.conv_norm(x, filters, 1, f"{name}.conv2")


def ending(x, num_classes):
    """From 1/4 to the full resolution."""
    twice = {"convolution": layers.transposed_conv, "padding": 1, "output_padding": 1}
    x = layers.conv_norm(x, 32, 3, "tp_conv1", bias=True, **twice)
    x = layers.conv_norm(x, 32, 3, "conv2", bias=True)
    return layers.transposed_conv(x, num_classes, 2, "tp_conv2")


@layers.initial_weights(DECODER)
def smp_form(inputs, num_classes, backbone):
    """segmentation_models_pytorch's decoder: as wide as the backbone's maps, and 32 channels at the end."""
    features = {"c0": inputs, **_smp.features(inputs, backbone)}
    strides = {"c0": 1, **backbones.strides(backbone)}
    x = features["c5"]
    for i in range(5):
        below, level = f"c{5 - i}", f"c{4 - i}"
        skip, factor = features[level], strides[below] // strides[level]
        x = smp_decoder(x, 32 if level == "c0" else skip.shape[-1], f"decoder.blocks.{i}.block", factor)
        x = layers.fit(x, skip)
        if level != "c0":
            x = keras.layers.Add()([x, skip])
    return layers.conv(x, num_classes, 1, "segmentation_head.0", initial=HEAD)


def smp_decoder(x, filters, name, factor):
    """1x1 to a quarter of the channels, a transposed convolution that scales by `factor`, 1x1."""
    width = x.shape[-1] // 4
    x = layers.conv_norm(x, width, 1, f"{name}.0")
    up = {"convolution": layers.transposed_conv, "stride": factor, "padding": factor // 2, "bias": True}
    x = layers.conv_norm(x, width, 2 * factor, f"{name}.1", **up)
    return layers.conv_norm(x, filters, 1, f"{name}.2")


def backbone_of(*, backbone="resnet18", head=None):
    """The backbone, with head="smp" in the form of segmentation_models_pytorch."""
    return _smp.encoder(backbone) if head else backbone


def renames(*, backbone="resnet18", head=None):
    """segmentation_models_pytorch's backbone is its `encoder`; the authors' is a ResNet with one convolution in its stem."""
    if head == "smp":
        return _smp.RENAMES
    return (r"^conv1$", "in_block.0"), (r"^bn1$", "in_block.1"), (r"^layer", "encoder")
