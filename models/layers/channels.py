"""Some of the channels of a map."""

import keras


def channels(x, first, end):
    """Channels first..end - 1 of x [B, H, W, C]."""
    return Channels(first, end)(x)


@keras.saving.register_keras_serializable(package="tfseg")
class Channels(keras.layers.Layer):
    """Channels first..end - 1; a slice of a tensor of unknown size has no shape in every version of Keras."""

    def __init__(self, first, end, **kwargs):
        super().__init__(**kwargs)
        self.first, self.end = first, end

    def call(self, inputs):
        """The slice."""
        return inputs[..., self.first : self.end]

    def compute_output_spec(self, inputs):
        """The same height and width."""
        return keras.KerasTensor((*inputs.shape[:-1], self.end - self.first), self.compute_dtype)

    def get_config(self):
        """With the channels."""
        return {**super().get_config(), "first": self.first, "end": self.end}
