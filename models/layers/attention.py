"""Scaled dot-product attention, which the transformers share.

Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser, Polosukhin, Attention Is All You Need, NeurIPS 2017.
https://arxiv.org/abs/1706.03762
"""

import keras


def attention(query, key, value, heads=1, *, bias=None, scale=None):
    """Equation 1 for each of `heads` equal groups of channels: softmax(scale * query key^T + bias) value.

    The backend's fused kernel runs where Keras has one. The softmax is computed in float32 under every policy.

    Args:
      query: [batch, queries, channels].
      key: [batch, keys, channels].
      value: [batch, keys, value channels].
      heads: a divisor of both numbers of channels.
      bias: added to the scaled products before the softmax, such as a table of relative positions, or large negative values
        where a query must not see a key: [1 or batch, 1 or heads, queries, keys].
      scale: by default 1 / sqrt(channels / heads).

    Returns:
      [batch, queries, value channels].
    """
    split = [keras.layers.Reshape((-1, heads, x.shape[-1] // heads))(x) for x in (query, key, value)]
    return keras.layers.Reshape((-1, value.shape[-1]))(DotProductAttention(scale)(*split, bias))


@keras.saving.register_keras_serializable(package="tfseg")
class DotProductAttention(keras.layers.Layer):
    """`keras.ops.dot_product_attention`, for values with another number of channels too, whose shape that mistakes."""

    def __init__(self, scale=None, **options):
        super().__init__(**options)
        self.scale = scale

    def get_config(self):
        """Its options."""
        return {**super().get_config(), "scale": self.scale}

    def call(self, query, key, value, bias=None):
        """[B, queries, heads, channels], [B, keys, ..], [B, keys, heads, value channels] -> [B, queries, heads, ..]."""
        scale = query.shape[-1] ** -0.5 if self.scale is None else self.scale
        return keras.ops.dot_product_attention(query, key, value, bias=bias, scale=scale)

    def compute_output_spec(self, query, key, value, bias=None):
        """As `call` says."""
        return keras.KerasTensor((*query.shape[:3], value.shape[-1]), self.compute_dtype)

    def multiply_accumulates(self):
        """Of one image: every query with every key, to compare them and to add up the values."""
        (queries, heads, channels), keys, values = (x.shape[1:] for x in self.input[:3])
        return heads * queries * keys[0] * (channels + values[-1])
