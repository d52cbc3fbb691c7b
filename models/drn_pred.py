"""DRN prediction: the label map that follows some past label maps, by a dilated ResNet-18 and a ConvLSTM.

guanfuchen/semseg, semseg/modelloader/drn_pred.py (drnsegpred_a_18), https://github.com/guanfuchen/semseg; the task is that of
Luc, Neverova, Couprie, Verbeek, LeCun, Predicting Deeper into the Future of Semantic Segmentation, ICCV 2017.
https://arxiv.org/abs/1703.07684

Its input are label maps, not pixels: the picture that a data set of sequences makes of a window, of `steps` maps, or their ids
or one-hot maps in as many channels (models/layers/past_maps.py). They are one-hot encoded inside, and nothing normalises them.
So `input_shape` has 3 channels, `steps`, or `steps` times the classes. The last is what the reference takes.

The trunk mixes all steps in its first convolution. Its output at 1/8 of the resolution is then read as one map a step again,
and three layers of ConvLSTM follow. The scales and shifts of the trunk's batch norms stay as they are, while their statistics
are trained. A network that is loaded from a .keras file trains them too. The reference fixes the size of its state; here the
input has any size.
"""

import keras

from models import layers
from models.backbones import resnet


def _parameters(classes, steps=4):
    """Trained parameters, counted by the shapes in the reference: its input and output have the same classes."""
    maps, trunk = steps * classes, 11_157_504  # of four stages without their norms
    lstm = 9 * (512 * (classes + 128) + 512 * 256 + 4 * classes * (128 + classes)) + 512 + 512 + 4 * classes
    return trunk + 49 * 64 * maps + 4 * (9 * 512 + 1) * maps + maps * (maps + 1) + lstm + classes * (maps + 1)


REFERENCE = {
    "params": {"drn_pred": {12: _parameters(12), 19: 14_762_963}},
    "source": "guanfuchen/semseg drn_pred.py, run for 19 classes; without 9,600 frozen scales and shifts",
}

NORMALIZATION = None
RENAMES = ((r"^(conv1|bn1|layer)", r"base.\1"),)

INITIAL = layers.normal(0.01)  # drn_pred.py: every kernel of the trunk and of its head, and torch's own biases
DILATIONS = (1, 1, 2, 4)  # of the four stages, without their first blocks
RATES = (6, 12, 18, 24)  # of the head
HIDDEN, KERNEL = 128, 3  # of the first two layers of ConvLSTM


def build(inputs, num_classes, *, steps=4):
    """`steps` is the number of past label maps, 1 to 24."""
    x = layers.past_maps(inputs, steps, num_classes)
    channels = steps * num_classes
    with layers.initial_weights(INITIAL):
        x = trunk(x)
        for layer in keras.Model(inputs, x).layers:
            if isinstance(layer, layers.BatchNormalization):
                layer.gamma.trainable = layer.beta.trainable = False
        branches = [
            layers.conv(x, channels, 3, f"layer5.conv2d_list.{i}", dilation=rate) for i, rate in enumerate(RATES)
        ]
    x = keras.layers.Add()(branches)
    x = layers.conv(x, channels, 1, "seg", initial=layers.kaiming_normal("fan_out", bias=0.0))
    maps = [layers.channels(x, i * num_classes, (i + 1) * num_classes) for i in range(steps)]
    for i, filters in enumerate((HIDDEN, HIDDEN, num_classes)):
        maps, _ = layers.conv_lstm(maps, filters, KERNEL, f"lstm1.cell_list.{i}")
    x = keras.layers.Concatenate()(maps) if steps > 1 else maps[0]
    x = layers.conv(x, num_classes, 1, "out_conv")
    return {"logits": layers.resize(x, like=inputs, align_corners=True)}


def trunk(x):
    """ResNet-18 at 1/8 of the resolution. Unlike in torchvision, the first block of a dilated stage has no dilation at all."""
    variant = resnet.VARIANTS["resnet18"]
    x = resnet.pool(resnet.stem(x, variant))
    for stage, (blocks, dilation) in enumerate(zip(variant.blocks, DILATIONS, strict=True)):
        for i in range(blocks):
            stride = 2 if stage == 1 and not i else 1
            rate = dilation if i else 1
            x = resnet.block(x, f"layer{stage + 1}.{i}", 64 * 2**stage, variant, stride, (rate, rate))
    return x


def steps_of(*, steps=4):
    """The number of label maps that the network reads in place of a picture."""
    return steps
