"""Computes the scores of images: whole | sliding window | multi-scale and flip | CRF or guided filter, and Monte Carlo samples.

    scores = build("sliding_window(size=(512, 1024)) | multi_scale(scales=(0.75, 1.0, 1.25))", model)
    prediction = tf.argmax(scores(images), -1)

Scores are always logits, float32 [batch, height, width, classes] at the size of the images: their argmax is the prediction and
their softmax the probabilities. `whole` returns the logits of the network. The others average probabilities and return the
logarithm of the average, whose softmax is the average again.

The first name of a chain is the innermost: `sliding_window(..) | multi_scale(..)` uses windows on each of the scaled images.

`scores(images, finish)` applies `finish`, a function of the last axis such as the argmax, to the scores. If the chain ends with
a sliding window, it is applied piece by piece, so that the scores of the whole image are never in memory.

`whole | crf(..)` and `whole | guided_filter(..)` refine the scores by the colours of the image, `whole | affinity(..)` by the
network's output `features`; before a sliding window they would see one window at a time.

`build_sampled` repeats this with dropout switched on, and returns the mean and the uncertainty of the samples.

`build_all` gives other outputs of the network too.
"""

import functools
import inspect

import tensorflow as tf

from tfseg import spec as specs
from tfseg.inference import monte_carlo
from tfseg.inference.affinity import affinity
from tfseg.inference.crf import crf
from tfseg.inference.guided_filter import guided_filter
from tfseg.inference.multi_scale import multi_scale
from tfseg.inference.scores import same
from tfseg.inference.sliding_window import sliding_window

__all__ = [
    "affinity",
    "build",
    "build_all",
    "build_sampled",
    "crf",
    "guided_filter",
    "multi_scale",
    "sliding_window",
    "whole",
]


def whole(predict, num_classes):
    """Computes the scores of the whole image at once."""
    return predict


WAYS = {function.__name__: function for function in (whole, sliding_window, multi_scale, crf, affinity, guided_filter)}
AFTER_SAMPLES = (
    "crf",
    "affinity",
    "guided_filter",
)  # at the end of a chain these change the mean of the samples, not each sample


def build(spec: str, model):
    """Builds the function from images to scores that a spec names.

    Args:
        spec: chain of `whole`, `sliding_window(size, overlap)`, `multi_scale(scales, flip)`, `crf(steps, bilateral,
            gaussian)`, `affinity(radius, tau, steps)` and `guided_filter(radius, eps)`.
        model: a `keras.Model` with an output "logits" [batch, height, width, classes] at its input's size; run in
            inference mode.

    Returns:
        A function of images, RGB 0..255, uint8 or float [batch, height, width, 3], whose sizes may be known only at run
        time, to scores, float32 [batch, height, width, classes]. It runs eagerly and inside tf.function. With a second
        argument, `finish`, it returns that function of the scores: [..., classes] to [...] or [..., n].

    Raises:
        ValueError: for an unknown name, or an option that is wrong.
    """

    def predict(images, finish=same):
        return finish(model(images, training=False)["logits"])

    # AutoGraph would read the source of every layer, which takes seconds.
    return tf.autograph.experimental.do_not_convert(_chain(_parse(spec), predict, model))


def build_sampled(spec: str, model, samples: int, seed: int = 0):
    """Builds the function from images to scores and uncertainty, by Monte Carlo dropout.

    The chain is computed `samples` times with dropout on and everything else, batch norm above all, in inference mode. The
    scores are the logarithm of the mean probabilities. A filter at the end of the chain changes that mean, not each sample.
    Only sums are kept, so that memory does not grow with the number of samples. The masks of dropout are a function of `seed`,
    the number of the sample, the layer and the place in the batch: an image has the same result whatever was computed before
    it.

    Args:
        spec: as in `build`.
        model: as in `build`, with dropout.
        samples: 1 or more.
        seed: 0 or more.

    Returns:
        A function of images, as in `build`, to (scores, {"entropy", "mutual_information", "variance"}: float32 [batch, height,
        width] each; see `monte_carlo.statistics`).

    Raises:
        ValueError: for an unknown name, an option that is wrong, or a network without dropout.
    """
    network, num_classes = monte_carlo.with_dropout(model, seed), model.output["logits"].shape[-1]
    calls, after = _parse(spec), []
    while calls and calls[-1].name in AFTER_SAMPLES:
        after.insert(0, calls.pop())
    _chain([*calls, *after], network, model)  # reports wrong options now, not at the first image

    @tf.autograph.experimental.do_not_convert
    def scores(images):
        images = tf.convert_to_tensor(images)

        def sample(number):
            return _chain(calls, functools.partial(network, number=number), model)(images)

        shape = tf.concat([tf.shape(images)[:3], [num_classes]], 0)
        mean, uncertainty = monte_carlo.statistics(sample, samples, shape)
        return _chain(after, lambda _, finish=same: finish(mean), model)(images), uncertainty

    return scores


def build_all(spec: str, model, names=(), *, samples: int = 0, seed: int = 0):
    """Builds the function from images to scores, uncertainty and other outputs of the network.

    The other outputs are those of one pass over the whole image, without dropout. With the chain `whole` and without samples
    the scores come from the same pass.

    Args:
        spec: as in `build`.
        model: as in `build`.
        names: of its other outputs.
        samples, seed: as in `build_sampled`; 0 samples: no dropout.

    Returns:
        A function of images and, if wanted, `finish`, as in `build`, to (scores, uncertainty, {name: output}). Without samples
        the uncertainty is {}.

    Raises:
        ValueError: for an unknown name, an option that is wrong, or samples of a network without dropout.
    """
    scores = build(spec, model)
    sampled = build_sampled(spec, model, samples, seed) if samples else None
    one_pass = bool(names) and not samples and all(call.name == "whole" for call in _parse(spec))

    def compute(images, finish=same):
        found = model(images, training=False) if names else {}
        others = {name: found[name] for name in names}
        if samples:
            mean, uncertainty = sampled(images)
            return finish(mean), uncertainty, others
        return finish(found["logits"]) if one_pass else scores(images, finish), {}, others

    return compute


def _parse(spec):
    calls = specs.parse_chain(spec)
    for call in calls:
        specs.choose(WAYS, call.name, "one of these, or a chain of them", spec)
    return calls


def _chain(calls, predict, model):
    for call in calls:
        way, given = WAYS[call.name], [predict, model.output["logits"].shape[-1]]
        if "features" in inspect.signature(way).parameters:
            if "features" not in model.output:
                raise ValueError(
                    f"Expected a network with an output `features` for {call.name}. Received: one with "
                    f"{', '.join(model.output)}. Take one such as peak_response(features='c3'), or leave {call.name} out."
                )
            given.append(lambda images: model(images, training=False)["features"])
        predict = specs.apply(way, call, *given)
    return predict
