"""The two streams: training (endless, shuffled, augmented) and evaluation (each image once, unchanged).

The order of the training examples and their augmentation depend only on (seed, epoch, index). So a run that starts at batch
n sees exactly the same as an uninterrupted run from batch n on. Examples that are mixed with each other form groups of
consecutive examples, counted from the beginning of the run. If a batch, a worker's share or a resumed run begins inside a
group, the whole group is read and mixed, and only the examples that are needed are kept.

A run may take further streams beside the labelled one, such as that of the unlabelled images (`beside`).

Functions of the streams choose by tf.cond and tf.where, never by Python's `if` on a tensor, so AutoGraph does not convert them:
reading the source of every op takes seconds at every start.
"""

import os
from collections.abc import Callable, Iterable, Iterator

import tensorflow as tf
from absl import logging

import input_pipeline
from input_pipeline import IGNORE, boxes, ops, order, pairs, records, windows
from input_pipeline.labelled import UNLABELLED

AHEAD_BYTES = 256 << 20  # limit for the finished batches that wait for the device; there are 2 to 8 of them
SEED = "augment_seed"  # int32 [batch, 2] in a batch that `finisher` still has to finish
PLACE = "place"  # int64 [group] in a group that will be mixed: positions in the whole stream
OF_STREAM = "/"  # `unlabelled/image` is the image of the stream `unlabelled` in a batch of `beside`


