"""DeconvNet: Learning Deconvolution Network for Semantic Segmentation.

Noh, Hong, Han, ICCV 2015. https://arxiv.org/abs/1505.04366

On a VGG it is the authors' Caffe net (github.com/HyeonwooNoh/DeconvNet, DeconvNet_inference_deploy.prototxt), with its layers,
names and parameters. That one takes only 224x224, all of which fc6 sees. Ours also takes larger images and pads smaller ones.

On a ResNet it is the form of github.com/guanfuchen/semseg (deconvnet.py): mirrored blocks without indices. Our last layer is a
transposed 2x2 convolution, because that program's 1x1 at stride 2 leaves three of four logits 0. Bottlenecks are torchvision's,
without the ReLU before the sum of that program, so that published weights fit.
"""

import dataclasses
import functools

import keras

from models import backbones, layers
from models.backbones import resnet, vgg

REFERENCE = {
    "params": {"deconvnet": {21: 251_805_653}, 'deconvnet(backbone="resnet18")': {}},
    "source": "HyeonwooNoh/DeconvNet model/DeconvNet/DeconvNet_inference_deploy.prototxt, counted by hand",
}

# Batch norm's shift is that of the Caffe net, whose convolutions up to fc7 are loaded from a trained VGG.
ENCODER = dataclasses.replace(vgg.INITIAL, shift=1e-3)
DECODER = layers.normal(0.01, bias=0.0, shift=1e-3)

FIELD, STRIDE = 7, 32  # of fc6: its kernel, and the stride of the last pool


def build(inputs, num_classes, *, backbone="vgg16"):
    """Figure 2. `backbone` is a VGG, built with its batch norm, or a ResNet."""
    backbone = backbone_of(backbone=backbone)
    form = vgg_form if backbones.find(backbone)[1] is vgg else resnet_form
    return {"logits": layers.fit(form(inputs, num_classes, backbone), inputs)}


def vgg_form(inputs, num_classes, backbone):
    """The authors' form: down to a vector, and the mirrored way up, with every maximum at its place in the encoder."""
    pools = []

    def pool(x):
        pooled, indices = layers.max_pool_with_indices(x)
        pools.append((indices, x))
        return pooled

    # The reference takes only 224: fc6 needs 7x7, and unpooling needs even sizes.
    x = layers.pad_to_multiple(inputs, STRIDE, least=FIELD * STRIDE)
    x = backbones.build(backbone, x, pool=pool, initial=ENCODER)["c5"]
    with layers.initial_weights(ENCODER):
        x = layers.conv_norm(x, 4096, FIELD, "", ("fc6", "bnfc6"), bias=True, padding=0)
        x = layers.conv_norm(x, 4096, 1, "", ("fc7", "bnfc7"), bias=True)
    with layers.initial_weights(DECODER):
        return mirrored(x, num_classes, pools, vgg.VARIANTS[backbone][0])


def mirrored(x, num_classes, pools, stages):
    """The decoder. `pools` are the (indices, input) of every pool, `stages` the convolutions of every stage."""
    deconv_norm = functools.partial(
        layers.conv_norm, convolution=layers.transposed_conv, initial=DECODER, stride=1, bias=True
    )
    x = deconv_norm(x, pools[-1][1].shape[-1], FIELD, "", ("fc6-deconv", "fc6-deconv-bn"))
    for stage, convolutions in reversed(list(enumerate(stages, start=1))):
        indices, before = pools.pop()
        x = layers.max_unpool(x, indices, before)
        for i in range(1, convolutions + 1):
            # The last one reduces the channels to those of the next stage.
            like = pools[-1][1] if i == convolutions and pools else before
            x = deconv_norm(x, like.shape[-1], 3, "", (f"deconv{stage}_{i}", f"debn{stage}_{i}"), padding=1)
    return layers.conv(x, num_classes, 1, "seg-score-voc")


def resnet_form(inputs, num_classes, backbone):
    """guanfuchen's form: the stages in reverse order with their blocks; the last block of each doubles the resolution."""
    variant = resnet.VARIANTS[backbones.find(backbone)[0].name]
    x = backbones.build(backbone, inputs)["c5"]
    for stage, blocks in enumerate(reversed(variant.blocks), start=1):
        filters = 1024 // 2**stage
        for i in range(blocks - 1):
            x = resnet.block(x, f"uplayer{stage}.{i}", filters, variant)
        x = up_block(x, f"uplayer{stage}.{blocks - 1}", filters // 2, variant)
    return layers.transposed_conv(x, num_classes, 2, "dconv1", bias=False)


def up_block(x, name, filters, variant):
    """A residual block to double the resolution: its 3x3 and its shortcut are transposed convolutions of stride 2."""
    outputs = filters * 4 if variant.bottleneck else filters
    twice = {"convolution": layers.transposed_conv, "padding": 1, "output_padding": 1}
    if variant.bottleneck:
        y = layers.conv_norm(x, filters, 1, name, ("conv1", "bn1"))
        y = layers.conv_norm(y, filters, 3, name, ("conv2", "bn2"), **twice)
        y = layers.conv_norm(y, outputs, 1, name, ("conv3", "bn3"), activation=None)
    else:
        y = layers.conv_norm(x, filters, 3, name, ("conv1", "bn1"), **twice)
        y = layers.conv_norm(y, filters, 3, name, ("conv2", "bn2"), activation=None)
    x = layers.fit(layers.transposed_conv(x, outputs, 1, f"{name}.upsample.0", bias=False), y)
    return layers.relu(keras.layers.Add()([y, layers.batch_norm(x, f"{name}.upsample.1")]))


def backbone_of(*, backbone="vgg16"):
    """The spec of the backbone, a VGG's with batch norm."""
    family = backbones.find(backbone)[1]
    if family not in (vgg, resnet):
        raise ValueError(f"Expected a VGG or a ResNet. Received: {backbone=}.")
    return backbone if family is resnet else f"{backbone.removesuffix('_bn')}_bn"


def renames(*, backbone="vgg16"):
    """Names VGG's convolutions as in the paper, and a ResNet's stages as the way down."""
    backbone = backbone_of(backbone=backbone)
    if backbones.find(backbone)[1] is resnet:
        return ((r"^layer", "dlayer"),)
    pairs = []
    for stage, i, index in vgg.numbered(backbone):
        pairs.append((rf"^features\.{index}$", f"conv{stage}_{i}"))
        pairs.append((rf"^features\.{index + 1}$", f"bn{stage}_{i}"))
    return pairs
