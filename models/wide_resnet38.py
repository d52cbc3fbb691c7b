"""ResNet-38: Wider or Deeper: Revisiting the ResNet Model for Visual Recognition.

Wu, Shen, van den Hengel, Pattern Recognition 2019. https://arxiv.org/abs/1611.10080

The authors' github.com/itijyou/ademxapp (util/symbol/resnet_v2.py, in MXNet), with its layer names. Only the last layer, whose
name there has the number of classes ("linear150"), is "linear" here. Model A2, trained on Places, is in the paper but not in
that code: it halves the first two resolutions by max pooling, like Model A, and the others by strides, like Model A1
(mapillary/inplace_abn, WiderResNetA2). Scores are enlarged bilinearly, while issegm/voc.py is bicubic.
"""

import keras

from models import layers

# By hand, C classes. A block (a, b, ..) of 3x3 on c channels: batch norms 2 c, 2 a, .. and kernels 9 c a, 9 a b, ..;
# where it widens, a 1x1 of c times its last channels. conv1a 27 * 64 = 1,728, and in thousands and units:
#   res2: 230 + 2 * 295                       229,760 + 2 * 295,424       =     820,608
#   res3: (128 -> 256, 256), 2 more           918,272 + 2 * 1,180,672     =   3,279,616
#   res4: (256 -> 512, 512), 5 more           3,671,552 + 5 * 4,720,640   =  27,274,752
#   res5: (512 -> 512, 1024), 2 more          7,604,224 + 2 * 9,440,256   =  26,484,736
#   res6: 1x1 512, 3x3 1024, 1x1 2048         512 * 1024 + 9 * 512 * 1024 + 1024 * 2048 + 1024 * 2048 + 5,120
#   res7: 1x1 1024, 3x3 2048, 1x1 4096        twice as wide: 4 times the kernels, twice the norms
FEATURES = 1_728 + 820_608 + 3_279_616 + 27_274_752 + 26_484_736 + 9_442_304 + 37_758_976 + 8_192
REFERENCE = {
    "params": {
        "wide_resnet38": {
            19: FEATURES + 9 * 4096 * 512 + 512 + (9 * 512 + 1) * 19,
            150: FEATURES + 9 * 4096 * 512 + 512 + (9 * 512 + 1) * 150,
        },
        'wide_resnet38(variant="a2")': {19: FEATURES + 9 * 4096 * 512 + 512 + (9 * 512 + 1) * 19},
        "wide_resnet38(convolutions=1)": {19: FEATURES + (9 * 4096 + 1) * 19},
    },
    "source": "itijyou/ademxapp util/symbol/resnet_v2.py, counted by hand",
    "published": "two convolutions, single scale: A1 VOC 2012 val 80.84, test 82.5, ADE20K val 43.34; A2 Cityscapes val 78.08, "
    "test 78.4 (itijyou/ademxapp's README and the paper)",
    "scores": {
        "VOC val": {"wide_resnet38": 80.84},
        "ADE20K val": {"wide_resnet38": 43.34},
        "Cityscapes val": {'wide_resnet38(variant="a2")': 78.08},
    },
}

LAST_STEP = layers.fit  # the enlarged scores have the size of the image, rounded up

POOLED_LEVELS = {"a1": (), "a2": (1, 2)}  # the levels that end with max pooling

# Channels of a block's convolutions, number of blocks, kernels: levels 2 to 7 (table 1).
LEVELS = (
    ((128, 128), 3, (3, 3)),
    ((256, 256), 3, (3, 3)),
    ((512, 512), 6, (3, 3)),
    ((512, 1024), 3, (3, 3)),
    ((512, 1024, 2048), 1, (1, 3, 1)),
    ((1024, 2048, 4096), 1, (1, 3, 1)),
)

DROPOUT = {6: 0.3, 7: 0.5}


def build(inputs, num_classes, *, variant="a1", convolutions=2, output_stride=8, simulated_steps=1):
    """Table 1 and section 4.

    Args:
      variant: "a1" or "a2", which halve the resolution in different ways, see above.
      convolutions: 2 or 1, the number of 3x3 with a dilation of 12 in the head; the first of two has 512 channels.
      output_stride: 8, 16 or 32: later levels are dilated instead.
      simulated_steps: s runs the network on s * s shifted images and interleaves their scores, as in `very_deep_fcn`;
        the authors' results on ADE20K are with 2.
    """
    if variant not in POOLED_LEVELS:
        raise ValueError(f"Expected variant 'a1' or 'a2'. Received: {variant=}.")
    if convolutions not in (1, 2):
        raise ValueError(f"Expected convolutions 1 or 2, of the head. Received: {convolutions=}.")
    if output_stride not in (8, 16, 32):
        raise ValueError(f"Expected output_stride 8, 16 or 32. Received: {output_stride=}.")
    x = layers.shifted(inputs, simulated_steps, output_stride)
    with layers.initial_weights(layers.kaiming_normal("fan_in", bias=0.0)):  # ours: only trained weights are published
        x = features(x, POOLED_LEVELS[variant], output_stride)
        if convolutions == 2:
            x = layers.relu(layers.conv(x, 512, 3, "conv6a", dilation=12))
        x = layers.conv(x, num_classes, 3, "linear", dilation=12, initial=layers.normal(0.01, bias=0.0))
    x = layers.interleaved(x, simulated_steps)
    return {"logits": layers.resize(x, scale=output_stride // simulated_steps)}


def features(x, pooled_levels, output_stride):
    """Seven levels. Each from the second to the sixth begins by halving the resolution."""
    x = layers.conv(x, 64, 3, "conv1a", bias=False)
    reached, dilation = 1, 1
    for level, (channels, blocks, kernels) in enumerate(LEVELS, start=2):
        stride, before = 1, dilation
        if level <= 6 and reached < output_stride:
            stride, reached = 2, reached * 2
        elif level <= 6:
            dilation *= 2
        if level - 1 in pooled_levels:
            x, stride = layers.max_pool(x, 3, 2, padding=1), 1
        options = {"kernels": kernels, "dropout": DROPOUT.get(level, 0.0)}
        # Instead of a stride, layers before it keep the old dilation and layers after it have the new one.
        x = block(x, f"{level}a", channels, stride=stride, dilations=(before, dilation), **options)
        for i in range(1, blocks):
            x = block(x, f"{level}b{i}", channels, dilations=(dilation, dilation), **options)
    return layers.relu(layers.batch_norm(x, "bn7"))


def block(x, name, channels, *, kernels, stride=1, dilations=(1, 1), dropout=0.0):
    """Batch norm, ReLU, convolution, two or three times. The 1x1 shortcut of a first block starts after the first ReLU."""
    y = start = layers.relu(layers.batch_norm(x, f"bn{name}_branch2a"))
    before = dilations[0] if kernels[0] > 1 else 1
    y = layers.conv(y, channels[0], kernels[0], f"res{name}_branch2a", stride, before, bias=False)
    for i, (filters, kernel) in enumerate(zip(channels[1:], kernels[1:], strict=True), start=1):
        y = layers.relu(layers.batch_norm(y, f"bn{name}_branch2b{i}"))
        if dropout and i == len(channels) - 1:
            y = keras.layers.Dropout(dropout)(y)
        dilation = dilations[1] if kernel > 1 else 1
        y = layers.conv(y, filters, kernel, f"res{name}_branch2b{i}", dilation=dilation, bias=False)
    if name.endswith("a"):
        x = layers.conv(start, channels[-1], 1, f"res{name}_branch1", stride, bias=False)
    return keras.layers.Add()([x, y])
