"""Attention U-Net: Learning Where to Look for the Pancreas.

Oktay, Schlemper, Le Folgoc, Lee, Heinrich, Misawa, Mori, McDonagh, Hammerla, Kainz, Glocker, Rueckert, MIDL 2018.
https://arxiv.org/abs/1804.03999

The network of github.com/LeeJunHyun/Image_Segmentation (AttU_Net), for which no weights are published. Unlike the paper's, its
gates compare the skip connection with the map that has already been brought to the same resolution, so nothing is resampled
inside a gate, and there is no deep supervision.
"""

import keras

from models import layers

REFERENCE = {
    "params": {"attention_unet": {12: 34_879_288}},
    "macs": {"attention_unet": 6_231_662_592},
    "input": (64, 96, 3),
    "source": "LeeJunHyun/Image_Segmentation network.py, run",
}

SIZE_MULTIPLE = 16  # the reference refuses others: a doubled map and the skip connection then disagree on the size


def build(inputs, num_classes, *, width=64):
    """Figure 1: a U-Net whose skip connections pass gates. `width` is the number of channels at full resolution."""
    x, skips = double_conv(inputs, width, "Conv1"), []
    for i in range(2, 6):
        skips.append(x)
        x = double_conv(layers.max_pool(x, 2), x.shape[-1] * 2, f"Conv{i}")
    for i in range(5, 1, -1):
        skip = skips.pop()
        x = conv_norm(keras.layers.UpSampling2D(2)(x), skip.shape[-1], 3, f"Up{i}.up", (1, 2))
        x = layers.fit(x, skip)  # changes only a native output of a size that the reference refuses
        x = keras.layers.Concatenate()([gate(x, skip, f"Att{i}"), x])
        x = double_conv(x, skip.shape[-1], f"Up_conv{i}")
    return {"logits": layers.conv(x, num_classes, 1, "Conv_1x1")}


def conv_norm(x, filters, kernel, name, entries=(0, 1), activation=layers.relu):
    """A convolution with bias, batch norm, ReLU."""
    return layers.conv_norm(x, filters, kernel, name, entries, activation, bias=True)


def double_conv(x, filters, name):
    """Two 3x3."""
    x = conv_norm(x, filters, 3, f"{name}.conv")
    return conv_norm(x, filters, 3, f"{name}.conv", (3, 4))


def gate(x, skip, name):
    """Figure 2, equations 1 and 2: skip times a number in 0..1 for every pixel, from the sum of 1x1 of both maps."""
    width = skip.shape[-1] // 2
    x = conv_norm(x, width, 1, f"{name}.W_g", activation=None)
    y = conv_norm(skip, width, 1, f"{name}.W_x", activation=None)
    y = layers.relu(keras.layers.Add()([x, y]))
    y = conv_norm(y, 1, 1, f"{name}.psi", activation="sigmoid")
    return keras.layers.Multiply()([skip, y])
