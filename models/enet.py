"""ENet: A Deep Neural Network Architecture for Real-Time Semantic Segmentation.

Paszke, Chaurasia, Kim, Culurciello, 2016. https://arxiv.org/abs/1606.02147

variant="davidtvs", the default, is github.com/davidtvs/PyTorch-ENet, whose weights fit. variant="lua" is the authors' own
github.com/e-lab/ENet-training. `Variant` lists the differences. Both take images of any size. Both have the initial weights of
their framework; those of Torch 7 later became PyTorch's default.
"""

import dataclasses
import functools

from keras import layers as keras_layers
from keras import ops

from models import layers

REFERENCE = {
    "params": {
        "enet": {11: 350_508, 12: 350_652, 19: 351_660},
        'enet(variant="lua")': {11: 363_791, 12: 363_856, 19: 364_311},
    },
    "macs": {"enet": 45_765_120, 'enet(variant="lua")': 45_273_600},
    "input": (64, 96, 3),
    "source": "davidtvs/PyTorch-ENet models/enet.py, run; e-lab/ENet-training train/models/*.lua, counted by hand",
    "published": "Cityscapes test 58.3, CamVid test 51.3 (sacmehta/ESPNet's README)",
    "scores": {
        "Cityscapes test": {"enet": 58.3},
        "CamVid test": {"enet": 51.3},
    },
}


@dataclasses.dataclass(frozen=True)
class Variant:
    """The differences between the implementations, and between encoder and decoder."""

    epsilon: float  # of every batch norm
    bias: bool  # in the convolutions that do not only project
    slope_per_channel: bool  # of the PReLUs
    narrow_from_input: bool  # a bottleneck has a quarter of its block's input channels, otherwise of its output's
    activate_expansion: bool  # a non-linearity after a block's last 1x1, before the sum
    norm_between_asymmetric: bool  # batch norm and non-linearity between the 5x1 and the 1x5
    decoder_dropout: float
    relu: bool = False  # instead of PReLU: the decoder

    @property
    def activation(self):
        """PReLU in the encoder, ReLU in the decoder: a function of x and a name."""
        return layers.relu if self.relu else functools.partial(layers.prelu, per_channel=self.slope_per_channel)

    @property
    def after(self):
        """The options for what follows most convolutions; a torch.nn.Sequential numbers the three modules."""
        return {"entries": (0, 1, 2), "activation": self.activation, "epsilon": self.epsilon}


VARIANTS = {
    "davidtvs": Variant(1e-5, False, False, True, True, True, 0.1),
    "lua": Variant(1e-3, True, True, False, False, False, 0.0),
}


def build(inputs, num_classes, *, variant="davidtvs"):
    """Builds the network; the logits have the size of the input."""
    if variant not in VARIANTS:
        raise ValueError(f"Expected a variant of enet: {', '.join(VARIANTS)}. Received: variant={variant!r}.")
    encoder = VARIANTS[variant]
    decoder = dataclasses.replace(encoder, relu=True)

    # Stage 1, at 1/4 of the resolution.
    half = initial(inputs, "initial_block", encoder, padded_pool=variant == "davidtvs")
    x, indices_1 = downsample(half, "downsample1_0", encoder, 64, dropout=0.01)
    for i in range(1, 5):
        x = bottleneck(x, f"regular1_{i}", encoder, dropout=0.01)
    quarter = x

    # Stages 2 and 3, at 1/8.
    x, indices_2 = downsample(quarter, "downsample2_0", encoder, 128)
    for stage, i in ((2, 1), (3, 0)):
        x = bottleneck(x, f"regular{stage}_{i}", encoder)
        x = bottleneck(x, f"dilated{stage}_{i + 1}", encoder, dilation=2)
        x = bottleneck(x, f"asymmetric{stage}_{i + 2}", encoder, asymmetric=True)
        x = bottleneck(x, f"dilated{stage}_{i + 3}", encoder, dilation=4)
        x = bottleneck(x, f"regular{stage}_{i + 4}", encoder)
        x = bottleneck(x, f"dilated{stage}_{i + 5}", encoder, dilation=8)
        x = bottleneck(x, f"asymmetric{stage}_{i + 6}", encoder, asymmetric=True)
        x = bottleneck(x, f"dilated{stage}_{i + 7}", encoder, dilation=16)

    # The decoder puts every maximum at its place in the encoder.
    dropout = encoder.decoder_dropout
    x = upsample(x, "upsample4_0", decoder, 64, indices_2, like=quarter, dropout=dropout)
    x = bottleneck(x, "regular4_1", decoder, dropout=dropout)
    x = bottleneck(x, "regular4_2", decoder, dropout=dropout)
    x = upsample(x, "upsample5_0", decoder, 16, indices_1, like=half, dropout=dropout)
    x = bottleneck(x, "regular5_1", decoder, dropout=dropout)
    if variant == "davidtvs":
        x = layers.transposed_conv(x, num_classes, 3, "transposed_conv", padding=1, output_padding=1, bias=False)
    else:
        x = layers.transposed_conv(x, num_classes, 2, "transposed_conv")
    return {"logits": layers.fit(x, inputs)}


