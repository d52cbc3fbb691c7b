"""Streets drawn by the computer: a data set that needs no download and that a network learns in minutes.

The scenes have ten classes in perspective, by day, under clouds, at dusk and at night. Near objects hide far ones, and colour
alone does not tell the class. The bonnet of the camera's own car is ignored. The same seed draws the same streets.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from input_pipeline.datasets._streets import canvas, street, things
from input_pipeline.preparation import builder
from input_pipeline.source import listing
from input_pipeline.source.class_tables import Class

CLASSES = (
    Class("sky", (70, 130, 180), things.SKY),
    Class("building", (70, 70, 70), things.BUILDING),
    Class("road", (128, 64, 128), things.ROAD),
    Class("marking", (255, 255, 255), things.MARKING),
    Class("pavement", (244, 35, 232), things.PAVEMENT),
    Class("tree", (107, 142, 35), things.TREE),
    Class("pole", (153, 153, 153), things.POLE),
    Class("sign", (220, 220, 0), things.SIGN),
    Class("car", (0, 0, 142), things.CAR),
    Class("pedestrian", (220, 20, 60), things.PEDESTRIAN),
)
IGNORED = (Class("bonnet", (0, 0, 0), things.BONNET),)


class Builder(builder.Builder):
    """Streets drawn by the computer."""

    VERSION = tfds.core.Version("1.0.0")
    LICENCE = "Apache-2.0"

    def __init__(
        self,
        source: Path | None,
        cache: Path,
        *,
        train: int = 600,
        val: int = 120,
        size: tuple[int, int] = (96, 128),
        seed: int = 0,
    ):
        """`train` and `val` are numbers of images, `size` is (height, width) in pixels; another `seed` draws other streets."""
        if not (len(size) == 2 and min(size) >= 32 and train > 0 and val > 0):
            raise ValueError(
                "Expected streets(train=1.., val=1.., size=(height, width)) of at least 32 pixels a side. "
                f"Received: train={train}, val={val}, size={size}."
            )
        splits = {"train": Drawn(train, size, (seed, 0)), "val": Drawn(val, size, (seed, 1))}
        options = {"train": train, "val": val, "size": "x".join(map(str, size)), "seed": seed}
        code = b"".join(Path(module.__file__).read_bytes() for module in (canvas, street, things))
        super().__init__(source, cache, classes=CLASSES, ignored=IGNORED, splits=splits, options=options, code=code)


class Drawn(Sequence):
    """A sequence of streets; each is drawn when it is read."""

    def __init__(self, length: int, size: tuple[int, int], seed: tuple[int, int]):
        self._length, self._size, self._seed = length, size, seed

    def __len__(self):
        """The number of streets."""
        return self._length

    def __getitem__(self, index):
        """Draws one: a function of the seed and the index."""
        if not 0 <= index < self._length:
            raise IndexError(index)
        image, label = street.draw(np.random.default_rng((*self._seed, index)), self._size)
        return listing.Example(f"{('train', 'val')[self._seed[1]]}_{index:06}", image, label)
