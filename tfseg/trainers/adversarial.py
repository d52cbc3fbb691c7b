"""AdvSemiSeg: a second network, the discriminator, learns to tell predictions from labels, and the first learns to deceive it.

Hung et al., Adversarial Learning for Semi-supervised Semantic Segmentation, BMVC 2018. https://arxiv.org/abs/1802.07934
Settings are those of the authors' code (hfslyc/AdvSemiSeg, train.py) and of its README. Where the code and the paper disagree:
both terms of the discriminator count half, as in the code. If no pixel is confident, the code also drops the adversarial term
of the unlabelled images; here it stays, as in the paper.
"""

from typing import NamedTuple

import keras
import tensorflow as tf

from input_pipeline import IGNORE, pipeline
from input_pipeline.labelled import UNLABELLED
from models import layers
from models.layers.discriminator import SMALLEST
from tfseg import assembly, gradients, losses, optimizers, train
from tfseg.losses.cross_entropy import cross_entropy

REAL = "real"  # the stream whose labels the discriminator sees


def adversarial(
    config,
    strategy,
    folder,
    output,
    *,
    labelled=0.01,
    unlabelled=0.001,
    semi=0.1,
    threshold=0.2,
    start=0.25,
    learning_rate=1e-4,
    width=64,
):
    """Trains a network together with a discriminator (equations 2 to 6 of the paper).

    Each step adds to the loss of --loss on labelled images, whose predictions are p:

        labelled * BCE(D(p), 1)       over the valid pixels of the labelled images
        unlabelled * BCE(D(p), 1)     over the pixels of the unlabelled images
        semi * CE(p, argmax p)        over their pixels with sigmoid(D(p)) >= threshold, after `start` of the training

    D learns from BCE(D(p), 0) / 2 + BCE(D(one-hot label), 1) / 2, by Adam with a polynomial schedule. Its labels are a third
    stream: the labelled examples in another order. With all three weights 0 the network trains as without it.

    Args:
        config, strategy, folder, output: see `trainers/__init__.py`.
        labelled: 0 or more.
        unlabelled: 0 or more.
        semi: 0 or more.
        threshold: 0..1.
        start: share of the training, 0..1.
        learning_rate: of the discriminator, more than 0.
        width: channels of its first convolution, 1 or more.
    """
    weights = {"labelled": float(labelled), "unlabelled": float(unlabelled), "semi": float(semi)}
    weights = {f"adversarial/{name}": weight for name, weight in weights.items()}
    _check(config, weights.values(), (threshold, start), (learning_rate, width))
    others = bool(unlabelled or semi)
    parts = assembly.build(config, strategy, folder, output, unlabelled=others)
    with strategy.scope():
        discriminator = build_discriminator(parts.model.output["logits"].shape[-1], width)
        schedule = optimizers.Schedule("poly(power=0.9)", learning_rate, parts.total_steps)
        critic = optimizers.build("adam(beta_1=0.9, beta_2=0.99)", schedule, discriminator)
    state, values = assembly.resume(parts, discriminator=discriminator, discriminator_optimizer=critic)
    factors, of_outputs = losses.of_network(parts.terms, parts.model)
    variables, semi_from = parts.model.trainable_variables, round(start * parts.total_steps)

    def replica_gradients(batch):
        batch = parts.finish(batch)
        loss_scale = 1.0 if parts.scale is None else parts.scale.value
        now = {**weights, "adversarial/semi": tf.where(parts.optimizer.iterations >= semi_from, float(semi), 0.0)}
        with tf.GradientTape(persistent=True) as tape:
            outputs = parts.forward(batch["image"])
            seen = [see(discriminator, outputs["logits"], batch["label"])]
            if others:
                more = pipeline.of_stream(batch, UNLABELLED)
                seen.append(see(discriminator, parts.forward(more["image"])["logits"], more["label"]))
            # A term that weighs nothing is left out, so that the gradient is to the bit what it is without it.
            pairs = {name: pair for name, pair in deceiving(seen, threshold).items() if weights[name]}
            terms = gradients.weighted(of_outputs(outputs, batch) | pairs, factors | now)
            loss = loss_scale * tf.add_n(list(terms.values()))
            told, shares = telling(discriminator, seen, batch[f"{REAL}/label"], threshold)
            told = gradients.weighted(told, dict.fromkeys(told, 0.5))
            critic_loss = tf.add_n(list(told.values()))
        own = gradients.of(tape, loss, variables)
        of_critic = gradients.of(tape, critic_loss, discriminator.trainable_variables)
        own, norms = gradients.over_replicas(own, variables, config.clip_norm, parts.scale)
        of_critic = tf.distribute.get_replica_context().all_reduce("SUM", of_critic)
        numbers = {**norms, **terms, **told, **gradients.means(shares)}
        return (own, of_critic), {"loss": tf.add_n(list(terms.values())), **numbers}

    def apply(both):
        parts.optimizer.apply(both[0])
        critic.apply(both[1])

    def stream(context):
        real = parts.stream(context, state.step, stream=2, augment_device="host")  # complete with their labels
        streams = {REAL: real.map(lambda batch: {"label": batch["label"], "id": batch["id"]})}
        if others:
            streams[UNLABELLED] = parts.unlabelled(context, state.step)
        return pipeline.beside(parts.stream(context, state.step), **streams)

    return train.loop(parts, state, values, train.step_of(parts, replica_gradients, apply), stream)


