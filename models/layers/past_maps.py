"""Past label maps in place of a picture: from the pixels that hold their ids to one-hot maps."""

import keras
from keras import ops

PICTURE = 3  # channels of a window that is packed into a picture


def past_maps(x, steps, num_classes):
    """One-hot maps of the `steps` label maps of a window, the oldest first, [B, H, W, steps * num_classes].

    A pixel whose id is no class, such as one without a label, is 0 in all maps of its step. What x [B, H, W, C] holds is said
    by its channels:

    - C = 3: a window packed into an RGB picture, as data sets of sequences give it (input_pipeline/windows.py). The value
      R + 256 G + 65536 B of a pixel has `bits(steps)` bits for each step, the lowest for the oldest; all ones are no label.
    - C = steps: the ids themselves. For 3 steps both are the same.
    - C = steps * num_classes: maps as they are returned, one-hot or soft. They are passed on.
    """
    channels, most = x.shape[-1], 2 ** bits(steps) - 1
    if channels == PICTURE and num_classes > most:
        raise ValueError(
            f"Expected at most {most} classes, as {steps} label maps in a picture have {bits(steps)} bits each. Received: "
            f"{num_classes=}, {steps=}. Take fewer steps, or give the ids of the maps as {steps} channels."
        )
    if channels in (PICTURE, steps):
        return PastMaps(steps, num_classes)(x)
    if channels == steps * num_classes:
        return x
    raise ValueError(
        f"Expected an input of {PICTURE} channels (a window packed into a picture), {steps} (ids of label maps) or "
        f"{steps * num_classes} (one-hot maps). Received: {channels}, with {steps=}, {num_classes=}."
    )


def bits(steps):
    """The bits of a pixel's 24 that each of the label maps has, up to 8; see `past_maps`."""
    if not isinstance(steps, int) or isinstance(steps, bool) or not 1 <= steps <= 24:
        raise ValueError(f"Expected steps, the number of past label maps, of 1 to 24. Received: {steps=}.")
    return min(8, 24 // steps)


@keras.saving.register_keras_serializable(package="tfseg")
class PastMaps(keras.layers.Layer):
    """A packed picture, or `steps` channels of ids, to one-hot maps; see `past_maps`."""

    def __init__(self, steps, num_classes, **kwargs):
        super().__init__(autocast=False, **kwargs)  # ids and packed values are exact in float32 only
        self.steps, self.num_classes = steps, num_classes

    def call(self, inputs):
        """Packed values are below 2^24, so that float32 divides them by powers of two without rounding."""
        x = ops.cast(inputs, "float32")
        packed = inputs.shape[-1] == PICTURE
        value = x[..., 0] + 256.0 * x[..., 1] + 65536.0 * x[..., 2] if packed else None
        base, classes = 2.0 ** bits(self.steps), ops.arange(self.num_classes, dtype="float32")
        maps = []
        for step in range(self.steps):
            if packed:
                rest = ops.floor(value / base)
                ids, value = value - base * rest, rest
            else:
                ids = x[..., step]
            maps.append(ops.cast(ops.equal(ids[..., None], classes), self.compute_dtype))
        return ops.concatenate(maps, axis=-1)

    def compute_output_spec(self, inputs):
        """The same height and width."""
        return keras.KerasTensor((*inputs.shape[:-1], self.steps * self.num_classes), self.compute_dtype)

    def get_config(self):
        """With the numbers of steps and classes."""
        return {**super().get_config(), "steps": self.steps, "num_classes": self.num_classes}
