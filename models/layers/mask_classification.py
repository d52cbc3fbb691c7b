"""What networks of mask classification share: masks of queries, and the scores of classes that they give the pixels.

Cheng, Schwing, Kirillov, Per-Pixel Classification is Not All You Need for Semantic Segmentation, NeurIPS 2021.
https://arxiv.org/abs/2107.06278
"""

import keras
from keras import ops

HIDDEN = -3e4  # added to the product of a query and a key that it must not see; finite in float16


@keras.saving.register_keras_serializable(package="tfseg")
class MaskLogits(keras.layers.Layer):
    """[queries [batch, n, queries, C], pixels [batch * n, h, w, C]] -> products [batch, n, h, w, queries], of n predictions."""

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    def call(self, inputs):
        queries, pixels = inputs
        b, n, q, c = ops.shape(queries)
        _, h, w, _ = ops.shape(pixels)
        pixels = ops.reshape(pixels, (b, n, h * w, c))
        return ops.reshape(ops.matmul(pixels, ops.transpose(queries, (0, 1, 3, 2))), (b, n, h, w, q))

    def compute_output_spec(self, inputs):
        queries, pixels = inputs
        b, n, q, _ = queries.shape
        return keras.KerasTensor((b, n, *pixels.shape[1:3], q), queries.dtype)

    def multiply_accumulates(self):
        """Of one image: every query with every pixel."""
        queries, pixels = (x.shape for x in self.input)
        return queries[1] * queries[2] * queries[3] * pixels[1] * pixels[2]


@keras.saving.register_keras_serializable(package="tfseg")
class SemanticScores(keras.layers.Layer):
    """Equation 5: of a pixel and a class, the sum over the queries of the class's probability times that of the mask there.

    [logits of classes [batch, n, queries, classes + 1], of masks [batch, n, h, w, queries]] -> [batch, h, w, classes] of the
    last of the n predictions. The last class, no object, is left out. Float32 under every policy; values of 0..queries.
    """

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    def call(self, inputs):
        classes, masks = (ops.cast(x[:, -1], "float32") for x in inputs)
        b, h, w, q = ops.shape(masks)
        probabilities = ops.softmax(classes)[..., :-1]
        scores = ops.matmul(ops.reshape(ops.sigmoid(masks), (b, h * w, q)), probabilities)
        return ops.reshape(scores, (b, h, w, probabilities.shape[-1]))

    def compute_output_spec(self, inputs):
        classes, masks = inputs
        return keras.KerasTensor((masks.shape[0], *masks.shape[2:4], classes.shape[-1] - 1), "float32")

    def multiply_accumulates(self):
        """Of one image: every query with every pixel, for each class."""
        classes, masks = (x.shape for x in self.input)
        return masks[2] * masks[3] * masks[4] * (classes[-1] - 1)


@keras.saving.register_keras_serializable(package="tfseg")
class OutsideMask(keras.layers.Layer):
    """Logits of masks [batch, h, w, queries] -> a bias for `attention`, [batch, 1, queries, h * w], without a gradient.

    Equation 3 of Cheng, Misra, Schwing, Kirillov, Girdhar, CVPR 2022, https://arxiv.org/abs/2112.01527: 0 where the mask has a
    probability of a half or more, elsewhere `HIDDEN`. A query whose mask is empty sees every pixel.
    """

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    def call(self, inputs):
        b, h, w, q = ops.shape(inputs)
        outside = ops.transpose(ops.reshape(ops.less(inputs, 0), (b, h * w, q)), (0, 2, 1))[:, None]
        outside = ops.logical_and(outside, ops.logical_not(ops.all(outside, axis=-1, keepdims=True)))
        return ops.where(outside, ops.cast(HIDDEN, inputs.dtype), ops.cast(0.0, inputs.dtype))

    def compute_output_spec(self, inputs):
        b, h, w, q = inputs.shape
        return keras.KerasTensor((b, 1, q, h and w and h * w), inputs.dtype)