def build_discriminator(classes: int, width: int = 64) -> keras.Model:
    """The network from probabilities [batch, height, width, classes] to a score of each pixel [batch, height, width, 1].

    The scores of 1/32 of the resolution are interpolated with the corners aligned. It computes in float32.
    """
    inputs = keras.Input((None, None, classes), dtype="float32", name="probabilities")
    scores = layers.resize(layers.discriminator(inputs, width), like=inputs, align_corners=True, name="scores")
    return keras.Model(inputs, scores, name="discriminator")


class Seen(NamedTuple):
    """The predictions for a batch and what the discriminator says of them, each [batch, height, width, ...]."""

    logits: tf.Tensor  # float32 [.., classes]
    scores: tf.Tensor  # float32; 0 or more: taken for a label
    valid: tf.Tensor  # bool; whether the pixel counts


def see(discriminator: keras.Model, logits: tf.Tensor, label: tf.Tensor) -> Seen:
    """Shows predictions to the discriminator. A pixel counts where `label` [batch, height, width] is not IGNORE."""
    logits, label = losses.at_one_size(logits, label, "label")
    return Seen(logits, _scores(discriminator, tf.nn.softmax(logits)), label != IGNORE)


def deceiving(seen: list[Seen], threshold: float) -> dict[str, tuple]:
    """The terms of the network that predicts: {"adversarial/labelled": (sum, count), ..}.

    Args:
        seen: the predictions for labelled images, and for unlabelled ones if there are any.
        threshold: probability, 0..1, from which on the prediction for an unlabelled pixel is its label.
    """
    names = ("adversarial/labelled", "adversarial/unlabelled")
    pairs = {name: _cross_entropy(1.0, one.scores, one.valid) for name, one in zip(names, seen, strict=False)}
    if seen[1:]:
        label = tf.where(_confident(seen[1], threshold), tf.argmax(seen[1].logits, -1, tf.int32), IGNORE)
        pairs["adversarial/semi"] = cross_entropy(seen[1].logits, label)
    return pairs


def telling(discriminator: keras.Model, seen: list[Seen], label: tf.Tensor, threshold: float) -> tuple[dict, dict]:
    """The terms of the discriminator: {"discriminator/predictions": (sum, count), ..}; and shares of pixels for the log.

    The shares are those of predictions and of labels that it takes for what they are, and of unlabelled pixels whose prediction
    is trusted. The one-hot map of a label is 0 in all classes where a pixel is ignored; these pixels do not count.
    """
    classes, valid = seen[0].logits.shape[-1], label != IGNORE
    scores = _scores(discriminator, tf.one_hot(tf.cast(label, tf.int32), classes))
    found = [_cross_entropy(0.0, one.scores, one.valid) for one in seen]
    pairs = {
        "discriminator/predictions": tuple(tf.add_n(list(values)) for values in zip(*found, strict=True)),
        "discriminator/labels": _cross_entropy(1.0, scores, valid),
    }
    recognised = [_count((one.scores < 0) & one.valid, one.valid) for one in seen]
    shares = {
        "recognised_predictions": tuple(tf.add_n(list(values)) for values in zip(*recognised, strict=True)),
        "recognised_labels": _count((scores >= 0) & valid, valid),
    }
    if seen[1:]:
        shares["confident_share"] = _count(_confident(seen[1], threshold), seen[1].valid)
    return pairs, shares


def _scores(discriminator, maps):
    return discriminator(maps, training=True)[..., 0]


def _cross_entropy(target, scores, valid):
    """Binary cross entropy with one target for all pixels: (sum over the valid pixels, their number)."""
    found = tf.nn.sigmoid_cross_entropy_with_logits(tf.fill(tf.shape(scores), target), scores)
    return tf.reduce_sum(tf.where(valid, found, 0.0)), tf.reduce_sum(tf.cast(valid, tf.float32))


def _confident(seen, threshold):
    return seen.valid & (tf.sigmoid(seen.scores) >= threshold)


def _count(pixels, valid):
    return tuple(tf.reduce_sum(tf.cast(mask, tf.float32)) for mask in (pixels, valid))


def _check(config, weights, shares, positive):
    """Raises ValueError for what cannot work, before anything is prepared."""
    if min(weights) < 0 or not all(0 <= share <= 1 for share in shares) or min(positive) <= 0:
        raise ValueError(
            "Expected weights of 0 or more, threshold and start in 0..1, learning_rate and width above 0. Received: "
            f"--trainer={config.trainer}."
        )
    if min(config.crop_size) < SMALLEST:
        raise ValueError(
            f"Expected a --crop_size of {SMALLEST} or more on both sides: the discriminator halves it five times. Received: "
            f"{config.crop_size}."
        )
    if config.accumulate_steps > 1:
        raise ValueError(
            "Expected --accumulate_steps=1 with --trainer=adversarial, where two networks learn from one prediction. Received: "
            f"{config.accumulate_steps}. Use a smaller --batch_size or --crop_size."
        )
