"""Multi-scale deformable attention: every query reads a few places of every map, which it chooses itself.

Zhu, Su, Lu, Li, Wang, Dai, Deformable DETR: Deformable Transformers for End-to-End Object Detection, ICLR 2021.
https://arxiv.org/abs/2010.04159
"""

import keras
import numpy as np
from keras import ops

from models.layers.dense import dense
from models.layers.initial_weights import xavier_uniform, zeros

PROJECTION = xavier_uniform(bias=0.0)


def deformable_attention(x, positions, maps, name, heads=8, points=4):
    """Equation 3: each pixel of the maps reads `points` places of every map, for each of `heads` groups of channels.

    Args:
      x: [batch, tokens, channels]: the pixels of all maps, row after row, map after map.
      positions: what is added to x to choose places and weights: [1 or batch, tokens, channels].
      maps: whose sizes count: [batch, height, width, any] each.
      name: the beginning of the layers' names.
      heads: a divisor of the channels.
      points: places of a map for each head.

    Returns:
      [batch, tokens, channels].
    """
    channels, places = x.shape[-1], heads * len(maps) * points
    query = x + positions
    start = {"kernel_initializer": "zeros", "bias_initializer": Directions(heads, len(maps), points)}
    offsets = keras.layers.Dense(2 * places, **start, name=f"{name}.sampling_offsets")(query)
    weights = dense(query, places, f"{name}.attention_weights", initial=zeros)
    values = dense(x, channels, f"{name}.value_proj", initial=PROJECTION)
    read = DeformableSampling(heads, points)([values, offsets, weights, *maps])
    return dense(read, channels, f"{name}.output_proj", initial=PROJECTION)


@keras.saving.register_keras_serializable(package="tfseg")
class Directions(keras.initializers.Initializer):
    """Where sampling starts: each head has a direction, its points are 1, 2, .. pixels away along the longer axis."""

    def __init__(self, heads, maps, points):
        self.heads, self.maps, self.points = heads, maps, points

    def __call__(self, shape, dtype=None):
        """Offsets x, y of every head, map and point."""
        angles = 2 * np.pi / self.heads * np.arange(self.heads)
        directions = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        directions /= np.abs(directions).max(axis=-1, keepdims=True)
        offsets = directions[:, None, None] * np.arange(1, self.points + 1)[:, None]  # [heads, 1, points, 2]
        return ops.convert_to_tensor(np.repeat(offsets, self.maps, axis=1).reshape(shape), dtype)

    def get_config(self):
        """Its arguments."""
        return {"heads": self.heads, "maps": self.maps, "points": self.points}


@keras.saving.register_keras_serializable(package="tfseg")
class DeformableSampling(keras.layers.Layer):
    """[values [B, N, C], offsets [B, N, 2 * heads * maps * points], weights [B, N, heads * maps * points], *maps] -> [B, N, C].

    Offsets, x before y, are in pixels of the map that is read, from the place that the query has in it. The softmax of the
    weights is over maps and points together. Between pixels the values are interpolated bilinearly, and beyond a map's edge
    they are 0. All is computed in float32 under every policy, because bfloat16 does not hold the places of a large map.
    """

    def __init__(self, heads, points, **options):
        super().__init__(autocast=False, **options)
        self.heads, self.points = heads, points

    def call(self, inputs):
        """One gather of the four pixels around all places, and one product with their weights."""
        values, offsets, weights, *maps = inputs
        (b, n), c = ops.shape(values)[:2], values.shape[-1]
        sizes = [ops.shape(x)[1:3] for x in maps]
        offsets = ops.reshape(ops.cast(offsets, "float32"), (b, n, self.heads, len(maps), self.points, 2))
        weights = ops.reshape(ops.cast(weights, "float32"), (b, n, self.heads, len(maps) * self.points))
        weights = ops.reshape(ops.softmax(weights), (b, n, self.heads, len(maps), self.points))
        rows, columns = _places(sizes)
        places, shares, first = [], [], 0
        for i, (h, w) in enumerate(sizes):
            x = columns[:, None, None] * ops.cast(w, "float32") + offsets[:, :, :, i, :, 0] - 0.5
            y = rows[:, None, None] * ops.cast(h, "float32") + offsets[:, :, :, i, :, 1] - 0.5
            for place, share in _corners(x, y, h, w):
                places.append(first + place)
                shares.append(share * weights[:, :, :, i])
            first = first + h * w
        # Of the values as rows of one head each, a row is numbered by image, pixel and head.
        image = ops.reshape(ops.arange(b, dtype="int32") * n, (b, 1, 1, 1))
        rows = (image + ops.concatenate(places, axis=-1)) * self.heads + ops.arange(self.heads, dtype="int32")[:, None]
        flat = ops.reshape(ops.cast(values, "float32"), (b * n * self.heads, c // self.heads))
        read = ops.einsum("bnhp,bnhpc->bnhc", ops.concatenate(shares, axis=-1), ops.take(flat, rows, axis=0))
        return ops.cast(ops.reshape(read, (b, n, c)), self.compute_dtype)

    def compute_output_spec(self, inputs):
        """As above."""
        return keras.KerasTensor(inputs[0].shape, self.compute_dtype)

    def get_config(self):
        """Its options."""
        return {**super().get_config(), "heads": self.heads, "points": self.points}


def _places(sizes):
    """The centres of the pixels of all maps, (rows, columns), each [tokens], as parts of height and width."""
    places = []
    for axis in (0, 1):
        spread = []
        for size in sizes:
            n = size[axis]
            centres = (ops.cast(ops.arange(n), "float32") + 0.5) / ops.cast(n, "float32")
            centres = centres[None] if axis else centres[:, None]
            spread.append(ops.reshape(ops.broadcast_to(centres, size), (-1,)))
        places.append(ops.concatenate(spread))
    return places


def _corners(x, y, h, w):
    """The four pixels around places x, y of a map: [(number, row after row, its share), ..]; beyond the edge it is 0."""
    left, top = ops.floor(x), ops.floor(y)
    corners = []
    for row, of_row in ((top, 1.0 - (y - top)), (top + 1.0, y - top)):
        for column, of_column in ((left, 1.0 - (x - left)), (left + 1.0, x - left)):
            # A place that is not a number stays inside as an integer, so that the loss can tell of it.
            i, j = (ops.clip(ops.cast(k, "int32"), 0, size - 1) for k, size in ((row, h), (column, w)))
            inside = ops.logical_and(ops.equal(ops.cast(i, "float32"), row), ops.equal(ops.cast(j, "float32"), column))
            corners.append((i * w + j, of_row * of_column * ops.cast(inside, "float32")))
    return corners
