"""UOLO: a U-Net that segments and detects.

Araújo, Aresta, Galdran, Costa, Mendonça, Campilho, UOLO: Automatic Object Detection and Segmentation in Biomedical Images,
DLMIA 2018. https://arxiv.org/abs/1810.05729. The boxes are those of Redmon and Farhadi, YOLO9000, CVPR 2017.
https://arxiv.org/abs/1612.08242

The deepest map of the U-Net and the last one of its decoder, max-pooled to the same size, are concatenated; convolutions lead
from there to the boxes. So boxes and masks train the whole U-Net. There is no public code: the U-Net is that of unet.py, and
the two 3x3 convolutions of the head are our choice. `detection` is [B, rows, columns, anchors, 5 + classes]: x and y in the
cell, width and height as shares of the image, confidence, and a probability for each class.
"""

import keras
from keras import ops

from models import layers, unet

# 12 classes by hand: the U-Net of half the usual width, 7,763,107 with 3 classes, and 33 for each more; the head's 3x3
# kernels with their norms, 9 x 544 x 256 + 9 x 256 x 256 + 2 x 512, and 257 for each of 2 x (5 + classes) channels.
REFERENCE = {
    "params": {"uolo": {12: 7_763_404 + 1_844_224 + 34 * 257, 19: 7_763_404 + 7 * 33 + 1_844_224 + 48 * 257}},
    "source": "by hand, from the layers; the paper's authors published no code",
}


def build(inputs, num_classes, *, width=32, depth=4, anchors=((1.0, 1.0), (2.0, 2.0)), classes=0):
    """`width` channels at full resolution, which double with each of `depth` steps down, as the sides of a cell do.

    `anchors` are the (width, height) in cells that boxes start from. `classes` is the number of classes of the boxes: 0 for
    that of the masks.
    """
    pairs = [tuple(pair) for pair in anchors if len(pair) == 2 and min(pair) > 0]
    if not (width >= 1 and depth >= 1 and classes >= 0 and pairs and len(pairs) == len(anchors)):
        raise ValueError(
            "Expected uolo(width=1.., depth=1.., anchors=((width, height), ..) above 0, classes=0..). Received: "
            f"{width=}, {depth=}, {anchors=}, {classes=}."
        )
    maps = [unet.double_conv(inputs, "inc", width)]
    for step in range(1, depth + 1):
        maps.append(unet.down(maps[-1], f"down{step}", width * 2**step))
    x = maps[-1]
    for step in range(1, depth + 1):
        x = unet.up(x, maps[-1 - step], f"up{step}", width * 2 ** (depth - step), bilinear=False)
    logits = layers.conv(x, num_classes, 1, "outc.conv")
    cells = keras.layers.Concatenate()([maps[-1], layers.max_pool(x, 2**depth)])
    for step in range(2):
        cells = layers.conv_norm(cells, 8 * width, 3, f"detect.{step}")
    cells = layers.conv(cells, len(pairs) * (5 + (classes or num_classes)), 1, "detect.out")
    return {"logits": logits, "detection": AnchorBoxes(pairs, name="anchor_boxes")(cells)}


@keras.saving.register_keras_serializable(package="tfseg")
class AnchorBoxes(keras.layers.Layer):
    """The channels of each cell [B, rows, columns, anchors (5 + classes)] as boxes [B, rows, columns, anchors, 5 + classes].

    YOLO9000, section 2: x and y are sigmoids, width and height are the anchor's times an exponential, the confidence is a
    sigmoid, and the classes of each box are a softmax. All is computed in float32.
    """

    def __init__(self, anchors, dtype="float32", **kwargs):
        super().__init__(dtype=dtype, **kwargs)
        self.anchors = [tuple(pair) for pair in anchors]

    def call(self, inputs):
        """The boxes."""
        _, rows, columns, channels = ops.shape(inputs)
        count, kind = len(self.anchors), self.compute_dtype
        x = ops.reshape(inputs, (-1, rows, columns, count, channels // count))
        grid = ops.stack([ops.cast(columns, kind), ops.cast(rows, kind)])
        sides = ops.exp(x[..., 2:4]) * ops.convert_to_tensor(self.anchors, kind) / grid
        parts = [ops.sigmoid(x[..., :2]), sides, ops.sigmoid(x[..., 4:5]), ops.softmax(x[..., 5:])]
        return ops.concatenate(parts, axis=-1)

    def compute_output_spec(self, inputs):
        """One more axis."""
        *cells, channels = inputs.shape
        return keras.KerasTensor((*cells, len(self.anchors), channels // len(self.anchors)), self.compute_dtype)

    def get_config(self):
        """With the anchors."""
        return {**super().get_config(), "anchors": self.anchors}
