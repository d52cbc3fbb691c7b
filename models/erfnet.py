"""ERFNet: Efficient Residual Factorized ConvNet for Real-Time Semantic Segmentation.

Romera, Alvarez, Bergasa, Arroyo, IEEE Transactions on Intelligent Transportation Systems 19(1), 2018.
https://doi.org/10.1109/TITS.2017.2750080

The network of the authors' github.com/Eromera/erfnet_pytorch (train/erfnet.py), without the classifier encoder.output_conv,
which is used only to pre-train the encoder.
"""

from keras import layers as keras_layers

from models import layers

REFERENCE = {
    "params": {"erfnet": {12: 2_065_284 - 1_548, 19: 2_064_191, 20: 2_066_836 - 2_580}},
    "macs": {"erfnet": 311_081_472},
    "input": (64, 96, 3),
    "source": "Eromera/erfnet_pytorch train/erfnet.py, run; less encoder.output_conv. 19 classes: pytorchcv",
    "published": "Cityscapes test 69.8, val 72.1 (Eromera/erfnet_pytorch's README)",
    "scores": {
        "Cityscapes val": {"erfnet": 72.1},
        "Cityscapes test": {"erfnet": 69.8},
    },
}

SIZE_MULTIPLE = 8  # the reference refuses others, because convolution and pool of a downsampler then differ in size

# The classifier that pre-trains the encoder is in the authors' files too.
UNUSED = (r"^encoder\.output_conv\.",)

EPSILON = 1e-3


def build(inputs, num_classes):
    """Table I of the paper, row by row."""
    x = downsampler(inputs, "encoder.initial_block", 16)
    x = downsampler(x, "encoder.layers.0", 64)
    for i in range(1, 6):
        x = non_bottleneck_1d(x, f"encoder.layers.{i}", dropout=0.03)
    x = downsampler(x, "encoder.layers.6", 128)
    for i, dilation in enumerate((2, 4, 8, 16, 2, 4, 8, 16), start=7):
        x = non_bottleneck_1d(x, f"encoder.layers.{i}", dilation, dropout=0.3)

    x = upsampler(x, "decoder.layers.0", 64)
    x = non_bottleneck_1d(x, "decoder.layers.1")
    x = non_bottleneck_1d(x, "decoder.layers.2")
    x = upsampler(x, "decoder.layers.3", 16)
    x = non_bottleneck_1d(x, "decoder.layers.4")
    x = non_bottleneck_1d(x, "decoder.layers.5")
    return {"logits": layers.transposed_conv(x, num_classes, 2, "decoder.output_conv")}


def downsampler(x, name, filters):
    """Halves the resolution: the pooled input, and before it a convolution with the channels that are missing."""
    y = layers.conv(x, filters - x.shape[-1], 3, f"{name}.conv", stride=2)
    x = keras_layers.Concatenate()([y, layers.max_pool(x, 2)])
    return layers.relu(layers.batch_norm(x, f"{name}.bn", EPSILON))


def non_bottleneck_1d(x, name, dilation=1, dropout=0.0):
    """Figure 2c: two 3x3 convolutions, each as a 3x1 and a 1x3; only the second is dilated."""
    channels, options = x.shape[-1], {"epsilon": EPSILON, "bias": True}
    y = layers.relu(layers.conv(x, channels, (3, 1), f"{name}.conv3x1_1"))
    y = layers.conv_norm(y, channels, (1, 3), name, ("conv1x3_1", "bn1"), **options)
    y = layers.relu(layers.conv(y, channels, (3, 1), f"{name}.conv3x1_2", dilation=(dilation, 1)))
    y = layers.conv_norm(y, channels, (1, 3), name, ("conv1x3_2", "bn2"), None, dilation=(1, dilation), **options)
    return layers.relu(keras_layers.Add()([layers.spatial_dropout(y, dropout), x]))


def upsampler(x, name, filters):
    """Doubles the resolution by a transposed convolution."""
    twice = {"convolution": layers.transposed_conv, "padding": 1, "output_padding": 1}
    return layers.conv_norm(x, filters, 3, name, ("conv", "bn"), epsilon=EPSILON, bias=True, **twice)
