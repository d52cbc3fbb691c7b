"""DUC: dense upsampling convolution, with or without HDC, hybrid dilated convolution.

Wang, Chen, Yuan, Liu, Huang, Hou, Cottrell, Understanding Convolution for Semantic Segmentation, WACV 2018.
https://arxiv.org/abs/1702.08502

The networks of github.com/guanfuchen/semseg (duc_hdc.py, after zijundeng/pytorch-semantic-segmentation), whose weights fit.
The authors' MXNet network has a stem of three convolutions, and its logits are the sum of four dilated convolutions. Here there
is one convolution for the logits, with batch norm and a ReLU, so no logit is negative.
"""

import keras
from keras import ops

from models import backbones, layers
from models.backbones import resnet

REFERENCE = {
    "params": {
        "duc": {12: 72_301_888 - 58_143_808 + 23_508_032},  # ResNet-50 in place of ResNet-152
        'duc(backbone="resnet152")': {12: 72_301_888},
        'duc(backbone="resnet152", hdc=False)': {12: 72_301_888},
    },
    "macs": {'duc(backbone="resnet152")': 7_010_549_760, 'duc(backbone="resnet152", hdc=False)': 7_010_549_760},
    "input": (64, 96, 3),
    "source": "guanfuchen/semseg semseg/modelloader/duc_hdc.py, run",
    "published": "ResNet-101, Cityscapes test 77.6 (OCNet's tables)",
    "scores": {
        "Cityscapes test": {'duc(backbone="resnet101")': 77.6},
    },
}

LAST_STEP = layers.fit  # the reference's output is 8 times the rounded-up eighth of the image

RENAMES = ((r"^conv1$", "layer0.0"), (r"^bn1$", "layer0.1"))  # the stem is one torch.nn.Sequential

STRIDE = 8
HYBRID = ((1, 2, 5, 9), (5, 9, 17))  # repeating dilations of the blocks of the last two stages (section 3.2)


def build(inputs, num_classes, *, backbone="resnet50", hdc=True, smoothed_dilation=None):
    """Section 3.

    `backbone` is a ResNet; with `hdc` the blocks of its last two stages have different dilations.
    `smoothed_dilation` "gi" or "ssc" smooths the backbone's dilated convolutions (layers/smoothed_dilation.py).
    """
    call, family = backbones.find(backbone)
    if family is not resnet:
        raise ValueError(f"Expected a ResNet: {', '.join(resnet.VARIANTS)}. Received: {backbone=}.")
    with layers.smoothed_dilation(smoothed_dilation):
        if hdc:
            x = hybrid_dilated(inputs, resnet.VARIANTS[call.name])
        else:
            x = backbones.build(backbone, inputs, output_stride=STRIDE, dilate_first=True)["c5"]
    x = layers.conv_norm(x, num_classes * STRIDE**2, 3, "duc", ("conv", "bn"), bias=True)
    return {"logits": PixelShuffle(STRIDE)(x)}


@layers.initial_weights(resnet.INITIAL)
def hybrid_dilated(x, variant):
    """The ResNet at 1/8 of the resolution, its last two stages with the dilations of HYBRID."""
    x = resnet.pool(resnet.stem(x, variant), variant.pool)
    dilations = ((1,), (1,), *HYBRID)
    for stage, (blocks, cycle) in enumerate(zip(variant.blocks, dilations, strict=True)):
        for i in range(blocks):
            stride = 2 if stage == 1 and i == 0 else 1
            dilation = cycle[i % len(cycle)]
            name = f"layer{stage + 1}.{i}"
            x = resnet.block(x, name, 64 * 2**stage, variant, stride, (dilation, dilation))
    return x


@keras.saving.register_keras_serializable(package="tfseg")
class PixelShuffle(keras.layers.Layer):
    """[B, H, W, C * scale**2] -> [B, H * scale, W * scale, C]: the channels of a class are its pixels, row by row.

    The classes are outermost, as in PyTorch's PixelShuffle; in TensorFlow's depth_to_space they are innermost.
    """

    def __init__(self, scale, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.scale = scale

    def call(self, inputs):
        """Moves channels to pixels."""
        s = self.scale
        b, h, w = ops.shape(inputs)[:3]
        c = inputs.shape[-1] // s**2
        x = ops.reshape(inputs, (b, h, w, c, s, s))
        return ops.reshape(ops.transpose(x, (0, 1, 4, 2, 5, 3)), (b, h * s, w * s, c))

    def compute_output_spec(self, inputs):
        """`scale` times the size."""
        b, h, w, c = inputs.shape
        s = self.scale
        return keras.KerasTensor((b, h and h * s, w and w * s, c // s**2), inputs.dtype)

    def get_config(self):
        """With the options of the constructor."""
        return {**super().get_config(), "scale": self.scale}
