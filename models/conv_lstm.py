"""ConvLSTM: the label map that follows some past label maps, by layers of ConvLSTM on patches.

Shi, Chen, Wang, Yeung, Wong, Woo, Convolutional LSTM Network: A Machine Learning Approach for Precipitation Nowcasting, NeurIPS
2015. https://arxiv.org/abs/1506.04214

The network of section 4.1, which the authors made for Moving MNIST: patches of 4x4 pixels, three layers of ConvLSTM, and a 1x1
convolution of the states of all layers to the pixels of the patches. It predicts one step, so there is no second network that
unrolls the future. The gates do not see the cell (no peepholes). Its input is the same as that of `drn_pred`: see there.
"""

import keras

from models import layers


def _parameters(classes, hidden=(128, 64, 64), kernel=5, patch=4):
    """Four gates a layer, from its input and its state, and the last convolution; no published number is known to us."""
    total, inputs = (sum(hidden) * patch**2 + 1) * classes, classes * patch**2
    for filters in hidden:
        total, inputs = total + ((inputs + filters) * kernel**2 + 1) * 4 * filters, filters
    return total


REFERENCE = {
    "params": {"conv_lstm": {12: _parameters(12), 19: _parameters(19)}},
    "source": "counted by hand from the layers of section 4.1, for one step and without peepholes: no implementation was run",
}

NORMALIZATION = None


def build(inputs, num_classes, *, steps=4, hidden=(128, 64, 64), kernel=5, patch=4):
    """Section 4.1.

    `steps` is the number of past label maps, 1 to 24. `hidden` are the channels of the layers, `kernel` is the height and width
    of their kernels, an odd number. A patch is `patch` x `patch` pixels.
    """
    if not hidden or min(hidden) < 1 or kernel % 2 == 0 or patch < 1:
        raise ValueError(
            f"Expected hidden, channels of one layer or more, an odd kernel, and patch of 1 or more. Received: {hidden=}, "
            f"{kernel=}, {patch=}."
        )
    x = layers.past_maps(inputs, steps, num_classes)
    # What is added at the edges is 0 in all maps, as a pixel without a label is.
    x = layers.pad_to_multiple(x, patch) if patch > 1 else x
    maps = [layers.channels(x, i * num_classes, (i + 1) * num_classes) for i in range(steps)]
    maps = [layers.patches(y, patch) for y in maps] if patch > 1 else maps
    last = []
    for i, filters in enumerate(hidden):
        maps, _ = layers.conv_lstm(maps, filters, kernel, f"cells.{i}")
        last.append(maps[-1])
    x = keras.layers.Concatenate()(last) if len(last) > 1 else last[0]
    # A transposed convolution of its own stride is a 1x1 convolution to the pixels of each patch.
    x = layers.transposed_conv(x, num_classes, patch, "head", stride=patch)
    return {"logits": layers.fit(x, inputs)}


def steps_of(*, steps=4, hidden=(128, 64, 64), kernel=5, patch=4):
    """The number of label maps that the network reads in place of a picture."""
    return steps
