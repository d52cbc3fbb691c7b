"""MP2S: the mask propagation network of Video Object Segmentation with Re-identification (VS-ReID).

Li, Qi, Wang, Chen, Liu, Shi, Luo, Loy, Tang, The 2017 DAVIS Challenge. https://arxiv.org/abs/1708.00197

Where is an object in this frame, if it was there in the frame before? One stream sees the frame, the other the optical flow,
and both see the warped mask: its convolution is added to the first one of the stream before the batch norm. So this network
takes six channels, as `tfseg/tracking` and --pairs (input_pipeline/pairs.py) make them:

    0..2  the frame, RGB 0..255
    3, 4  where each pixel was in the frame before, as 128 + 8 * (columns to the right, rows down): 16 pixels fit in 0..255
    5     the object's mask in the frame before, moved along the flow, 0..255

With normalization=None these are, as in the reference, BGR less its mean, the flow in pixels, and the mask 0..1. `logits` are
those of the background and the object (further classes have no meaning), `features` [B, rows / 8, columns / 8, channels] the
last map of the stream that sees the frame: objects are recognised by it.

Training code was never released; the streams' trunks start as in sense_resnet.py, the rest as PyTorch's layers.
"""

import keras

from models import backbones, layers
from models.backbones import resnet

# By hand: two times the stages of torchvision's ResNet-18 (11,689,512 less its stem, 9,408 + 128, and its linear layer,
# 513,000), whose first block has 128 channels in place of 64 (36,864, and a shortcut of 8,192 + 128); two stems of 64, 64 and
# 128 (110,592 + 512 for the norms), with 576 for the mask and 1,728 or 1,152 for frame or flow; five branches of 512 * 128 * 9
# + 128 and their sum of 640 * 128 * 9 + 256, twice; and 129 for each class, twice.
STAGES = 11_689_512 - 9_408 - 128 - 513_000 + 36_864 + 8_192 + 128
HEADS = 5 * (512 * 128 * 9 + 128) + 640 * 128 * 9 + 256
STEMS = 2 * (110_592 + 512 + 576) + 1_728 + 1_152
REFERENCE = {
    "params": {
        "mask_propagation": {2: 2 * STAGES + 2 * HEADS + STEMS + 4 * 129},
        'mask_propagation(backbone="resnet101", width=512)': {2: 203_222_468},
    },
    "source": "lxx1991/VS-ReID core/models/MP2S.py, run; the default, for small computers, counted by hand",
    "published": "DAVIS 2017 test-dev, J and F 66.1 (the repository), with their re-identification",
}

INPUT_CHANNELS = 6
NORMALIZATION = 'affine(order="bgr", mean=(104, 117, 123, 128, 128, 0), std=(1, 1, 1, 8, 8, 255))'

STRIDES, DILATIONS = (1, 2, 1, 1), (1, 1, 2, 4)
RATES = (6, 12, 18, 24, 1)
INITIAL = layers.normal(0.09)


def build(inputs, num_classes, *, backbone="resnet18", width=128, dropout=0.1):
    """Figure 2: two streams, whose scores are added.

    Args:
      inputs: [B, H, W, 6], as above.
      num_classes: 2 in the reference.
      backbone: a ResNet of models/backbones/resnet.py, of which the stages are taken. The authors have "resnet101".
      width: channels of the dilated convolutions; the authors have 512.
      dropout: of their channels, 0..1.
    """
    if backbones.find(backbone)[1] is not resnet:
        raise ValueError(f"Expected a ResNet: {', '.join(resnet.VARIANTS)}. Received: {backbone=}.")
    frame, flow, mask = (layers.channels(inputs, *some) for some in ((0, 3), (3, 5), (5, 6)))
    features = stream(frame, mask, resnet.VARIANTS[backbone], "backbone")
    motion = stream(flow, mask, resnet.VARIANTS[backbone], "flow_backbone")
    scores = [
        layers.conv(head(x, width, dropout, f"{prefix}aspp"), num_classes, 1, f"{prefix}classifier")
        for prefix, x in (("", features), ("flow_", motion))
    ]
    logits = layers.resize(keras.layers.Add()(scores), like=inputs, align_corners=True)
    return {"logits": logits, "features": features}


@layers.initial_weights(INITIAL)
def stream(x, mask, variant, name):
    """A stem of three convolutions, of which the first also sees the mask, and the four stages of a ResNet: to 1/8."""
    x = layers.conv(x, 64, 3, f"{name}.conv1_1", stride=2, bias=False)
    mask = layers.conv(mask, 64, 3, f"{name}.prob_encode", stride=2, bias=False)
    x = layers.relu(layers.batch_norm(keras.layers.Add()([x, mask]), f"{name}.bn1_1"))
    x = layers.conv_norm(x, 64, 3, name, ("conv1_2", "bn1_2"))
    x = resnet.pool(layers.conv_norm(x, 128, 3, name, ("conv1_3", "bn1_3")))
    for stage, (blocks, stride, dilation) in enumerate(zip(variant.blocks, STRIDES, DILATIONS, strict=True)):
        for i in range(blocks):
            # Of two 3x3 only the first is dilated.
            where = {"stride": 1 if i else stride, "dilations": (dilation, 1)}
            x = resnet.block(x, f"{name}.layer{stage + 1}.{i}", 64 * 2**stage, variant, **where)
    return x


def head(x, width, dropout, name):
    """Five dilated 3x3 side by side and one over all of them, with batch norm, ReLU and dropout by channel."""
    maps = [layers.conv(x, width, 3, f"{name}.conv2d_list.{i}", dilation=rate) for i, rate in enumerate(RATES)]
    x = layers.conv_norm(keras.layers.Concatenate()(maps), width, 3, name, ("out_conv2d", "out_bn2d"))
    return layers.spatial_dropout(x, dropout)


def backbone_of(*, backbone="resnet18", width=128, dropout=0.1):
    """ "": no published weights have such a stem."""
    return ""
