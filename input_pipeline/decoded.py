"""--cache: keeps decoded examples as uint8 in memory or on disk, so that each is decoded only once.

On disk every example is one file in the folder `decoded_<split>` beside the records. It has the height and width (int32), the
pixels of the image, those of the label and of the instances, and anything else in the example. So examples can be read in any
order, and each worker can read its own share.
"""

import os
import pathlib
import shutil
import tempfile

import numpy as np
import tensorflow as tf
from absl import logging

from input_pipeline import records

KINDS = ("none", "memory", "disk")
SHARE = 0.8  # of the free space may be taken: the network, its optimizer and the batches need the rest
BYTES = 4  # for a pixel of an image and of its label; its instance takes two more


def size(prepared: records.Prepared, split: str) -> int:
    """Bytes of the decoded examples of a split."""
    shapes = (map(int, text.split("x")) for text in prepared.statistics[split]["sizes"])
    counts = prepared.statistics[split]["sizes"].values()
    return sum(
        _pixel(prepared.features) * height * width * count
        for (height, width), count in zip(shapes, counts, strict=True)
    )


def memory(prepared: records.Prepared, split: str) -> tf.data.Dataset:
    """The decoded examples of a split, which stay in memory once they are read, in the order of the records.

    Raises:
        MemoryError: if they need more than SHARE of the free memory.
    """
    needed, free = size(prepared, split), free_memory()
    fits = _say("memory", prepared, split, needed, free, "memory")
    if not fits:
        raise MemoryError(_too_large("memory", prepared, split, needed, free, "Use --cache=disk or --cache=none."))
    if not prepared.instances:
        return _decoded(prepared, split).cache()
    # Two bytes a pixel, as on disk.
    kept = _decoded(prepared, split).map(lambda x: {**x, "instances": tf.cast(x["instances"], tf.uint16)}).cache()
    return kept.map(lambda x: {**x, "instances": tf.cast(x["instances"], tf.int32)})


def disk(prepared: records.Prepared, split: str) -> pathlib.Path:
    """The folder with the decoded examples of a split, which is written if it does not exist; see `read`.

    Raises:
        OSError: if the disk has too little room.
    """
    part = f"_{prepared.digest}" if split in prepared.only else ""
    folder = prepared.directory / f"decoded_{split}{part}"
    if folder.is_dir():
        return folder
    needed, free = size(prepared, split), shutil.disk_usage(prepared.directory).free
    fits = _say("disk", prepared, split, needed, free, str(folder))
    if not fits:
        raise OSError(_too_large("disk", prepared, split, needed, free, "Make room, or use --cache=none."))
    # Written under another name first, so that an interrupted run or another worker never leaves half a folder.
    aside = pathlib.Path(tempfile.mkdtemp(prefix=f"{folder.name}.writing.", dir=prepared.directory))
    try:
        for number, example in enumerate(_decoded(prepared, split).as_numpy_iterator()):
            (aside / f"{number:08}").write_bytes(_content(example))
        aside.rename(folder)
    except OSError:
        if not folder.is_dir():  # otherwise another worker was faster
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def paths(folder: pathlib.Path, count: int) -> tf.data.Dataset:
    """The paths of the examples in a folder of `disk`, in the order of the records."""

    @tf.autograph.experimental.do_not_convert
    def path(number):
        return tf.strings.join([f"{folder}{os.sep}", tf.strings.as_string(number, width=8, fill="0")])

    return tf.data.Dataset.range(count).map(path)


def read(path: tf.Tensor, features: tuple[str, ...] = records.FEATURES) -> dict:
    """The example at one of `paths`, as `records.decode` returns it, with the tensors that `features` names."""
    content = tf.io.read_file(path)
    height, width = tf.unstack(tf.io.decode_raw(tf.strings.substr(content, 0, 8), tf.int32), num=2)
    size = height * width
    image, label, ids = (
        tf.io.decode_raw(tf.strings.substr(content, 8 + start * size, count * size), kind)
        for start, count, kind in ((0, 3, tf.uint8), (3, 1, tf.uint8), (4, 2, tf.uint16))
    )
    example = records.parse(tf.strings.substr(content, 8 + _pixel(features) * size, -1), features)
    example |= {"image": tf.reshape(image, [height, width, 3]), "label": tf.reshape(label, [height, width])}
    if "instances" in features:
        example["instances"] = tf.reshape(tf.cast(ids, tf.int32), [height, width])
    return example


def free_memory() -> int:
    """Bytes of memory that this process may still take, on the machine or in its container, whichever is less."""
    lines = pathlib.Path("/proc/meminfo").read_text().splitlines() if os.path.exists("/proc/meminfo") else []
    available = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")]
    free = available[0] if available else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    limit, used = (pathlib.Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory.current"))
    if limit.is_file() and used.is_file() and limit.read_text().strip().isdigit():
        free = min(free, int(limit.read_text()) - int(used.read_text()))
    return max(free, 0)


def _content(example):
    """The bytes of a file that `read` reads."""
    kinds = {"id": tf.train.Feature(bytes_list=tf.train.BytesList(value=[example["id"]]))}
    maps = [k for k in ("image", "label", "instances") if k in example]
    kinds |= {k: tf.train.Feature(bytes_list=tf.train.BytesList(value=[b""])) for k in maps}
    if "boxes" in example:
        kinds["boxes"] = tf.train.Feature(float_list=tf.train.FloatList(value=example["boxes"].ravel()))
        kinds["box_classes"] = tf.train.Feature(int64_list=tf.train.Int64List(value=example["box_classes"]))
    others = tf.train.Example(features=tf.train.Features(feature=kinds)).SerializeToString()
    header = np.array(example["label"].shape, np.int32)
    pixels = [example[k].astype(np.uint16 if k == "instances" else np.uint8).tobytes() for k in maps]
    return b"".join([header.tobytes(), *pixels, others])


def _pixel(features):
    """The bytes of a pixel in all maps of an example."""
    return BYTES + 2 * ("instances" in features)


def _decoded(prepared, split):
    @tf.autograph.experimental.do_not_convert
    def decode(record):
        return records.decode(records.parse(record, prepared.features))

    return prepared.serialized(split).map(decode, tf.data.AUTOTUNE, deterministic=True)


def _say(kind, prepared, split, needed, free, where):
    logging.info(
        "--cache=%s: the %d decoded examples of %s's %s take %.2f GB of the %.2f GB that are free (%s).",
        kind, prepared.splits[split], prepared.name, split, needed / 1e9, free / 1e9, where,
    )  # fmt: skip
    return needed <= SHARE * free


def _too_large(kind, prepared, split, needed, free, advice):
    return (
        f"Expected room for the decoded {split} split of {prepared.name}: {needed / 1e9:.2f} GB. Received: --cache={kind} with "
        f"{free / 1e9:.2f} GB free, of which {SHARE:.0%} may be taken. {advice}"
    )
