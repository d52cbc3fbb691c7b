"""SegNet-Basic: the small network on which SegNet's authors compare decoders.

Badrinarayanan, Kendall, Cipolla, IEEE Transactions on Pattern Analysis and Machine Intelligence 39(12), 2017.
https://arxiv.org/abs/1511.00561

From the authors' Caffe net (github.com/alexgkendall/SegNet-Tutorial, Models/segnet_basic_train.prototxt): its layers, names
and parameters. Pools round up and the decoder crops, at every size; theirs does so at the one height of 360. They feed
BGR pixels of 0..255, for which the normalisation over channels is made.
"""

from keras import ops

from models import layers

REFERENCE = {
    "params": {"segnet_basic": {11: 1_416_587}},
    "source": "alexgkendall/SegNet-Tutorial Models/segnet_basic_train.prototxt, counted by hand",
}

NORMALIZATION = 'affine(order="bgr")'

WIDTH, KERNEL, STAGES = 64, 7, 4


def build(inputs, num_classes):
    """Section 3.1: four stages down and four up, one 7x7 convolution each, as wide everywhere."""
    x = local_response_normalization(inputs)
    taken = []
    for stage in range(1, STAGES + 1):
        x = layers.relu(conv_norm(x, f"conv{stage}"))
        padded = layers.pad_to_multiple(x, 2)  # x comes from a ReLU: of equals the first is taken, which is no padding
        pooled, indices = layers.max_pool_with_indices(padded)
        taken.append((x, padded, indices))
        x = pooled
    for stage in range(STAGES, 0, -1):
        before, padded, indices = taken.pop()
        x = layers.fit(layers.max_unpool(x, indices, padded), before)
        x = conv_norm(x, f"conv_decode{stage}")
    return {"logits": layers.conv(x, num_classes, 1, "conv_classifier")}


def conv_norm(x, name):
    """A convolution and batch norm; only the encoder's are followed by a ReLU."""
    return layers.batch_norm(layers.conv(x, WIDTH, KERNEL, name), f"{name}_bn")


def local_response_normalization(x, size=5, alpha=1e-4, beta=0.75):
    """Every channel over (1 + alpha * mean square of the `size` channels around it) ** beta; beyond the last are zeros."""
    x = ops.cast(x, "float32")  # a squared pixel is beyond float16
    squares = ops.pad(ops.square(x), ((0, 0), (0, 0), (0, 0), (size // 2, size // 2)))
    channels = x.shape[-1]
    total = sum(squares[..., i : i + channels] for i in range(size))  # no layer, which would cast it to float16
    return x / (1.0 + alpha / size * total) ** beta
