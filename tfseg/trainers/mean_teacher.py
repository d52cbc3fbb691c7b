"""Mean teacher: the moving average of the weights labels unlabelled images, and the network learns from harder views of them.

Tarvainen and Valpola, Mean Teachers Are Better Role Models, NeurIPS 2017. https://arxiv.org/abs/1703.01780 (the average as the
teacher). Sohn et al., FixMatch, NeurIPS 2020. https://arxiv.org/abs/2001.07685 (hard labels above a confidence, a weak and a
strong augmentation). French et al., BMVC 2020. https://arxiv.org/abs/1906.01916 (in segmentation, with CutMix).
"""

import tensorflow as tf

from input_pipeline import IGNORE, ops, pipeline
from input_pipeline.labelled import UNLABELLED
from tfseg import assembly, losses, train
from tfseg import spec as specs
from tfseg.losses.cross_entropy import cross_entropy

TERM = "unlabelled/consistency"


def mean_teacher(
    config,
    strategy,
    folder,
    output,
    *,
    weight=1.0,
    confidence=0.95,
    strong="photometric | gray(0.2) | blur | cutmix",
):
    """Adds to the loss of --loss the cross entropy between strong views of unlabelled images and the teacher's labels.

    The weak view is augmented as --augment says. The teacher is the average of --ema_decay, with the statistics of its norms.
    Its most probable class on the weak view is the label of a pixel if it is at least as probable as `confidence`. The network
    learns from the same view after `strong`, which may mix images together with their labels. As in FixMatch, the sum over the
    confident pixels is divided by the number of all pixels of the unlabelled images, so the term is small as long as the
    teacher is not sure.

    Args:
        config, strategy, folder, output: see `trainers/__init__.py`.
        weight: of the term, 0 or more; with 0 the network trains as without it.
        confidence: probability, 0..1.
        strong: chain of augmentations that do not move pixels, and of those across images.
    """
    _check(config, weight, confidence, strong)
    parts = assembly.build(config, strategy, folder, output, unlabelled=bool(weight))
    state, values = assembly.resume(parts)
    factors, of_outputs = losses.of_network(parts.terms, parts.model)
    images = config.batch_size // strategy.num_replicas_in_sync // config.accumulate_steps
    strengthen = pipeline.recolor(strong, config.crop_size, images)

    def totals(batch):
        pairs = of_outputs(parts.forward(batch["image"]), batch)
        if weight:
            weak = pipeline.of_stream(batch, UNLABELLED)
            logits = parts.average(weak["image"], training=False)["logits"]
            label = pseudo_label(logits, weak["label"], confidence)
            view = strengthen({"image": weak["image"], "label": label}, weak[pipeline.SEED])
            total, confident = cross_entropy(parts.forward(view["image"])["logits"], view["label"])
            pixels = tf.reduce_sum(tf.cast(weak["label"] != IGNORE, tf.float32))
            pairs |= {TERM: (total, pixels), "confident_share": (confident, pixels)}
        return pairs

    def stream(context):
        batches = parts.stream(context, state.step)
        return pipeline.beside(batches, **{UNLABELLED: parts.unlabelled(context, state.step)}) if weight else batches

    step = train.step_of(
        parts, train.gradients_of(parts, totals, factors | {TERM: float(weight)}), parts.optimizer.apply
    )
    return train.loop(parts, state, values, step, stream)


def pseudo_label(logits: tf.Tensor, label: tf.Tensor, confidence: float) -> tf.Tensor:
    """The most probable class of each pixel; IGNORE where its probability is below `confidence`, or where `label` is IGNORE.

    Args:
        logits: float32 [batch, height, width, classes].
        label: integer [batch, height, width].
        confidence: 0..1.

    Returns:
        int32 [batch, height, width].
    """
    sure = tf.reduce_max(tf.nn.softmax(logits), -1) >= confidence
    return tf.where(sure & (label != IGNORE), tf.argmax(logits, -1, tf.int32), IGNORE)


def _check(config, weight, confidence, strong):
    """Raises ValueError for what cannot work, before anything is prepared."""
    if weight < 0 or not 0 <= confidence <= 1:
        raise ValueError(f"Expected weight of 0 or more and confidence in 0..1. Received: --trainer={config.trainer}.")
    if not config.ema_decay:
        raise ValueError(
            "Expected --ema_decay with --trainer=mean_teacher, such as 0.99: the average of the weights is the teacher. "
            "Received: --ema_decay=0.0."
        )
    ops.build(strong, config.crop_size, (0.0, 0.0, 0.0))
    if any(call.name == "affine" for call in specs.parse_chain(strong)):
        raise ValueError(
            "Expected strong augmentations that do not move pixels: --augment moves those of both views. Received: "
            f"strong={strong!r}."
        )
