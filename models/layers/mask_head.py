"""A head that gives the mask of an object inside a box, and the transfer of the detector's weights to its kernels.

He, Gkioxari, Dollár, Girshick, Mask R-CNN, ICCV 2017, https://arxiv.org/abs/1703.06870 (the head). Hu, Dollár, He, Darrell,
Girshick, Learning to Segment Every Thing, CVPR 2018, https://arxiv.org/abs/1711.10370 (the transfer);
ronghanghu/seg_every_thing, lib/modeling/mask_rcnn_heads.py.

A network takes pixels only, and a box is known only after it has run: a true one in training, one that the detector found
later. So the head is not applied in the network. `MaskHead` gives its weights as an output, beside the maps that it is applied
to. Whoever has boxes calls `masks_in_boxes` with both outputs: the loss, a metric, prediction and an export do so in the same
way, and the weights are still variables of the network that are trained, saved and exported like all others.
"""

import keras
from keras import ops

from models.layers.dense import dense
from models.layers.initial_weights import current_rule
from models.layers.regions import roi_align

CONVOLUTIONS = 4  # 3x3, each with a ReLU
MASK_CELLS = 14  # of a side of a box that they see; a transposed convolution doubles it
SLOPE = 0.1  # of the transfer's leaky ReLU


def weight_transfer(embedding, width, name="transfer"):
    """The kernels of the classes, [classes, width], from embeddings of the classes, [classes, n], of the detector's weights.

    Hu et al., section 3.1: a linear layer, a leaky ReLU, a linear layer. The embedding is cut off from the gradient (section
    3.2): otherwise those of classes with masks would drift away from those without.
    """
    x = dense(Cut()(embedding), width, f"{name}.0")
    return dense(keras.layers.LeakyReLU(SLOPE)(x), width, f"{name}.2")


def masks_in_boxes(maps, weights, boxes, places):
    """The mask of one class in each box: Mask R-CNN, figure 4 on the right, with the kernels of `MaskHead`.

    Args:
        maps: float [batch, height, width, width of the head].
        weights: float [batch, n], the head's output. All rows are equal; the first one is used.
        boxes: float [batch, count, 4], x1, y1, x2, y2 as shares of the image.
        places: int [batch, count], the kernel of each box. If there is only one kernel, every box has it.

    Returns:
        Logits [batch, count, 2 MASK_CELLS, 2 MASK_CELLS].
    """
    width, batch, count = maps.shape[-1], ops.shape(boxes)[0], ops.shape(boxes)[1]
    parts = _split(ops.sum(weights[:1], 0), width)  # the sum: a batch may be empty
    x = ops.reshape(roi_align(maps, boxes, MASK_CELLS), (batch * count, MASK_CELLS, MASK_CELLS, width))
    for number in range(CONVOLUTIONS):
        kernel, bias = parts[2 * number : 2 * number + 2]
        x = ops.relu(ops.conv(x, kernel, padding="same", data_format="channels_last") + bias)
    kernel, bias, kernels = parts[-3:]
    # A transposed convolution of 2x2 with stride 2 gives each cell four of its own.
    x = ops.relu(ops.einsum("nijc,yxco->niyjxo", x, kernel) + bias)
    x = ops.reshape(x, (batch, count, 2 * MASK_CELLS, 2 * MASK_CELLS, width))
    places = places if kernels.shape[0] > 1 else ops.zeros_like(places)
    return ops.einsum("bnijc,bnc->bnij", x, ops.take(kernels, ops.maximum(places, 0), axis=0))


def kernels_of(weights, width):
    """How many kernels of classes there are in the `weights` [batch, n] of a head of this width; n is known."""
    return (weights.shape[-1] - CONVOLUTIONS * (9 * width + 1) * width - (4 * width + 1) * width) // width


@keras.saving.register_keras_serializable(package="tfseg")
class MaskHead(keras.layers.Layer):
    """The weights of the head as one vector for each image, float32 under every policy.

    [maps [batch, height, width, C], kernels [K, C]] -> [batch, n], all rows equal. Of the maps only the batch and C are read.
    Without kernels, of the maps alone, it has a kernel of its own: a class-agnostic head.
    """

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    def build(self, input_shape):
        agnostic = not isinstance(input_shape[0], (tuple, list))
        width = (input_shape if agnostic else input_shape[0])[-1]
        self.kernels, self.biases = [], []
        for name, side in (*((f"fcn{i + 1}", 3) for i in range(CONVOLUTIONS)), ("upsample", 2)):
            kernel, bias = current_rule().start(side * side * width, side * side * width)
            self.kernels.append(self._add(f"{name}_kernel", (side, side, width, width), kernel))
            self.biases.append(self._add(f"{name}_bias", (width,), bias))
        if agnostic:
            self.kernels.append(self._add("logits_kernel", (width, 1), current_rule().start(width, 1)[0]))

    def _add(self, name, shape, initializer):
        # Not cast where it is read, as a network under a mixed policy does with the variables of all its layers.
        return self.add_weight(name=name, shape=shape, initializer=initializer, autocast=False)

    def call(self, inputs):
        """The vector."""
        maps, *given = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        pairs = [part for pair in zip(self.kernels, self.biases, strict=False) for part in pair]
        parts = [*pairs, *given, *self.kernels[len(self.biases) :]]
        vector = ops.concatenate([ops.reshape(ops.cast(part, "float32"), (-1,)) for part in parts])
        return ops.ones((ops.shape(maps)[0], 1), "float32") * vector

    def compute_output_spec(self, inputs):
        """As long as there are weights."""
        maps, *given = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        width = maps.shape[-1]
        kernels = given[0].shape[0] if given else 1
        length = CONVOLUTIONS * (9 * width + 1) * width + (4 * width + 1) * width + kernels * width
        return keras.KerasTensor((maps.shape[0], length), "float32")


def _split(vector, width):
    """The kernels and biases in a vector of `MaskHead`, and the kernels of the classes [K, width]."""
    parts, place = [], 0
    for side in (*[3] * CONVOLUTIONS, 2):
        for shape in ((side, side, width, width), (width,)):
            length = side * side * width * width if len(shape) > 1 else width
            parts.append(ops.reshape(vector[place : place + length], shape))
            place += length
    return [*parts, ops.reshape(vector[place:], ((vector.shape[0] - place) // width, width))]


@keras.saving.register_keras_serializable(package="tfseg")
class Cut(keras.layers.Layer):
    """x, without a gradient."""

    def call(self, inputs):
        """The same values."""
        return ops.stop_gradient(inputs)

    def compute_output_spec(self, inputs):
        """The same shape."""
        return keras.KerasTensor(inputs.shape, self.compute_dtype)
