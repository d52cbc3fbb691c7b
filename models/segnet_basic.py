"""SegNet-Basic: the small network on which SegNet's authors compare decoders.

Badrinarayanan, Kendall, Cipolla, IEEE Transactions on Pattern Analysis and Machine Intelligence 39(12), 2017.
https://arxiv.org/abs/1511.00561

From the authors' Caffe net (github.com/alexgkendall/SegNet-Tutorial, Models/segnet_basic_train.prototxt): its layers, names
and parameters. Pools round up and the decoder crops at every size; theirs does so only at the height of 360. Their input is
BGR pixels of 0..255, and the normalisation over channels is designed for these.

With `dropout` it is Bayesian SegNet-Basic (see models/segnet.py). As in the authors' net
(Models/bayesian_segnet_basic_train.prototxt), dropout follows the two deepest pools and the two deepest stages of the decoder.
"""

from keras import ops

from models import layers

REFERENCE = {
    "params": {"segnet_basic": {11: 1_416_587}},
    "source": "alexgkendall/SegNet-Tutorial Models/segnet_basic_train.prototxt, counted by hand",
    "published": "with dropout CamVid test 55.8 (the paper of Bayesian SegNet)",
}

NORMALIZATION = 'affine(order="bgr")'

WIDTH, KERNEL, STAGES, DROPPED = 64, 7, 4, 2


@layers.initial_weights(layers.kaiming_normal("fan_in", bias=0.0, shift=1e-3))  # Caffe's msra
def build(inputs, num_classes, *, dropout=0.0):
    """Section 3.1: four stages down and four up, each with one 7x7 convolution of the same width.

    `dropout` is the rate of Bayesian SegNet, 0.5 in its paper.
    """
    x = local_response_normalization(inputs)
    taken = []
    for stage in range(1, STAGES + 1):
        x = layers.conv_norm(x, WIDTH, KERNEL, "", (f"conv{stage}", f"conv{stage}_bn"), bias=True)
        padded = layers.pad_to_multiple(x, 2)  # x is from a ReLU: of equal values the first is taken, not padding
        pooled, indices = layers.max_pool_with_indices(padded)
        taken.append((x, padded, indices))
        x = layers.dropout(pooled, dropout) if stage > STAGES - DROPPED else pooled
    for stage in range(STAGES, 0, -1):
        before, padded, indices = taken.pop()
        x = layers.fit(layers.max_unpool(x, indices, padded), before)
        entries = f"conv_decode{stage}", f"conv_decode{stage}_bn"
        x = layers.conv_norm(x, WIDTH, KERNEL, "", entries, activation=None, bias=True)  # no ReLU in the decoder
        x = layers.dropout(x, dropout) if stage > STAGES - DROPPED else x
    return {"logits": layers.conv(x, num_classes, 1, "conv_classifier")}


def local_response_normalization(x, size=5, alpha=1e-4, beta=0.75):
    """Divides every channel by (1 + alpha * mean square of `size` channels around it) ** beta; missing channels are zeros."""
    x = ops.cast(x, "float32")  # the square of a pixel is too large for float16
    squares = ops.pad(ops.square(x), ((0, 0), (0, 0), (0, 0), (size // 2, size // 2)))
    channels = x.shape[-1]
    total = sum(squares[..., i : i + channels] for i in range(size))  # a layer would cast it to float16
    return x / (1.0 + alpha / size * total) ** beta
