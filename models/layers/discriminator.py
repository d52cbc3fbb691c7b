"""The fully convolutional discriminator of probability maps.

Hung et al., Adversarial Learning for Semi-supervised Semantic Segmentation, BMVC 2018. https://arxiv.org/abs/1802.07934
Layers are named after the authors' code (hfslyc/AdvSemiSeg, model/discriminator.py).
"""

import keras

from models.layers.convolution import conv

SMALLEST = 32  # pixels of a side: it is halved five times


def discriminator(x, width=64):
    """Scores [batch, height / 32, width / 32, 1] of maps [batch, height, width, classes]; each halving rounds down.

    Five 4x4 convolutions of stride 2, with one zero on each side, to `width`, 2, 4 and 8 times as many channels, and to one.
    A score above 0 says that the maps are from a label, below 0 that a network predicted them.
    """
    for i, factor in enumerate((1, 2, 4, 8), 1):
        x = conv(x, factor * width, 4, f"conv{i}", stride=2, padding=1)
        x = keras.layers.LeakyReLU(0.2)(x)
    return conv(x, 1, 4, "classifier", stride=2, padding=1)
