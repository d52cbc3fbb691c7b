"""FRRN: Full-Resolution Residual Networks for Semantic Segmentation in Street Scenes.

Pohlen, Hermans, Mathias, Leibe, CVPR 2017. https://arxiv.org/abs/1611.08323

It follows the authors' Lasagne code (github.com/TobyPDE/FRRN, dltools/architectures.py), without its log-softmax, which is part
of our loss. Batch norm has an epsilon of 1e-4, and upsampling uses Theano's grid. The layer names are those of the port in
github.com/guanfuchen/semseg (frrn.py). That port differs: all units of a level take the input of the first one, there is no
norm where the streams part, there is a convolution where they meet, and the last level of the decoder has fewer channels. Our
initial weights are those of the port.
"""

import keras

from models import layers

REFERENCE = {
    "params": {"frrn": {19: 17_746_803}, 'frrn(variant="b")': {19: 24_755_699}},
    "source": "TobyPDE/FRRN dltools/architectures.py, counted by hand",
}

# Full-resolution residual units, their channels, and the scale at which they work (table 1).
VARIANTS = {
    "a": (
        ((3, 96, 2), (4, 192, 4), (2, 384, 8), (2, 384, 16)),
        ((2, 192, 8), (2, 192, 4), (2, 96, 2)),
    ),
    "b": (
        ((3, 96, 2), (4, 192, 4), (2, 384, 8), (2, 384, 16), (2, 384, 32)),
        ((2, 192, 16), (2, 192, 8), (2, 192, 4), (2, 96, 2)),
    ),
}

WIDTH, LANES = 48, 32  # channels of the pooling stream and of the residual stream at full resolution
EPSILON = 1e-4


def build(inputs, num_classes, *, variant="a"):
    """Two streams that part and meet (table 1). `variant` is "a", made for 256x512, or "b", for 512x1024."""
    if variant not in VARIANTS:
        raise ValueError(f"Expected variant 'a' or 'b'. Received: {variant=}.")
    down, up = VARIANTS[variant]
    # The reference refuses other sizes. A goes down to 1/16 and B to 1/32, so a single SIZE_MULTIPLE does not fit both.
    x = layers.pad_to_multiple(inputs, down[-1][-1])
    x = layers.conv_norm(x, WIDTH, 5, "conv1.cbr_seq", epsilon=EPSILON)
    for i in range(3):
        x = residual_unit(x, f"up_residual_units.{i}")
    z = layers.conv_norm(x, LANES, 1, "", ("split_conv", "split_norm"), activation=None, epsilon=EPSILON)

    for units, channels, scale in down:
        x = layers.max_pool(x, 2)
        for i in range(units):
            x, z = full_resolution_residual_unit(x, z, f"encoding_frru_{units}_{channels}_{scale}_{i}", channels, scale)
    for units, channels, scale in up:
        x = double(x)
        for i in range(units):
            x, z = full_resolution_residual_unit(x, z, f"decoding_frru_{units}_{channels}_{scale}_{i}", channels, scale)

    x = keras.layers.Concatenate()([double(x), z])
    for i in range(3):
        x = residual_unit(x, f"down_residual_units.{i}")
    return {"logits": layers.fit(layers.conv(x, num_classes, 1, "classif_conv"), inputs)}


def full_resolution_residual_unit(x, z, name, channels, scale):
    """FRRU: the pooling stream x takes the residual stream z at its own scale, and adds to z at full resolution."""
    y = keras.layers.Concatenate()([x, layers.max_pool(z, scale)])
    y = layers.conv_norm(y, channels, 3, f"{name}.conv1.cbr_seq", epsilon=EPSILON)
    y = layers.conv_norm(y, channels, 3, f"{name}.conv2.cbr_seq", epsilon=EPSILON)
    residual = layers.conv(y, LANES, 1, f"{name}.conv_res")
    return y, keras.layers.Add()([z, keras.layers.UpSampling2D(scale)(residual)])  # nearest


def residual_unit(x, name):
    """RU: two 3x3, added to the input; no ReLU after the sum."""
    y = layers.conv_norm(x, WIDTH, 3, f"{name}.conv1.cbr_seq", epsilon=EPSILON)
    y = layers.conv_norm(y, WIDTH, 3, f"{name}.conv2.cb_seq", activation=None, epsilon=EPSILON)
    if x.shape[-1] != WIDTH:
        x = layers.conv(x, WIDTH, 1, f"{name}.projection", bias=False)
    return keras.layers.Add()([x, y])


def double(x):
    """Bilinear to twice the size on Theano's grid: pixel i lies at i / 2 of x, whose edge is repeated beyond its end."""
    # The padding of "same" does not count in the mean.
    return keras.layers.AveragePooling2D(2, 1, padding="same")(keras.layers.UpSampling2D(2)(x))