def initial(x, name, v, padded_pool):
    """Figure 2a: 13 channels of a convolution and the image's three, at half the resolution."""
    y = layers.conv(x, 16 - x.shape[-1], 3, f"{name}.main_branch", stride=2, bias=v.bias)
    # The authors' 2x2 pool. An odd size is rounded up, as in the convolution.
    x = layers.max_pool(x, 3, 2, padding=1) if padded_pool else keras_layers.MaxPooling2D(2, padding="same")(x)
    x = keras_layers.Concatenate()([y, x])
    return v.activation(layers.batch_norm(x, f"{name}.batch_norm", v.epsilon), f"{name}.out_activation")


def bottleneck(x, name, v, dilation=1, asymmetric=False, dropout=0.1):
    """Figure 2b: 1x1, then 3x3, dilated 3x3 or 5x1 and 1x5, then 1x1, added to the input."""
    y = narrow(x, name, v, x.shape[-1])
    channels = y.shape[-1]
    if asymmetric:
        if v.norm_between_asymmetric:
            y = layers.conv_norm(y, channels, (5, 1), f"{name}.ext_conv2", **v.after)
        else:
            y = layers.conv(y, channels, (5, 1), f"{name}.ext_conv2.0", bias=False)
        second = {**v.after, "entries": (3, 4, 5)}
        y = layers.conv_norm(y, channels, (1, 5), f"{name}.ext_conv2", bias=v.bias, **second)
    else:
        y = layers.conv_norm(y, channels, 3, f"{name}.ext_conv2", dilation=dilation, bias=v.bias, **v.after)
    y = expand(y, f"{name}.ext_conv3", v, x.shape[-1], v.activate_expansion)
    return add(x, y, name, v, dropout)


def downsample(x, name, v, filters, dropout=0.1):
    """Figure 2b with a 2x2 projection; the pooled input is padded with channels of zeros. Also returns the indices."""
    y = narrow(x, name, v, filters, stride=2)
    y = layers.conv_norm(y, y.shape[-1], 3, f"{name}.ext_conv2", bias=v.bias, **v.after)
    y = expand(y, f"{name}.ext_conv3", v, filters, v.activate_expansion)
    pooled, indices = layers.max_pool_with_indices(x)
    missing = filters - x.shape[-1]
    pooled = keras_layers.Concatenate()([pooled, ops.zeros_like(y[..., :missing])])
    return add(pooled, y, name, v, dropout), indices


def upsample(x, name, v, filters, indices, like, dropout):
    """Doubles the resolution: a transposed convolution, added to the projected input unpooled to the size of `like`."""
    y = narrow(x, name, v, filters)
    if v.bias:
        y = layers.transposed_conv(y, y.shape[-1], 3, f"{name}.ext_tconv1", padding=1, output_padding=1)
    else:
        y = layers.transposed_conv(y, y.shape[-1], 2, f"{name}.ext_tconv1", bias=False)
    y = layers.batch_norm(layers.fit(y, like), f"{name}.ext_tconv1_bnorm", v.epsilon)
    y = v.activation(y, f"{name}.ext_tconv1_activation")
    y = expand(y, f"{name}.ext_conv2", v, filters, activate=False)
    x = layers.conv_norm(x, filters, 1, f"{name}.main_conv1", activation=None, epsilon=v.epsilon)
    return add(layers.max_unpool(x, indices, like), y, name, v, dropout)


def narrow(x, name, v, filters, stride=1):
    """A block's first projection, to a quarter of its width."""
    width = (x.shape[-1] if v.narrow_from_input else filters) // 4
    return layers.conv_norm(x, width, stride, f"{name}.ext_conv1", stride=stride, padding=0, **v.after)


def expand(x, name, v, filters, activate):
    """A block's last projection."""
    after = v.after if activate else {"activation": None, "epsilon": v.epsilon}
    return layers.conv_norm(x, filters, 1, name, **after)


def add(x, y, name, v, dropout):
    """The sum of both branches, the second regularised."""
    x = keras_layers.Add()([x, layers.spatial_dropout(y, dropout)])
    return v.activation(x, f"{name}.out_activation")
