"""EDANet: Efficient Dense Modules of Asymmetric Convolution for Real-Time Semantic Segmentation.

Lo, Hang, Chan, Lin, ACM Multimedia Asia 2019. https://arxiv.org/abs/1809.06323

The network of pytorchcv (github.com/osmr/pytorchcv), whose weights fit. Unlike the authors' network it has a ReLU between the
two dilated convolutions of a module, and the batch norm of its 1x1 has another epsilon. The authors train at half the
resolution, and for inference double the size of the logits; here the logits have the size of the given image.
"""

from keras import layers as keras_layers

from models import layers

REFERENCE = {
    "params": {"edanet": {12: 686_328, 19: 689_485}},
    "macs": {"edanet": 103_208_064},
    "input": (64, 96, 3),
    "source": "osmr/pytorchcv pytorchcv/models/edanet.py, run",
    "published": "Cityscapes test 67.3 (shaoyuanlo/EDANet's README)",
    "scores": {
        "Cityscapes test": {"edanet": 67.3},
    },
}

SIZE_MULTIPLE = 4  # the reference refuses others, because convolution and pool of a downsampler then differ in size

GROWTH = 40  # channels that a module adds
EPSILON = 1e-3


@layers.initial_weights(layers.kaiming_uniform("fan_in", bias=0.0))
def build(inputs, num_classes):
    """Table 1 of the paper: three downsamplings, two dense blocks, a projection to the classes at 1/8."""
    x = downsample(inputs, 15, "features.stage1.unit1")
    x = downsample(x, 60, "features.stage2.unit1")
    for i, dilation in enumerate((1, 1, 1, 2, 2), start=2):
        x = eda_module(x, f"features.stage2.unit{i}", dilation)
    x = downsample(x, 130, "features.stage3.unit1")
    for i, dilation in enumerate((2, 2, 4, 4, 8, 8, 16, 16), start=2):
        x = eda_module(x, f"features.stage3.unit{i}", dilation)
    x = layers.conv(x, num_classes, 1, "head")
    return {"logits": layers.resize(x, scale=8, align_corners=True)}


def downsample(x, filters, name):
    """A convolution with stride 2. If x has fewer channels than `filters`, the pooled x is a part of the result."""
    channels = x.shape[-1]
    if channels < filters:
        y = layers.conv(x, filters - channels, 3, f"{name}.conv", stride=2)
        x = keras_layers.Concatenate()([y, layers.max_pool(x, 2)])
    else:
        x = layers.conv(x, filters, 3, f"{name}.conv", stride=2)
    return layers.relu(layers.batch_norm(x, f"{name}.norm_activ.bn", EPSILON))


def eda_module(x, name, dilation):
    """Figure 2: 1x1, 3x1 and 1x3, dilated 3x1 and 1x3; the result is concatenated before the input."""
    y = layers.conv_norm(x, GROWTH, 1, f"{name}.conv1", ("conv", "bn"), bias=True)
    y = asymmetric(y, f"{name}.conv2.conv1")
    y = asymmetric(y, f"{name}.conv2.conv2", dilation, between=True)
    return keras_layers.Concatenate()([keras_layers.Dropout(0.02)(y), x])


def asymmetric(x, name, dilation=1, between=False):
    """3x1 and 1x3, batch norm and ReLU; another ReLU `between` the two."""
    x = layers.conv(x, GROWTH, (3, 1), f"{name}.lw_conv.conv", dilation=(dilation, 1))
    x = layers.relu(x) if between else x
    options = {"epsilon": EPSILON, "bias": True, "dilation": (1, dilation)}
    return layers.conv_norm(x, GROWTH, (1, 3), f"{name}.rw_conv", ("conv", "bn"), **options)
