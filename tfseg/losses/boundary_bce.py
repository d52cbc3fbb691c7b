"""Binary cross entropy of a boundary head, balanced between boundary and rest."""

import tensorflow as tf

from tfseg.losses import _edges


def boundary_bce(boundary, label, *, width=4):
    """PIDNet's loss l1 of its boundary head (Xu et al., CVPR 2023, https://arxiv.org/abs/2206.02066, section 4.4).

    With z a pixel's logit, t whether the label has an edge there, and n+ and n- the valid pixels of the image with and without
    an edge, n their sum, an image with a valid pixel adds

        1 / n  (n- / n sum_{t=1} log(1 + exp(-z))  +  n+ / n sum_{t=0} log(1 + exp(z)))    to the sum,    1    to the count.

    An edge is a valid pixel with a valid pixel of another class above, below, left or right of it, and every pixel that is
    width / 2 - 1 or less away from one along both axes, so that the band is `width` pixels wide. Ignored pixels and the
    crop's border make no edge. The authors take the line that Canny's detector finds in the label, dilated by 4x4, which is
    a band of the same width (intersection over union 0.87 for 20 labels of CamVid). They count n+ and n- over the batch of
    a GPU; here each image counts its own, so that the number of replicas changes nothing. Their factor is 20: `--loss="...
    + 20*boundary_bce"`.

    Args:
        boundary: float [batch, height, width, 1] of any precision, -inf..inf; computed in float32. What is under ignored
            pixels, even NaN, changes neither the value nor the gradient.
        label: integer [batch, height, width], train ids or IGNORE.
        width: of the band of edges in pixels, even and 2 or more.

    Returns:
        (sum, count), float32 scalars; (0, 0) with a gradient of 0 where no pixel is valid. An image without an edge adds 0.

    Raises:
        ValueError: where shapes disagree or the width is not even.
    """
    if width < 2 or width % 2:
        raise ValueError(f"Expected an even width of 2 or more pixels. Received: {width}.")
    logits, valid = _edges.logits(boundary, label)
    edges = tf.cast(_edges.edges(label), tf.float32)[..., None]
    band = tf.nn.max_pool2d(edges, width - 1, 1, "SAME")[..., 0]
    positive = tf.where(valid, band, 0.0)
    negative = tf.where(valid, 1.0 - band, 0.0)
    loss = tf.nn.sigmoid_cross_entropy_with_logits(positive, logits)
    of_image = (1, 2)
    p, n = tf.reduce_sum(positive, of_image), tf.reduce_sum(negative, of_image)
    total = n * tf.reduce_sum(positive * loss, of_image) + p * tf.reduce_sum(negative * loss, of_image)
    return tf.reduce_sum(tf.math.divide_no_nan(total, (p + n) ** 2)), tf.reduce_sum(tf.cast(p + n > 0, tf.float32))
