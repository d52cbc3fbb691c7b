"""Batch normalisation whose statistics are those of the whole global batch, and the affine that feeds a network."""

import keras
from keras import ops

from models.layers.initial_weights import current_rule

# The fused kernel is 3.4 times faster in training than Keras' moments and multiply-adds, 1.19 times on a whole ERFNet
# step on a CPU; on other backends, and over several replicas, the same numbers come from keras.ops.
if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    _FUSED_TYPES = (tf.float32, tf.bfloat16, tf.float16)  # of the kernel
else:
    tf = None


def batch_norm(x, name, epsilon=1e-5, momentum=0.9, scale=True, center=True, start=1.0):
    """Batch normalisation. The defaults are PyTorch's, whose momentum 0.1 is Keras' 0.9.

    It starts as the identity, except for the shift of the enclosing `initial_weights` and for the scale `start`.
    """
    return BatchNormalization(
        momentum=momentum,
        epsilon=epsilon,
        scale=scale,
        center=center,
        beta_initializer=keras.initializers.Constant(current_rule().shift),
        gamma_initializer=keras.initializers.Constant(start),
        name=name,
    )(x)


@keras.saving.register_keras_serializable(package="tfseg")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' layer and variables. Training uses the fused kernel on one TensorFlow replica and synchronises several.

    N replicas compute the same as one replica on the whole batch. The running variance is the unbiased one (n / (n - 1),
    Bessel), as in PyTorch and TensorFlow's fused kernel. Keras keeps the biased one. So a schedule that is copied from a
    reference gets the reference's statistics. The batch itself is normalised by the biased variance.
    If `across_replicas` is set to False, each replica normalises by its own images, and the moving statistics follow the
    mean over the replicas.
    """

    across_replicas = True

    def call(self, inputs, training=None, mask=None):
        if mask is not None:
            raise ValueError(f"Expected no mask: images have none. Received: mask={mask} in layer {self.name!r}.")
        if not (training and self.trainable):  # a frozen layer keeps its statistics
            return super().call(inputs)
        alone = tf is not None and (_replicas() == 1 or not self.across_replicas)
        if alone and len(inputs.shape) == 4 and inputs.dtype in _FUSED_TYPES:
            outputs, mean, variance = self._fused(inputs)
            mean, variance = self._mean_of_replicas(mean, variance)
        else:
            outputs, mean, variance = self._synchronized(inputs)
        self._move(mean, variance)
        return outputs

    def _mean_of_replicas(self, *statistics):
        return (_all_reduce(s) / _replicas() for s in statistics)

    def _move(self, mean, variance):
        """Updates the moving statistics with those of a batch."""
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + ops.stop_gradient(batch) * (1.0 - self.momentum))

    def _parameters(self):
        channels = self.moving_mean.shape
        gamma = ops.convert_to_tensor(self.gamma) if self.scale else ops.ones(channels, self.moving_mean.dtype)
        beta = ops.convert_to_tensor(self.beta) if self.center else ops.zeros(channels, self.moving_mean.dtype)
        return gamma, beta

    def _fused(self, inputs):
        gamma, beta = self._parameters()  # float32 under every policy; the kernel also takes half-precision inputs
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=gamma,
            offset=beta,
            mean=tf.zeros([0]),
            variance=tf.zeros([0]),
            epsilon=self.epsilon,
            exponential_avg_factor=1.0,
            is_training=True,
        )
        return outputs, mean, variance

    def _synchronized(self, inputs, region=None):
        """If a `region` ([.., 1], 1 inside and 0 outside) is given, only its pixels count."""
        gamma, beta = self._parameters()
        x = ops.cast(inputs, gamma.dtype)
        axes = tuple(range(len(x.shape) - 1))

        def total(x):
            return ops.sum(x if region is None else ops.where(region > 0, x, 0.0), axes)

        reduce = _all_reduce if region is None or self.across_replicas else (lambda x: x)
        count = ops.prod(ops.shape(x)[:-1]) if region is None else ops.sum(ops.cast(region, x.dtype))
        # The counts are summed too, because replicas may have shares of the batch of different sizes.
        sums = reduce(ops.concatenate([total(x), ops.reshape(ops.cast(count, x.dtype), (1,))]))
        pixels, count = sums[-1], ops.maximum(sums[-1], 1.0)
        mean = sums[:-1] / count
        # The variance takes a second pass, because E[x^2] - E[x]^2 cancels if the mean is large.
        squares = reduce(total(ops.square(x - mean)))
        outputs = (x - mean) * (ops.rsqrt(squares / count + self.epsilon) * gamma) + beta
        variance = squares / ops.maximum(count - 1.0, 1.0)
        if region is not None:  # an empty region does not change the moving statistics
            mean = ops.where(pixels > 0, mean, ops.convert_to_tensor(self.moving_mean))
            variance = ops.where(pixels > 0, variance, ops.convert_to_tensor(self.moving_variance))
        return ops.cast(outputs, self.compute_dtype), mean, variance


def _replicas():
    return tf.distribute.get_strategy().num_replicas_in_sync


def _all_reduce(x):
    """The sum over all replicas, through which gradients flow: the gradient of an all-sum is an all-sum.

    It is placed between stop_gradients, because `all_reduce` searches the graph behind it for variables, in the networks of
    all other replicas. This took minutes in a network with 80 norms.
    """
    if tf is None or _replicas() == 1:
        return x

    def reduce(x):
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.stop_gradient(x))

    return tf.custom_gradient(lambda x: (reduce(x), reduce))(x)


@keras.saving.register_keras_serializable(package="tfseg")
class Affine(keras.layers.Layer):
    """(pixels - mean) / std per channel; if `order` is "bgr", the first three are reversed before. Integers become floats."""

    def __init__(self, mean, std, order="rgb", **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.mean, self.std, self.order = tuple(mean), tuple(std), order

    def call(self, inputs):
        # Always in float32, because a resized pixel needs more than the 8 bits of bfloat16.
        x = ops.cast(inputs, "float32")
        if self.order == "bgr":
            rest = x[..., 3:]  # of a network that sees more than an image
            x = ops.flip(x[..., :3], axis=-1)
            x = ops.concatenate([x, rest], axis=-1) if rest.shape[-1] else x
        x = (x - ops.array(self.mean, "float32")) / ops.array(self.std, "float32")
        return ops.cast(x, self.compute_dtype)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape, self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "mean": self.mean, "std": self.std, "order": self.order}
