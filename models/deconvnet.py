"""DeconvNet: Learning Deconvolution Network for Semantic Segmentation.

Noh, Hong, Han, ICCV 2015. https://arxiv.org/abs/1505.04366

On a VGG the authors' Caffe net (github.com/HyeonwooNoh/DeconvNet, DeconvNet_inference_deploy.prototxt): its layers, names and
parameters. It takes 224x224, of which fc6 sees the whole; here larger images too, and smaller ones are padded.

On a ResNet the form of github.com/guanfuchen/semseg (deconvnet.py), mirrored blocks without indices. The last layer is a
transposed convolution of 2x2: the port's 1x1 at stride 2 leaves three of four logits 0. Bottlenecks are torchvision's, without
the port's ReLU before the sum, so that published weights fit.
"""

import keras
from keras import ops

from models import backbones, layers
from models.backbones import resnet, vgg

REFERENCE = {
    "params": {"deconvnet": {21: 251_805_653}, 'deconvnet(backbone="resnet18")': {}},
    "source": "HyeonwooNoh/DeconvNet model/DeconvNet/DeconvNet_inference_deploy.prototxt, counted by hand",
}

FIELD, STRIDE = 7, 32  # what fc6 sees at the stride of the last pool


def build(inputs, num_classes, *, backbone="vgg16"):
    """Figure 2. `backbone` is a VGG, built with its batch norm, or a ResNet."""
    backbone = backbone_of(backbone=backbone)
    form = vgg_form if backbones.find(backbone)[1] is vgg else resnet_form
    return {"logits": layers.fit(form(inputs, num_classes, backbone), inputs)}


def vgg_form(inputs, num_classes, backbone):
    """The authors': down to a vector, and the mirrored way up, with every maximum where the encoder found it."""
    pools = []

    def pool(x):
        pooled, indices = layers.max_pool_with_indices(x)
        pools.append((indices, x))
        return pooled

    # The reference refuses other sizes than 224: fc6 needs 7x7, its unpooling twice the half.
    x = PadTo(STRIDE, FIELD * STRIDE)(inputs)
    x = backbones.build(backbone, x, pool=pool)["c5"]
    x = norm_relu(layers.conv(x, 4096, FIELD, "fc6", padding=0), "bnfc6")
    x = norm_relu(layers.conv(x, 4096, 1, "fc7"), "bnfc7")
    x = layers.transposed_conv(x, pools[-1][1].shape[-1], FIELD, "fc6-deconv", stride=1)
    x = norm_relu(x, "fc6-deconv-bn")
    for stage, convolutions in reversed(list(enumerate(vgg.VARIANTS[backbone][0], start=1))):
        indices, before = pools.pop()
        x = layers.max_unpool(x, indices, before)
        for i in range(1, convolutions + 1):
            # The last narrows to what the next stage takes.
            like = pools[-1][1] if i == convolutions and pools else before
            x = layers.transposed_conv(x, like.shape[-1], 3, f"deconv{stage}_{i}", stride=1, padding=1)
            x = norm_relu(x, f"debn{stage}_{i}")
    return layers.conv(x, num_classes, 1, "seg-score-voc")


def resnet_form(inputs, num_classes, backbone):
    """guanfuchen's: the stages backwards, each with its blocks, of which the last doubles the resolution."""
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
    if variant.bottleneck:
        y = norm_relu(layers.conv(x, filters, 1, f"{name}.conv1", bias=False), f"{name}.bn1")
        y = norm_relu(transposed(y, filters, f"{name}.conv2"), f"{name}.bn2")
        y = resnet.conv_norm(y, outputs, 1, f"{name}.conv3", f"{name}.bn3")
    else:
        y = norm_relu(transposed(x, filters, f"{name}.conv1"), f"{name}.bn1")
        y = resnet.conv_norm(y, filters, 3, f"{name}.conv2", f"{name}.bn2")
    x = layers.fit(layers.transposed_conv(x, outputs, 1, f"{name}.upsample.0", bias=False), y)
    return layers.relu(keras.layers.Add()([y, layers.batch_norm(x, f"{name}.upsample.1")]))


def transposed(x, filters, name):
    """A transposed 3x3 to double the resolution."""
    return layers.transposed_conv(x, filters, 3, name, padding=1, output_padding=1, bias=False)


def norm_relu(x, name):
    """Batch norm and ReLU."""
    return layers.relu(layers.batch_norm(x, name))


def backbone_of(*, backbone="vgg16"):
    """The spec of the backbone, a VGG's with batch norm."""
    family = backbones.find(backbone)[1]
    if family not in (vgg, resnet):
        raise ValueError(f"Expected a VGG or a ResNet. Received: {backbone=}.")
    return backbone if family is resnet else f"{backbone.removesuffix('_bn')}_bn"


def renames(*, backbone="vgg16"):
    """VGG's convolutions as in the paper; a ResNet's stages as the way down."""
    backbone = backbone_of(backbone=backbone)
    if backbones.find(backbone)[1] is resnet:
        return ((r"^layer", "dlayer"),)
    pairs = []
    for stage, i, index in vgg.numbered(backbone):
        pairs.append((rf"^features\.{index}$", f"conv{stage}_{i}"))
        pairs.append((rf"^features\.{index + 1}$", f"bn{stage}_{i}"))
    return pairs


@keras.saving.register_keras_serializable(package="tfseg")
class PadTo(keras.layers.Layer):
    """Zero-pads bottom and right to the next multiple, and at least to `least` pixels."""

    def __init__(self, multiple, least, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.multiple, self.least = multiple, least

    def call(self, inputs):
        """The padded image."""
        h, w = ops.shape(inputs)[1:3]
        return ops.pad(inputs, ((0, 0), (0, self._size(h) - h), (0, self._size(w) - w), (0, 0)))

    def compute_output_spec(self, inputs):
        """Of the padded size."""
        b, h, w, c = inputs.shape
        return keras.KerasTensor((b, h and self._size(h), w and self._size(w), c), inputs.dtype)

    def _size(self, n):
        next_multiple = n + -n % self.multiple
        return max(next_multiple, self.least) if isinstance(n, int) else ops.maximum(next_multiple, self.least)

    def get_config(self):
        """With the options of the constructor."""
        return {**super().get_config(), "multiple": self.multiple, "least": self.least}
