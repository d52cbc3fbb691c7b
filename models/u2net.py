"""U^2-Net: Going Deeper with Nested U-Structure for Salient Object Detection.

Qin, Zhang, Huang, Dehghan, Zaiane, Jagersand, Pattern Recognition 106, 2020. https://arxiv.org/abs/2005.09007

The authors' github.com/xuebinqin/U-2-Net (model/u2net.py), whose weights fit; these are for one class. "small" is its U2NETP.
The logits are those of the fused map, before the authors' sigmoid. "aux_0" to "aux_5" are the side outputs from the full
resolution to 1/32, which are part of the logits and trained as much.
"""

import keras

from models import layers

# Table 1 and its smaller form: (inner channels, channels) of the stages down, and of the stages up from the fifth on.
VARIANTS = {
    "small": (((16, 64),) * 6, ((16, 64),) * 5),
    "full": (
        ((32, 64), (32, 128), (64, 256), (128, 512), (256, 512), (256, 512)),
        ((256, 512), (128, 256), (64, 128), (32, 64), (16, 64)),
    ),
}

REFERENCE = {
    "params": {"u2net": {12: 1_170_132}, 'u2net(variant="full")': {12: 44_162_868}},
    "macs": {"u2net": 1_242_528_768, 'u2net(variant="full")': 3_578_646_528},
    "input": (64, 96, 3),
    "source": "xuebinqin/U-2-Net model/u2net.py, run",
}

AUX_WEIGHTS = {f"aux_{i}": 1.0 for i in range(6)}

HEIGHTS = (7, 6, 5, 4)  # of the U in each of the first stages; the others keep their resolution


def build(inputs, num_classes, *, variant="small"):
    """Figure 5: a U whose every stage is a U. `variant` is "small" or "full"."""
    if variant not in VARIANTS:
        raise ValueError(f"Expected variant: {', '.join(VARIANTS)}. Received: {variant=}.")
    down, up = VARIANTS[variant]
    x, maps = inputs, []
    for i, widths in enumerate(down):
        x = stage(pool(x) if i else x, *widths, f"stage{i + 1}", i)
        maps.append(x)
    outputs = [maps.pop()]
    for i, widths in zip(range(4, -1, -1), up, strict=True):
        skip = maps.pop()
        x = keras.layers.Concatenate()([layers.resize(outputs[0], like=skip), skip])
        outputs.insert(0, stage(x, *widths, f"stage{i + 1}d", i))
    sides = [layers.conv(x, num_classes, 3, f"side{i}") for i, x in enumerate(outputs, start=1)]
    sides[1:] = [layers.resize(x, like=inputs) for x in sides[1:]]
    logits = layers.conv(keras.layers.Concatenate()(sides), num_classes, 1, "outconv")
    return {"logits": logits, **{f"aux_{i}": x for i, x in enumerate(sides)}}


def stage(x, middle, filters, name, level):
    """The residual U-block of a level, 0 for the full resolution."""
    if level < len(HEIGHTS):
        return residual_u(x, middle, filters, name, HEIGHTS[level])
    return residual_u(x, middle, filters, name, 4, dilated=True)


def residual_u(x, middle, filters, name, height, dilated=False):
    """Figure 2e: a U of `height` levels with `middle` channels, added to its input.

    With `dilated`, dilations of 1, 2, 4 and 8 replace the pools. Otherwise only the deepest level is dilated, and has no pool.
    """
    rates = [2**i for i in range(height)] if dilated else [1] * (height - 1) + [2]
    x = conv_norm(x, filters, f"{name}.rebnconvin")
    y, maps = x, []
    for i, rate in enumerate(rates, start=1):
        if 1 < i < height and not dilated:
            y = pool(y)
        y = conv_norm(y, middle, f"{name}.rebnconv{i}", rate)
        maps.append(y)
    y = maps.pop()
    for i in range(height - 1, 0, -1):
        skip = maps.pop()
        # The two deepest levels have the same resolution.
        y = y if dilated or i == height - 1 else layers.resize(y, like=skip)
        y = keras.layers.Concatenate()([y, skip])
        rate = rates[i - 1]
        y = conv_norm(y, middle if i > 1 else filters, f"{name}.rebnconv{i}d", rate)
    return keras.layers.Add()([y, x])


def conv_norm(x, filters, name, dilation=1):
    """A 3x3 with bias, batch norm, ReLU."""
    return layers.conv_norm(x, filters, 3, name, ("conv_s1", "bn_s1"), bias=True, dilation=dilation)


def pool(x):
    """Maxima of 2x2 pixels; sizes are rounded up."""
    return keras.layers.MaxPooling2D(2, 2, padding="same")(x)
