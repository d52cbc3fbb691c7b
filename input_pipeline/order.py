"""The order of the training examples: a function of (seed, epoch, index), for one data set and for a mixture of several."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from input_pipeline import decoded, records

# Examples are shuffled while they are encoded, so the buffer holds files, not pixels. TFDS has already written the records
# in an order hashed from their ids, so a buffer smaller than the data set still mixes well.
SHUFFLE_BYTES = 1 << 30


def examples(
    prepared: records.Prepared, split: str, cache: str, run_seed: tf.Tensor, start: int
) -> tuple[tf.data.Dataset, Callable]:
    """(an endless stream of a split's examples in their order, a function from an element of it to an example).

    Of a mixture, each epoch is a draw without replacement: it has exactly the examples of each data set that
    `Prepared.parts` says, in an order that depends on the seed and the epoch.

    Args:
        prepared: the data set.
        split: the split that is read.
        cache: `none`, `memory` or `disk`, as for `source`.
        run_seed: int32 [2].
        start: position in the whole stream of the first example.
    """
    if split != "train" or not prepared.parts:
        stored, read = source(prepared, cache, split)
        return _passes(prepared, split, stored, run_seed, start), read
    numbers = [number for number, _ in prepared.parts]
    epoch, index = divmod(start, sum(numbers))
    seeds = [_folded(run_seed, -1 - i) for i in range(len(numbers) + 1)]  # epochs are 0 or more
    kinds = tf.repeat(tf.range(len(numbers), dtype=tf.int64), numbers)

    def kinds_of(number):
        return tf.random.experimental.stateless_shuffle(kinds, _folded(seeds[-1], number))

    @tf.autograph.experimental.do_not_convert
    def left(number):
        return tf.data.Dataset.from_tensor_slices(kinds_of(number)).skip(
            tf.where(number == epoch, tf.constant(index, tf.int64), 0)
        )

    with tf.device("CPU"):  # where the stream draws them
        seen = np.bincount(kinds_of(tf.constant(epoch, tf.int64))[:index], minlength=len(numbers))
    streams = []
    for i, (number, part) in enumerate(prepared.parts):
        stored, read = source(part, cache, split)
        streams.append(_passes(part, split, stored, seeds[i], epoch * number + int(seen[i])))
    choices = tf.data.Dataset.range(epoch, tf.int64.max).flat_map(left)
    return tf.data.Dataset.choose_from_datasets(streams, choices), read  # all parts are read in the same way


def source(prepared: records.Prepared, cache: str, split: str = "train") -> tuple[tf.data.Dataset, Callable]:
    """(a split's examples in the form in which they are shuffled, a function from that form to an example).

    The function is the same for all data sets with the same tensors.
    """
    features = prepared.features
    if cache == "memory":
        return decoded.memory(prepared, split), lambda example: example
    if cache == "disk":
        paths = decoded.paths(decoded.disk(prepared, split), prepared.splits[split])
        return paths, lambda path: decoded.read(path, features)
    return prepared.serialized(split), lambda record: records.decode_label(records.parse(record, features))


def _passes(prepared, split, stored, run_seed, start):
    """Endless passes over the examples of a split from the position `start` on, each in another order."""
    first_epoch, first_index = divmod(start, prepared.splits[split])

    @tf.autograph.experimental.do_not_convert
    def epoch(number):
        # This sets the seed of this function's graph only. Without it the order would depend on the global seed of the
        # caller, and with a global seed of 0 TensorFlow does not accept a tensor as the seed of `shuffle`.
        tf.random.set_seed(1)
        order = tf.random.stateless_uniform([], _folded(run_seed, number), 1, tf.int64.max, tf.int64)
        skipped = tf.where(number == first_epoch, tf.constant(first_index, tf.int64), 0)
        shuffled = stored.shuffle(_shuffle_buffer(prepared, split), seed=order, reshuffle_each_iteration=False)
        return shuffled.skip(skipped)

    return tf.data.Dataset.range(first_epoch, tf.int64.max).flat_map(epoch)


def _folded(seed, data):
    return tf.random.experimental.stateless_fold_in(seed, data)


def _shuffle_buffer(prepared, split):
    """The size of the shuffle buffer, in examples. It depends on the records, not on the cache, so the order is the same."""
    size, count = (sum(shard[key] for shard in prepared.shards[split]) for key in ("bytes", "records"))
    return max(1, min(prepared.splits[split], SHUFFLE_BYTES * count // max(size, 1)))
