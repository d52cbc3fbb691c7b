"""A depthwise convolution with both stride and dilation, which neither Keras nor TensorFlow offers."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tfseg")
class StridedDilatedDepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """Keras' layer and variables, without padding and with one kernel for each channel.

    Every tap of the kernel reads only every stride-th pixel. So we divide the input into stride x stride maps, and each tap
    takes a window of one map. This costs as much as the strided convolution. Computing at stride 1 and dropping pixels would
    cost stride^2 times as much.
    """

    def __init__(self, kernel_size, strides, padding="valid", depth_multiplier=1, **kwargs):
        if padding != "valid" or depth_multiplier != 1:
            raise ValueError(
                f"Expected padding 'valid' and depth_multiplier 1. Received: {padding=}, {depth_multiplier=}. "
                "Pad the input, and leave the stride or the dilation at 1 for more kernels a channel."
            )
        super().__init__(kernel_size, 1, **kwargs)  # Keras refuses other strides with a dilation
        self.strides = tuple(strides)

    def call(self, inputs):
        (stride_y, stride_x), (rate_y, rate_x) = self.strides, self.dilation_rate
        b, h, w = ops.shape(inputs)[:3]
        c = inputs.shape[-1]
        height, width = (self._size(n, axis) for axis, n in enumerate((h, w)))
        x = ops.pad(inputs, ((0, 0), (0, -h % stride_y), (0, -w % stride_x), (0, 0)))
        h, w = ops.shape(x)[1:3]
        rows = ops.unstack(ops.reshape(x, (b, h // stride_y, stride_y, w // stride_x, stride_x * c)), stride_y, axis=2)
        maps = [ops.split(row, stride_x, axis=-1) for row in rows]
        y = 0.0
        for i in range(self.kernel_size[0]):
            for j in range(self.kernel_size[1]):
                (top, row), (left, column) = divmod(i * rate_y, stride_y), divmod(j * rate_x, stride_x)
                window = ops.slice(maps[row][column], (0, top, left, 0), (b, height, width, c))
                y = y + window * self.kernel[i, j, :, 0]
        return y + self.bias if self.use_bias else y

    def _size(self, n, axis):
        """The size of the result for an input of size n."""
        return (n - self.dilation_rate[axis] * (self.kernel_size[axis] - 1) - 1) // self.strides[axis] + 1

    def compute_output_spec(self, inputs):
        b, *sizes, c = inputs.shape
        sizes = [n and self._size(n, axis) for axis, n in enumerate(sizes)]
        return keras.KerasTensor((b, *sizes, c), self.compute_dtype)