def training(
    prepared: "input_pipeline.Prepared",
    *,
    augment: str,
    crop_size: tuple[int, int],
    batch_size: int,
    seed: int,
    split: str = "train",
    stream: int = 0,
    max_class_share: float = 1.0,
    first_batch: int = 0,
    replicas: int = 1,
    worker: tuple[int, int] = (0, 1),
    cache: str = "none",
    augment_device: str = "host",
    threads: int = 0,
    make_pairs: str = "",
) -> tf.data.Dataset:
    """Endless batches of {image: float32 [batch, height, width, 3] RGB 0..255, label: uint8 [batch, height, width], id}.

    If the data set has boxes, also `boxes` and `box_classes` (`boxes.py`), the same number in every batch, and if it has
    instances, `instances` (`instances.py`). `evaluation` does the same.

    Of the split `unlabelled` (`labelled.py`), only the images are used: the label is 0 inside the image and IGNORE outside it,
    and nothing is mixed. A batch also has `augment_seed`, int32 [batch, 2], for an augmentation that follows.

    Args:
        prepared: the data set.
        augment: a chain of ops (`input_pipeline/ops`).
        crop_size: (height, width), pixels.
        batch_size: examples in a batch, over all replicas.
        seed: for the order and the augmentation.
        split: the split that is read.
        stream: another number gives another order and augmentation of the same examples, with the same seed.
        max_class_share: largest share of a crop's valid pixels that one class may have, above 0 and up to 1. Up to 10
            crops are drawn to find one.
        first_batch: number of batches to skip: those that an interrupted run has already seen.
        replicas: number of consecutive parts into which a batch is divided, one for each replica.
        worker: (index, number of workers). Every worker decodes its own share of each batch: the consecutive examples of
            its replicas.
        cache: `none`, or where decoded examples are kept: `memory` or `disk` (`decoded.py`). The order is the same.
        augment_device: `host`, or `device`: the images are uint8 crops, and the function of `finisher` does the rest.
        threads: of the stream's own pool; 0: one for each core.
        make_pairs: how each image becomes an example of mask propagation (`pairs.py`), with an image of six channels.
    """
    unlabelled = split == UNLABELLED
    mixed = ops.mix(augment, ops.GROUP) if augment_device == "host" and not unlabelled else None
    group = ops.GROUP if mixed else 1
    count, begin = prepared.splits[split], first_batch * batch_size
    start = begin // group * group  # the start of the group with the first example
    statistics = prepared.statistics[split]
    small = sum(n for size, n in statistics["sizes"].items() if _smaller(size, crop_size))
    if small:
        logging.warning(
            "%d of %d training images are smaller than the crop, %dx%d: what lies outside is filled and ignored.",
            small,
            count,
            *crop_size,
        )
    run_seed, most_boxes = tf.constant([seed, stream], tf.int32), prepared.boxes.get(split, 0)
    if prepared.steps:
        ops.check_copies(augment)
    fill = windows.OUTSIDE if prepared.steps else statistics["mean"]
    geometry, color = ops.build_parts(augment, crop_size, fill, 1.0 if unlabelled else max_class_share)
    batches, read = order.examples(prepared, split, cache, run_seed, start)
    make = None if unlabelled else pairs.build(make_pairs)
    threads = threads or _cores()
    folded = tf.random.experimental.stateless_fold_in

    def is_mine(position):
        return (position >= begin) & (position % batch_size // (batch_size // worker[1]) == worker[0])

    @tf.autograph.experimental.do_not_convert
    def is_read(position, _):
        return tf.reduce_any(is_mine(position // group * group + tf.range(group, dtype=tf.int64)))

    @tf.autograph.experimental.do_not_convert
    def augmented(position, stored):
        example_seed = folded(folded(run_seed, position // count), position % count)
        example = read(stored)
        if unlabelled:  # before anything can depend on the label
            example = {k: tf.zeros_like(v) if k == "label" else v for k, v in example.items() if k in records.FEATURES}
        example = geometry(example, example_seed)
        if augment_device == "device":
            image = tf.saturate_cast(tf.round(example["image"]), tf.uint8)
            example = {**example, "image": image, SEED: example_seed}
        else:
            example = color(example, example_seed)
            example = make(example, folded(example_seed, pairs.SEED)) if make else example
            example |= {SEED: example_seed} if mixed or unlabelled else {}
            example |= {PLACE: position} if mixed else {}
        return boxes.pad(example, most_boxes)

    @tf.autograph.experimental.do_not_convert
    def of_group(batch):
        mine = is_mine(batch[PLACE])
        batch = mixed({k: v for k, v in batch.items() if k not in (SEED, PLACE)}, batch[SEED])
        return batch if whole_groups else {k: tf.boolean_mask(v, mine) for k, v in batch.items()}

    batches = batches.enumerate(start)
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


def beside(batches: tf.data.Dataset, **streams: tf.data.Dataset) -> tf.data.Dataset:
    """Batches with those of further streams in them: `beside(batches, unlabelled=others)` has `unlabelled/image`.

    `id` has the examples of all streams, so that an error can name each of them.
    """

    def join(batch, others):
        ids = [batch["id"], *(other["id"] for other in others.values())]
        named = {f"{name}{OF_STREAM}{k}": v for name, other in others.items() for k, v in other.items() if k != "id"}
        return batch | named | {"id": tf.concat(ids, 0)}

    return tf.data.Dataset.zip((batches, streams)).map(join)


def of_stream(batch: dict, name: str) -> dict:
    """The tensors of one of the streams in a batch of `beside`: {"image": .., "label": ..} of `unlabelled`, for example."""
    return {k.removeprefix(name + OF_STREAM): v for k, v in batch.items() if k.startswith(name + OF_STREAM)}


def recolor(chain: str, crop_size: tuple[int, int], batch_size: int) -> Callable:
    """Makes `recolored(batch, seeds) -> batch`: the ops of a chain that do not move pixels, and those across images, in a step.

    Args:
        chain: of augmentations.
        crop_size: (height, width) of the images, pixels.
        batch_size: examples in the batches that the function gets; seeds are int32 [batch, 2].
    """
    _, color = ops.build_parts(chain, crop_size, (0.0, 0.0, 0.0))
    mixed = ops.mix(chain, batch_size)

    def image(pair):
        return color({"image": pair[0]}, pair[1])["image"]

    def recolored(batch, seeds):
        spec = tf.TensorSpec([*crop_size, 3], tf.float32)
        images = tf.map_fn(image, (batch["image"], seeds), fn_output_signature=spec, parallel_iterations=batch_size)
        batch = {**batch, "image": images}
        return mixed(batch, seeds) if mixed else batch

    return recolored


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
    if batch_size % ops.GROUP and ops.mix(augment, batch_size):
        raise ValueError(
            f"Expected a multiple of {ops.GROUP} images a replica for augmentation across images on the device. "
            f"Received: {batch_size} and --augment={augment}. Change --batch_size, or use --augment_device=host."
        )
    recolored = recolor(augment, crop_size, batch_size)

    def finish(batch):
        others = {k: v for k, v in batch.items() if OF_STREAM in k}  # they are complete
        own = {k: v for k, v in batch.items() if k != SEED and k not in others}
        return recolored(own, batch[SEED]) | others

    return finish


def evaluation(
    prepared: "input_pipeline.Prepared",
    split: str,
    batch_size: int,
    replicas: int = 1,
    worker: tuple[int, int] = (0, 1),
    make_pairs: str = "",
) -> tf.data.Dataset:
    """Batches of {image: uint8 [batch, height, width, 3], label: uint8 [batch, height, width], id}, each image once.

    Images keep their own size; if a split has several sizes, a batch is one image. The last batch is filled up with
    examples whose label is IGNORE everywhere, so that every batch is full and all replicas get the same number. With
    several workers, `worker` (index, number of workers) reads only its own share. `make_pairs` is that of `training`; the pair
    of an image is always the same.
    """
    make = pairs.build(make_pairs)
    if len(prepared.statistics[split]["sizes"]) > 1:
        batch_size = 1
    count = prepared.splits[split]

    @tf.autograph.experimental.do_not_convert
    def read(index, x):
        x = pairs.of_evaluation(make, input_pipeline.decode(x), index)
        x = boxes.pad(x, prepared.boxes.get(split, 0))
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


def _options(threads):
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    # The stream has its own pool, so that decoding does not wait for the operations of a step on the CPU. One thread for
    # each operation is enough, since images are many and small.
    options.threading.private_threadpool_size = threads
    options.threading.max_intra_op_parallelism = 1
    return options
