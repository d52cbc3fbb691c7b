"""Monte Carlo dropout: samples of a network whose dropout stays on, and the uncertainty that they show.

Gal and Ghahramani, ICML 2016, https://arxiv.org/abs/1506.02142. For segmentation: Kendall, Badrinarayanan, Cipolla, Bayesian
SegNet, 2017, https://arxiv.org/abs/1511.02680.
"""

import math

import keras
import tensorflow as tf

from models.layers.residual import StochasticDepth
from tfseg.inference.scores import logarithm, same

KINDS = ("entropy", "mutual_information", "variance")


def dropouts(model: keras.Model) -> list[keras.Layer]:
    """The layers of a network that drop values or channels; leaving out whole residual branches is no dropout.

    Raises:
        ValueError: if there is none.
    """
    found = list(dict.fromkeys(layer for layer in _layers_in(model) if _is_dropout(layer)))
    if not found:
        raise ValueError(
            f"Expected a network with dropout for --monte_carlo. Received: {model.name!r}, which has none. Use one "
            "that has it, such as segnet(dropout=0.5), or leave --monte_carlo out."
        )
    return found


def with_dropout(model: keras.Model, seed: int):
    """Makes `network(images, finish, number)`: the logits of a model with dropout on and all else in inference mode.

    No variable is read or written for random numbers, so the state of training stays as it is.

    Args:
        model: a functional model with an output "logits".
        seed: 0 or more. Layers, and numbers of samples, have different masks.

    Raises:
        ValueError: if the model has no dropout, or has it in one layer with batch norm.
    """
    generators = [layer.seed_generator.state for layer in dropouts(model)]

    def call(layer, *args, **kwargs):
        # Keras keeps this `training` where the whole model is called without one.
        return layer(*args, **(kwargs | {"training": True} if _drops(layer) else kwargs))

    dropping = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call, recursive=True)

    def network(images, finish=same, number=0):
        # A layer that is used several times adds 1 for each: a sample has room for 65,536 of them.
        draw = tf.cast(number, tf.int64) * 2**16
        first = [(seed * 65_537 + i) % 2**31 for i in range(len(generators))]
        states = [tf.stack([tf.constant(one, tf.int64), draw]) for one in first]
        with keras.StatelessScope(state_mapping=list(zip(generators, states, strict=True))):
            logits = dropping(images)["logits"]
        return finish(logits)

    return network


def statistics(sample, samples: int, shape):
    """The mean of samples and their uncertainty, from running sums.

    Args:
        sample: number of a sample, int32 [], to its scores, float32 of `shape`.
        samples: how many.
        shape: int32 [4], batch, height, width and classes.

    Returns:
        (scores, the logarithm of the mean probabilities, of `shape`; the uncertainty of each pixel, by name, [batch, height,
        width]). `entropy` is that of the mean probabilities, in nats, 0..ln(classes). `mutual_information` is that entropy
        minus the mean entropy of the samples, in nats, 0..ln(classes): what the samples disagree about, without what each of
        them is undecided about. `variance` is that of the samples' probabilities (divided by their number), the mean over the
        classes, 0..(1 - 1 / classes) / classes.
    """

    def add(number, total, squares, entropies):
        p = tf.nn.softmax(sample(number))
        new = total + p, squares + tf.reduce_sum(tf.square(p), -1), entropies + _entropy(p)
        before = total, squares, entropies
        return number + 1, *(tf.ensure_shape(n, b.shape) for n, b in zip(new, before, strict=True))

    # A loop, so that the graph holds the network once; one sample at a time, since its activations are what fills the memory.
    start = 0, tf.zeros(shape), tf.zeros(shape[:3]), tf.zeros(shape[:3])
    _, total, squares, entropies = tf.while_loop(lambda i, *_: i < samples, add, start, parallel_iterations=1)
    mean = total / samples
    entropy = _entropy(mean)
    variance = (squares / samples - tf.reduce_sum(tf.square(mean), -1)) / tf.cast(shape[3], tf.float32)
    # Rounding may leave a little less than 0.
    disagreement = tf.maximum(entropy - entropies / samples, 0)
    return logarithm(mean), {
        "entropy": entropy,
        "mutual_information": disagreement,
        "variance": tf.maximum(variance, 0),
    }


def largest(num_classes: int) -> dict[str, float]:
    """The largest value that each kind of uncertainty can have."""
    nats = math.log(num_classes)
    return {"entropy": nats, "mutual_information": nats, "variance": (1 - 1 / num_classes) / num_classes}


def scale(num_classes: int) -> dict[str, float]:
    """What pictures show as their brightest value: larger ones are rare.

    For entropy that is its largest value; for the others that of certain samples of which one half says one class and the
    other half another: ln 2, and two classes of variance 1/4.
    """
    return {
        "entropy": math.log(max(num_classes, 2)),
        "mutual_information": math.log(2),
        "variance": 0.5 / num_classes,
    }


def _entropy(p):
    return -tf.reduce_sum(p * logarithm(p), -1)


def _is_dropout(layer):
    kinds = (keras.layers.Dropout, keras.layers.GaussianDropout, keras.layers.AlphaDropout)
    return isinstance(layer, kinds) and not isinstance(layer, StochasticDepth) and layer.rate > 0


def _drops(layer):
    """Whether a layer of the graph is dropout, or has it inside as attention does; an inner network is a graph of its own."""
    if not isinstance(layer, keras.Layer) or (
        isinstance(layer, keras.Model) and not isinstance(layer, keras.Sequential)
    ):
        return False
    inside = _layers_in(layer)
    if not any(map(_is_dropout, inside)):
        return False
    if any(isinstance(one, keras.layers.BatchNormalization) for one in inside):
        raise ValueError(
            f"Expected dropout and batch norm in layers of their own for --monte_carlo. Received: {layer.name!r}, a layer "
            "with both, of which only one may be in training mode. Build the network from the layers inside it."
        )
    return True


def _layers_in(layer):
    return list(layer._flatten_layers(include_self=True, recursive=True))
