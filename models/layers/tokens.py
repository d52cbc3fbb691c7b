"""Feature maps as rows of tokens, and back, for networks that mix convolutions and attention."""

import keras
from keras import ops

from models.layers.attention import attention


def map_attention(query, key, value, heads, *, bias=None, scale=None):
    """`attention` of every position of one map to all positions of another.

    Args:
      query: [batch, height, width, channels].
      key: [batch, rows, columns, channels].
      value: [batch, rows, columns, value channels].
      heads, bias, scale: as `attention` takes them; positions are numbered row after row.

    Returns:
      [batch, height, width, value channels].
    """
    return as_map(attention(tokens(query), tokens(key), tokens(value), heads, bias=bias, scale=scale), query)


def tokens(x):
    """[batch, height, width, channels] -> [batch, height * width, channels]."""
    return keras.layers.Reshape((-1, x.shape[-1]))(x)


def as_map(x, like, name=None):
    """[batch, height * width, channels] -> [batch, height, width, channels] of the size of the map `like`."""
    return AsMap(name=name)([x, like])


@keras.saving.register_keras_serializable(package="tfseg")
class AsMap(keras.layers.Layer):
    """[tokens, like] -> the tokens as a map with the height and width of like, which may be known only at run time."""

    def __init__(self, **options):
        super().__init__(autocast=False, **options)

    def call(self, inputs):
        """[B, H * W, C], [B, H, W, any] -> [B, H, W, C]."""
        x, like = inputs
        batch, height, width = ops.shape(like)[:3]
        return ops.reshape(x, (batch, height, width, x.shape[-1]))

    def compute_output_spec(self, inputs):
        """As `call` says."""
        x, like = inputs
        return keras.KerasTensor((*like.shape[:3], x.shape[-1]), x.dtype)


def as_maps(x, likes):
    """[batch, tokens, channels] -> maps of the sizes of `likes`, whose pixels follow each other in x, map after map."""
    return AsMaps()([x, *likes])


@keras.saving.register_keras_serializable(package="tfseg")
class AsMaps(keras.layers.Layer):
    """[tokens, *likes] -> the tokens as maps with the heights and widths of likes, which may be known only at run time."""

    def __init__(self, **options):
        super().__init__(autocast=False, **options)

    def call(self, inputs):
        """[B, N, C], [B, H, W, any], .. -> [[B, H, W, C], ..]."""
        (x, *likes), first, maps = inputs, 0, []
        for like in likes:
            batch, height, width = ops.shape(like)[:3]
            part = ops.slice(x, (0, first, 0), (batch, height * width, x.shape[-1]))
            maps.append(ops.reshape(part, (batch, height, width, x.shape[-1])))
            first = first + height * width
        return maps

    def compute_output_spec(self, inputs):
        """As `call` says."""
        x, *likes = inputs
        return [keras.KerasTensor((*like.shape[:3], x.shape[-1]), x.dtype) for like in likes]
