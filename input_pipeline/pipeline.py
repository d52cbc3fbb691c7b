"""The two streams: training (endless, shuffled, augmented) and evaluation (each image once, as it is).

The order of the training examples and what augmentation does to each are functions of (seed, epoch, index): a run that
starts at batch n sees exactly what an uninterrupted run sees from batch n on.
"""

from collections.abc import Iterable, Iterator

import tensorflow as tf
from absl import logging

import input_pipeline
from input_pipeline import IGNORE, boxes, ops

# Encoded examples are shuffled, so that the buffer holds files, not pixels. TFDS has already written the records in an
# order hashed from their ids: a buffer smaller than the data set still mixes well.
SHUFFLE_BYTES = 1 << 30


def training(
    prepared: "input_pipeline.Prepared",
    *,
    augment: str,
    crop_size: tuple[int, int],
    batch_size: int,
    seed: int,
    max_class_share: float = 1.0,
    first_batch: int = 0,
    replicas: int = 1,
    worker: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Endless batches of {image: float32 [batch, height, width, 3] RGB 0..255, label: uint8 [batch, height, width], id}.

    Where the data set has boxes, also `boxes` and `box_classes` (`boxes.py`), as many in every batch; so does `evaluation`.

    Args:
        prepared: the data set; its `train` split is read.
        augment: a chain of ops (`input_pipeline/ops`).
        crop_size: (height, width), pixels.
        batch_size: examples a batch, over all replicas.
        seed: of the order and the augmentation.
        max_class_share: largest share of a crop's valid pixels that one class may have, above 0 and up to 1: up to 10
            crops are drawn for it.
        first_batch: number of batches to leave out, those that an interrupted run has seen.
        replicas: into how many consecutive ones a batch is divided, each for one replica.
        worker: (index, number of workers): every worker reads its own share of each batch.
    """
    examples = prepared.encoded("train")
    count = prepared.splits["train"]
    first_epoch, first_index = divmod(first_batch * batch_size, count)
    small = sum(n for size, n in prepared.statistics["train"]["sizes"].items() if _smaller(size, crop_size))
    if small:
        logging.warning(
            "%d of %d training images are smaller than the crop, %dx%d: what lies outside is filled and ignored.",
            small,
            count,
            *crop_size,
        )
    run_seed, most_boxes = tf.constant([seed, 0], tf.int32), prepared.boxes.get("train", 0)
    transform = ops.build(augment, crop_size, prepared.statistics["train"]["mean"], max_class_share)

    def epoch(number):
        # Of this function's graph alone: the order shall not follow from the caller's global seed, and with a global seed
        # of 0 TensorFlow cannot take a tensor as the seed of `shuffle`.
        tf.random.set_seed(1)
        epoch_seed = tf.random.experimental.stateless_fold_in(run_seed, number)
        order = tf.random.stateless_uniform([], epoch_seed, 1, tf.int64.max, tf.int64)
        return (
            examples.shuffle(_shuffle_buffer(prepared), seed=order, reshuffle_each_iteration=False)
            .enumerate()
            .skip(tf.where(number == first_epoch, tf.constant(first_index, tf.int64), 0))
            .map(lambda index, x: (x, tf.random.experimental.stateless_fold_in(epoch_seed, index)))
        )

    return (
        tf.data.Dataset.range(first_epoch, tf.int64.max)
        .flat_map(epoch)
        .shard(worker[1], worker[0])
        .map(
            lambda x, example_seed: boxes.pad(transform(input_pipeline.decode(x), example_seed), most_boxes),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        .batch(batch_size // replicas, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def evaluation(
    prepared: "input_pipeline.Prepared",
    split: str,
    batch_size: int,
    replicas: int = 1,
    worker: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Batches of {image: uint8 [batch, height, width, 3], label: uint8 [batch, height, width], id}, each image once.

    Images keep their own size; where a split has several sizes a batch is one image. The end is filled up with
    examples whose label is IGNORE everywhere, so that every batch is full and every replica gets as many. Of several
    workers, `worker` (index, number of workers) reads its own share.
    """
    if len(prepared.statistics[split]["sizes"]) > 1:
        batch_size = 1
    count = prepared.splits[split]

    def read(index, x):
        x = boxes.pad(input_pipeline.decode(x), prepared.boxes.get(split, 0))
        return {**x, "label": tf.where(index < count, x["label"], tf.constant(IGNORE, tf.uint8))}

    return (
        prepared.encoded(split)
        .repeat()
        .take(count + -count % (batch_size * replicas))
        .enumerate()
        .shard(worker[1], worker[0])
        .map(read, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch_size, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def readable(batches: Iterable, prepared: "input_pipeline.Prepared") -> Iterator:
    """Yields the batches; a record that cannot be read becomes a ValueError that names the shards and what to do."""
    try:
        yield from batches
    except (tf.errors.DataLossError, tf.errors.NotFoundError, tf.errors.InvalidArgumentError) as error:
        damaged = prepared.damaged_shards()
        if not damaged:
            raise
        raise ValueError(
            f"Expected readable records of {prepared.name}. Received: {'; '.join(damaged)}. "
            "Make them again: the same command with --mode=prepare --overwrite."
        ) from error


def _smaller(size, crop_size):
    """Whether an image of `size`, "HxW", is smaller than the crop on a side."""
    return any(int(n) < c for n, c in zip(size.split("x"), crop_size, strict=True))


def _shuffle_buffer(prepared):
    size = sum(f.stat().st_size for f in prepared.directory.rglob("*train*.tfrecord*"))
    return max(1, min(prepared.splits["train"], SHUFFLE_BYTES * prepared.splits["train"] // max(size, 1)))
