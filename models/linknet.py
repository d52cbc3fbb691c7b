"""LinkNet: Exploiting Encoder Representations for Efficient Semantic Segmentation.

Chaurasia, Culurciello, VCIP 2017. https://arxiv.org/abs/1707.03718

The authors' github.com/e-lab/pytorch-linknet. Unlike figure 1 of the paper, it adds the pooled stem to the output of the last
decoder. It ends with a log-softmax, whose outputs are logits too.
"""

import keras

from models import backbones, layers

REFERENCE = {
    "params": {
        "linknet": {12: 11_534_796, 19: 11_535_699},
        'linknet(backbone="mobilenet_v2")': {},
    },
    "macs": {"linknet": 253_526_016},
    "input": (64, 96, 3),
    "source": "e-lab/pytorch-linknet models/linknet.py, run",
    "published": "Cityscapes val 76.44, CamVid 69.10 by a metric of their own (e-lab/LinkNet's README)",
}

SIZE_MULTIPLE = 32  # the reference refuses others, because the maps of decoder and encoder then differ in size

# For a ResNet with one convolution in its stem.
RENAMES = ((r"^conv1$", "in_block.0"), (r"^bn1$", "in_block.1"), (r"^layer", "encoder"))


def build(inputs, num_classes, *, backbone="resnet18"):
    """Figure 1. `backbone` is a spec of `models.backbones`; the paper's is ResNet-18."""
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

    return {"logits": keras.layers.Activation("log_softmax", dtype="float32")(head(x, num_classes))}


def decoder(x, filters, name, stride):
    """Figure 3: 1x1 to a quarter of the channels, a transposed 3x3, 1x1."""
    width = x.shape[-1] // 4
    x = layers.conv_norm(x, width, 1, f"{name}.conv1")
    up = {"convolution": layers.transposed_conv, "stride": stride, "padding": 1, "output_padding": stride - 1}
    x = layers.conv_norm(x, width, 3, f"{name}.tp_conv", **up)
    return layers.conv_norm(x, filters, 1, f"{name}.conv2")


def head(x, num_classes):
    """From 1/4 to the full resolution."""
    twice = {"convolution": layers.transposed_conv, "padding": 1, "output_padding": 1}
    x = layers.conv_norm(x, 32, 3, "tp_conv1", bias=True, **twice)
    x = layers.conv_norm(x, 32, 3, "conv2", bias=True)
    return layers.transposed_conv(x, num_classes, 2, "tp_conv2")
