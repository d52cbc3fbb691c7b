"""Augmented samples of a source tree for --mode=check: read, augmented and mixed as in the training stream."""

import numpy as np
import tensorflow as tf

from input_pipeline import boxes, instances, ops, sampling, windows
from input_pipeline.checking.report import TILES, Tile, tile
from input_pipeline.preparation import cache
from input_pipeline.preparation.encoding import Storage

WIDTH = 640  # the largest width of a sample; more than in the report's picture, because noise and artefacts are small


def augmented(
    spec: str,
    data_dir: str = "",
    *,
    chain: str,
    crop_size: tuple[int, int],
    seed: int = 0,
    max_class_share: float = 1.0,
    image_range: str = "",
) -> list[Tile]:
    """Up to TILES samples of the train split (or, if there is none, of the first split), at the crop's size.

    Examples are spread evenly over the split; if there are too few, some are shown twice. Those that cannot be converted
    are left out: `check` reports them. Pixels outside an image have the mean colour of these samples, in training that of
    the whole split.

    Args:
        spec: the data set.
        data_dir: the source tree.
        chain: --augment.
        crop_size: (height, width), pixels.
        seed: for the draws.
        max_class_share: as in `pipeline.training`.
        image_range: as for `check`.

    """
    builder = cache.source_builder(spec, data_dir)
    builder.conversion.storage = Storage(image_range=image_range)
    split = "train" if "train" in builder.splits else next(iter(builder.splits))
    examples = _examples(builder.conversion, builder.splits[split])
    if not examples:
        return []
    if builder.steps:
        ops.check_copies(chain)
        fill = windows.OUTSIDE
    else:
        fill = np.mean([np.mean(sampling.decoded(x["image"]), (0, 1)) for x in examples], 0).tolist()
    parts, mixed = ops.build_parts(chain, crop_size, tuple(fill), max_class_share), ops.mix(chain, ops.GROUP)
    most = max(len(x["boxes"]) if "boxes" in x else 0 for x in examples)
    finished, seeds = [], []
    for i in range(-(-len(examples) // ops.GROUP) * ops.GROUP):
        seeds.append(tf.random.experimental.stateless_fold_in(tf.constant([seed, 0]), i))
        example = examples[i % len(examples)]
        for part in parts:
            example = part(example, seeds[-1])
        finished.append(boxes.pad(example, most))
    tiles, colors = [], np.array([c.color for c in builder.classes], np.uint8)
    for begin in range(0, len(finished), ops.GROUP):
        group = finished[begin : begin + ops.GROUP]
        batch = {key: tf.stack([x[key] for x in group]) for key in group[0]}
        batch = mixed(batch, tf.stack(seeds[begin : begin + ops.GROUP])) if mixed else batch
        batch = {key: value.numpy() for key, value in batch.items()}
        batch["image"] = windows.shown(
            np.clip(np.round(batch["image"]), 0, 255).astype(np.uint8), builder.steps, colors
        )
        tiles += [_tile(split, {key: value[i] for key, value in batch.items()}) for i in range(ops.GROUP)]
    return tiles


def _tile(split, example):
    """A small copy of a sample, with its boxes."""
    rows = zip(example.get("boxes", ()), example.get("box_classes", ()), strict=True)
    shown = [box for box, kind in rows if kind != boxes.NONE]
    return tile(split, example["id"].decode(), example["image"], example["label"].astype(np.int16), WIDTH, shown)


def _examples(conversion, listed):
    """The examples that can be converted, in the form of `records.decode_label`."""
    count = min(len(listed), TILES)
    wanted = {round(i * (len(listed) - 1) / max(count - 1, 1)) for i in range(count)}
    found = []
    for converted in (conversion(example) for i, example in enumerate(listed) if i in wanted):
        if converted.fault:
            continue
        record = converted.record
        example = {key: tf.constant(record[key]) for key in ("image", "id")}
        example["label"] = tf.io.decode_png(record["label"], channels=1)[..., 0]
        if "boxes" in record:
            example["boxes"] = tf.constant(record["boxes"], tf.float32, [len(record["boxes"]), 4])
            example["box_classes"] = tf.constant(record["box_classes"], tf.int32, [len(record["boxes"])])
        if "instances" in record:
            example["instances"] = instances.decode(record["instances"])
        found.append(example)
    return found
