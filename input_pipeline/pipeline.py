"""The two streams: training (endless, shuffled, augmented) and evaluation (each image once, unchanged).

The order of the training examples and their augmentation depend only on (seed, epoch, index). So a run that starts at batch
n sees exactly the same as an uninterrupted run from batch n on. Examples that are mixed with each other form groups of
consecutive examples, counted from the beginning of the run. If a batch, a worker's share or a resumed run begins inside a
group, the whole group is read and mixed, and only the examples that are needed are kept.

Functions of the streams choose by tf.cond and tf.where, never by Python's `if` on a tensor, so AutoGraph does not convert them:
reading the source of every op takes seconds at every start.
"""

import os
from collections.abc import Callable, Iterable, Iterator

import tensorflow as tf
from absl import logging

import input_pipeline
from input_pipeline import IGNORE, boxes, decoded, ops, records, windows

# Examples are shuffled while they are encoded, so the buffer holds files, not pixels. TFDS has already written the records
# in an order hashed from their ids, so a buffer smaller than the data set still mixes well.
SHUFFLE_BYTES = 1 << 30
AHEAD_BYTES = 256 << 20  # limit for the finished batches that wait for the device; there are 2 to 8 of them
SEED = "augment_seed"  # int32 [batch, 2] in a batch that `finisher` still has to finish
PLACE = "place"  # int64 [group] in a group that will be mixed: positions in the whole stream


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
    cache: str = "none",
    augment_device: str = "host",
    threads: int = 0,
) -> tf.data.Dataset:
    """Endless batches of {image: float32 [batch, height, width, 3] RGB 0..255, label: uint8 [batch, height, width], id}.

    If the data set has boxes, also `boxes` and `box_classes` (`boxes.py`), the same number in every batch, and if it has
    instances, `instances` (`instances.py`). `evaluation` does the same.

    Args:
        prepared: the data set; its `train` split is read.
        augment: a chain of ops (`input_pipeline/ops`).
        crop_size: (height, width), pixels.
        batch_size: examples in a batch, over all replicas.
        seed: for the order and the augmentation.
        max_class_share: largest share of a crop's valid pixels that one class may have, above 0 and up to 1. Up to 10
            crops are drawn to find one.
        first_batch: number of batches to skip: those that an interrupted run has already seen.
        replicas: number of consecutive parts into which a batch is divided, one for each replica.
        worker: (index, number of workers). Every worker decodes its own share of each batch: the consecutive examples of
            its replicas.
        cache: `none`, or where decoded examples are kept: `memory` or `disk` (`decoded.py`). The order is the same.
        augment_device: `host`, or `device`: the images are uint8 crops, and the function of `finisher` does the rest.
        threads: of the stream's own pool; 0: one for each core.
    """
    mixed = ops.mix(augment, ops.GROUP) if augment_device == "host" else None
    group = ops.GROUP if mixed else 1
    count, begin = prepared.splits["train"], first_batch * batch_size
    start = begin // group * group  # the start of the group with the first example
    first_epoch, first_index = divmod(start, count)
    small = sum(n for size, n in prepared.statistics["train"]["sizes"].items() if _smaller(size, crop_size))
    if small:
        logging.warning(
            "%d of %d training images are smaller than the crop, %dx%d: what lies outside is filled and ignored.",
            small,
            count,
            *crop_size,
        )
    run_seed, most_boxes = tf.constant([seed, 0], tf.int32), prepared.boxes.get("train", 0)
    if prepared.steps:
        ops.check_copies(augment)
    fill = windows.OUTSIDE if prepared.steps else prepared.statistics["train"]["mean"]
    geometry, color = ops.build_parts(augment, crop_size, fill, max_class_share)
    examples, read = source(prepared, cache)
    threads = threads or _cores()
    folded = tf.random.experimental.stateless_fold_in

    @tf.autograph.experimental.do_not_convert
    def epoch(number):
        # This sets the seed of this function's graph only. Without it the order would depend on the global seed of the
        # caller, and with a global seed of 0 TensorFlow does not accept a tensor as the seed of `shuffle`.
        tf.random.set_seed(1)
        order = tf.random.stateless_uniform([], folded(run_seed, number), 1, tf.int64.max, tf.int64)
        skipped = tf.where(number == first_epoch, tf.constant(first_index, tf.int64), 0)
        shuffled = examples.shuffle(_shuffle_buffer(prepared), seed=order, reshuffle_each_iteration=False)
        return shuffled.skip(skipped)

    def is_mine(position):
        return (position >= begin) & (position % batch_size // (batch_size // worker[1]) == worker[0])

    @tf.autograph.experimental.do_not_convert
    def is_read(position, _):
        return tf.reduce_any(is_mine(position // group * group + tf.range(group, dtype=tf.int64)))

    @tf.autograph.experimental.do_not_convert
    def augmented(position, stored):
        example_seed = folded(folded(run_seed, position // count), position % count)
        example = geometry(read(stored), example_seed)
        if augment_device == "device":
            image = tf.saturate_cast(tf.round(example["image"]), tf.uint8)
            example = {**example, "image": image, SEED: example_seed}
        else:
            example = color(example, example_seed)
            example |= {SEED: example_seed, PLACE: position} if mixed else {}
        return boxes.pad(example, most_boxes)

    @tf.autograph.experimental.do_not_convert
    def of_group(batch):
        mine = is_mine(batch[PLACE])
        batch = mixed({k: v for k, v in batch.items() if k not in (SEED, PLACE)}, batch[SEED])
        return batch if whole_groups else {k: tf.boolean_mask(v, mine) for k, v in batch.items()}

    batches = tf.data.Dataset.range(first_epoch, tf.int64.max).flat_map(epoch).enumerate(start)
    whole_groups = not batch_size // worker[1] % group
    if worker[1] > 1:
        batches = batches.filter(is_read)
    batches = batches.map(augmented, num_parallel_calls=threads, deterministic=True)
    if mixed:
        batches = batches.batch(group, drop_remainder=True).map(of_group, threads, deterministic=True)
        batches = batches.rebatch(batch_size // replicas, drop_remainder=True)
    else:
        batches = batches.batch(batch_size // replicas, drop_remainder=True)
    batch_bytes = crop_size[0] * crop_size[1] * (13 if augment_device == "host" else 4) * batch_size // replicas
    ahead = AHEAD_BYTES // batch_bytes
    return batches.prefetch(min(max(ahead, 2), 8)).with_options(_options(threads))


def finisher(augment: str, crop_size: tuple[int, int], batch_size: int, augment_device: str) -> Callable:
    """Makes `finish(batch) -> batch`: it does the part of the chain that `training` leaves to the device.

    The result is the same as on the host, except that the image is rounded to uint8 after the geometry. If
    `augment_device` is "host", `finish` changes nothing.

    Args:
        augment: as in `training`.
        crop_size: (height, width), pixels.
        batch_size: examples in the batches that `finish` gets, those of one replica.
        augment_device: as in `training`.

    Raises:
        ValueError: if ops that mix images would not get complete groups.
    """
    if augment_device == "host":
        return lambda batch: batch
    _, color = ops.build_parts(augment, crop_size, (0.0, 0.0, 0.0))
    mixed = ops.mix(augment, batch_size)
    if mixed and batch_size % ops.GROUP:
        raise ValueError(
            f"Expected a multiple of {ops.GROUP} images a replica for augmentation across images on the device. "
            f"Received: {batch_size} and --augment={augment}. Change --batch_size, or use --augment_device=host."
        )

    def image(pair):
        return color({"image": pair[0]}, pair[1])["image"]

    def finish(batch):
        seeds, batch = batch[SEED], {k: v for k, v in batch.items() if k != SEED}
        spec = tf.TensorSpec([*crop_size, 3], tf.float32)
        images = tf.map_fn(image, (batch["image"], seeds), fn_output_signature=spec, parallel_iterations=batch_size)
        batch = {**batch, "image": images}
        return mixed(batch, seeds) if mixed else batch

    return finish


def evaluation(
    prepared: "input_pipeline.Prepared",
    split: str,
    batch_size: int,
    replicas: int = 1,
    worker: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Batches of {image: uint8 [batch, height, width, 3], label: uint8 [batch, height, width], id}, each image once.

    Images keep their own size; if a split has several sizes, a batch is one image. The last batch is filled up with
    examples whose label is IGNORE everywhere, so that every batch is full and all replicas get the same number. With
    several workers, `worker` (index, number of workers) reads only its own share.
    """
    if len(prepared.statistics[split]["sizes"]) > 1:
        batch_size = 1
    count = prepared.splits[split]

    @tf.autograph.experimental.do_not_convert
    def read(index, x):
        x = boxes.pad(input_pipeline.decode(x), prepared.boxes.get(split, 0))
        # What only fills up a batch has nothing in it: neither labels nor objects.
        nothing = {"label": IGNORE, "boxes": 0, "box_classes": boxes.NONE, "instances": 0}
        return x | {k: tf.where(index < count, x[k], tf.cast(v, x[k].dtype)) for k, v in nothing.items() if k in x}

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
    """Yields the batches. If a record cannot be read, raises a ValueError that names the shards and says what to do."""
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


def _cores():
    """The number of cores that this process may use, or of the machine if the system does not say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _smaller(size, crop_size):
    """Whether an image of `size`, "HxW", is smaller than the crop on a side."""
    return any(int(n) < c for n, c in zip(size.split("x"), crop_size, strict=True))


def source(prepared: "input_pipeline.Prepared", cache: str) -> tuple[tf.data.Dataset, Callable]:
    """(the train split's examples in the form in which they are shuffled, a function from that form to an example)."""
    features = prepared.features
    if cache == "memory":
        return decoded.memory(prepared, "train"), lambda example: example
    if cache == "disk":
        folder = decoded.disk(prepared, "train")
        return tf.data.Dataset.range(prepared.splits["train"]), lambda i: decoded.read(folder, i, features)
    return prepared.serialized("train"), lambda record: records.decode_label(records.parse(record, features))


def _options(threads):
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    # The stream has its own pool, so that decoding does not wait for the operations of a step on the CPU. One thread for
    # each operation is enough, since images are many and small.
    options.threading.private_threadpool_size = threads
    options.threading.max_intra_op_parallelism = 1
    return options


def _shuffle_buffer(prepared):
    """The size of the shuffle buffer, in examples. It depends on the records, not on the cache, so the order is the same."""
    size = sum(shard["bytes"] for shard in prepared.shards["train"])
    return max(1, min(prepared.splits["train"], SHUFFLE_BYTES * prepared.splits["train"] // max(size, 1)))
