"""FreeSpace: films of a drone over ground that is free to drive on or not, of guanfuchen/semseg.

https://github.com/guanfuchen/semseg, semseg/dataloader/freespace_loader.py and freespacepred_loader.py. The films themselves
are not published; what is read here is any tree of the same layout.

With `sequence`, the label maps of a clip predict the one after them. In the original the target is the last map of the window
itself, so that the answer is in the input, and windows reach from one clip into the next. Here the target is the map after the
window, and all of its frames are of one clip.
"""

import collections
from pathlib import Path

import tensorflow_datasets as tfds

from input_pipeline.preparation import builder
from input_pipeline.source import frames, listing
from input_pipeline.source.class_tables import Class

CLASSES = (Class("not free", (0, 0, 0), 0), Class("free space", (255, 0, 0), 1))
SPLITS = ("train", "val", "test")


class Builder(builder.Builder):
    """FreeSpace: clips of ground, free or not."""

    VERSION = tfds.core.Version("1.0.0")
    URL = "https://github.com/guanfuchen/semseg"
    LICENCE = "not stated"
    LAYOUT = (
        "train/CLIP/NAME.png with masks trainannot/CLIP/NAME_mask.png of the values 0 (not free) and 1 (free), likewise val/ "
        "valannot/ and test/ testannot/; the names of a clip's frames are in the order of time"
    )

    def __init__(self, source: Path, cache: Path, *, sequence: int = 0, step: int = 1):
        """`sequence` is the number of past label maps from which the next one is predicted; 0: images and their masks.

        `step` is the distance of two frames of a window, and of the last one from the target: 2 leaves out every other frame.
        """
        splits = {s: listing.pairs(source / s, source / f"{s}annot", mask_end="_mask") for s in SPLITS}
        if sequence:
            for split, examples in splits.items():
                places = _places(examples)
                splits[split] = frames.windows(examples, sequence, step, lambda e, at=places: at[e.id])
        super().__init__(
            source,
            cache,
            classes=CLASSES,
            splits=splits,
            steps=sequence,
            options={"sequence": sequence, "step": step} if sequence else {},
        )


def _places(examples):
    """{id: (clip, number of the frame in it)}, by the order of the names."""
    clips = collections.defaultdict(list)
    for name in sorted(example.id for example in examples):
        clips[name.rpartition("/")[0]].append(name)
    return {name: (clip, number) for clip, names in clips.items() for number, name in enumerate(names)}
