"""RefineNet: Multi-Path Refinement Networks for High-Resolution Semantic Segmentation.

Lin, Milan, Shen, Reid, CVPR 2017. https://arxiv.org/abs/1611.06612

The four cascaded blocks of github.com/DrSleep/refinenet-pytorch. Its weights, which are the authors' (MatConvNet), fit.
"""

import keras

from models import backbones, layers

REFERENCE = {
    "params": {"refinenet": {12: 118_031_692, 21: 118_052_437}},
    "macs": {"refinenet": 6_153_732_096},
    "input": (64, 96, 3),
    "source": "DrSleep/refinenet-pytorch models/resnet.py, run",
    "published": "Cityscapes test 73.6 (OCNet's tables)",
    "scores": {
        "Cityscapes test": {"refinenet": 73.6},
    },
}

LAST_STEP = layers.resize  # the reference's output is a quarter of the image


def build(inputs, num_classes, *, backbone="resnet101"):
    """Figure 2(c): one block for each map of the backbone, from the coarsest to the finest."""
    features, x = backbones.build(backbone, inputs, initial=layers.torch_default), None
    for block, level in enumerate(("c5", "c4", "c3", "c2"), start=1):
        skip = keras.layers.Dropout(0.5)(features[level]) if block <= 2 else features[level]
        x = refine(x, skip, block, 512 if block == 1 else 256)
    return {"logits": layers.conv(keras.layers.Dropout(0.5)(x), num_classes, 3, "clf_conv")}


def refine(x, skip, block, width):
    """Figure 3(a): two residual units for each path, the sum of the paths, chained pooling, three residual units."""
    skip = conv3x3(skip, f"p_ims1d2_outl{block}_dimred", width)
    skip = residual_units(skip, f"adapt_stage{block}_b.0", 2)
    if x is not None:  # the block before
        skip = conv3x3(skip, f"adapt_stage{block}_b2_joint_varout_dimred", width)
        x = conv3x3(x, f"mflow_conv_g{block - 1}_b3_joint_varout_dimred", width)
        skip = keras.layers.Add()([skip, layers.resize(x, like=skip, align_corners=True)])
    x = chained_residual_pooling(layers.relu(skip), f"mflow_conv_g{block}_pool.0")
    return residual_units(x, f"mflow_conv_g{block}_b.0", 3)


def residual_units(x, name, units):
    """Figure 3(b): ReLU, 3x3, ReLU, 3x3, added to the input; no batch norm."""
    for i in range(1, units + 1):
        y = layers.conv(layers.relu(x), x.shape[-1], 3, f"{name}.{i}_conv")
        y = conv3x3(layers.relu(y), f"{name}.{i}_conv_relu_varout_dimred", x.shape[-1])
        x = keras.layers.Add()([x, y])
    return x


def chained_residual_pooling(x, name):
    """Figure 3(d): four times a 5x5 pool at stride 1 and a convolution, each of the last result; all are summed."""
    y = x
    for i in (1, 2, 3, 4):
        y = conv3x3(layers.max_pool(y, 5, 1, padding=2), f"{name}.{i}_outvar_dimred", x.shape[-1])
        x = keras.layers.Add()([x, y])
    return x


def conv3x3(x, name, filters):
    """Without bias."""
    return layers.conv(x, filters, 3, name, bias=False)
