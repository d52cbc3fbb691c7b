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
THINGS = ("tree", "pole", "sign", "car", "pedestrian")  # classes whose pixels belong to one object each
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
        instances: bool | tuple[str, ...] = False,
    ):
        """`train` and `val` are numbers of images, `size` is (height, width) in pixels; another `seed` draws other streets.

        `instances` adds the instances and their boxes: True for THINGS, or the names of some of them. An object has one class:
        the pole of a sign is one, and the sign another. Trees of the skyline are none.
        """
        if not (len(size) == 2 and min(size) >= 32 and train > 0 and val > 0):
            raise ValueError(
                "Expected streets(train=1.., val=1.., size=(height, width)) of at least 32 pixels a side. "
                f"Received: train={train}, val={val}, size={size}."
            )
        named = THINGS if instances is True else instances or ()
        if isinstance(named, str) or not set(named) <= set(THINGS):
            raise ValueError(
                f"Expected streets(instances=True) or the names of some of {', '.join(THINGS)}. Received: {instances!r}."
            )
        splits = {
            name: Drawn(n, size, (seed, i), named) for i, (name, n) in enumerate((("train", train), ("val", val)))
        }
        options = {"train": train, "val": val, "size": "x".join(map(str, size)), "seed": seed}
        options |= {"instances": instances} if instances else {}
        code = b"".join(Path(module.__file__).read_bytes() for module in (canvas, street, things))
        super().__init__(
            source,
            cache,
            classes=CLASSES,
            ignored=IGNORED,
            splits=splits,
            instances=bool(instances),
            options=options,
            code=code,
        )


class Drawn(Sequence):
    """A sequence of streets; each is drawn when it is read."""

    def __init__(self, length: int, size: tuple[int, int], seed: tuple[int, int], things: Sequence[str] = ()):
        self._length, self._size, self._seed = length, size, seed
        self._things = [i for i, c in enumerate(CLASSES) if c.name in things]

    def __len__(self):
        """The number of streets."""
        return self._length

    def __getitem__(self, index):
        """Draws one: a function of the seed and the index."""
        if not 0 <= index < self._length:
            raise IndexError(index)
        image, label, things = street.draw(np.random.default_rng((*self._seed, index)), self._size)
        # A thing may have parts of two classes: each is an object.
        ids = np.where(np.isin(label, self._things) & (things > 0), things * len(CLASSES) + label, 0)
        name = f"{('train', 'val')[self._seed[1]]}_{index:06}"
        return listing.Example(name, image, label, instances=ids if self._things else None)
