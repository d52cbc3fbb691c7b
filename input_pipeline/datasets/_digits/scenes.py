"""Scenes of handwritten digits, drawn on textures: each a function of its seed and its index."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from input_pipeline.datasets._digits import handwriting

SIDES = (20, 32)  # pixels of the square that a digit is in, at least and at most
INK = 90  # gray values above it belong to the digit
HIDDEN = 0.1  # a digit is not put where it would hide this share of another one, or more
BRIGHTNESS = (0.2, 0.5)  # of the ground
PHOTOS = ("brick", "grass", "gravel")  # textures in scikit-image
TRIES = 100  # places for a digit, before the scene does without it


@dataclasses.dataclass(frozen=True)
class Options:
    """What a split of scenes looks like; see `digits.Builder`."""

    files: tuple[Path, ...]
    split: str
    size: tuple[int, int]
    objects: tuple[int, int]
    texture: bool | str
    kinds: tuple[int, ...]
    seed: int

    def random(self, index: int) -> np.random.Generator:
        """The random numbers of a scene or a movie."""
        return np.random.default_rng((self.seed, ("train", "val").index(self.split), index))

    def digits(self) -> handwriting.Digits:
        """The digits of the split that are of the chosen kinds."""
        return handwriting.digits(self.files, self.split, self.kinds)


class Scene(NamedTuple):
    """A picture and what is in it."""

    image: np.ndarray  # uint8 [height, width, 3], gray
    label: np.ndarray  # uint8 [height, width]: 0 ground, k + 1 the k-th of the chosen kinds
    instances: np.ndarray  # uint16 [height, width]: 0 ground, then the digits, the last one in front
    kinds: Sequence[int]  # the label of each digit


def draw(options: Options, index: int) -> Scene:
    """The scene of an index. A digit that finds no place is left out, but never the first."""
    rng, source = options.random(index), options.digits()
    picture = ground(rng, options.size, options.texture)
    instances, kinds, areas = np.zeros(options.size, np.uint16), [], []
    for _ in range(rng.integers(options.objects[0], options.objects[1] + 1)):
        chosen = rng.integers(len(source.kinds))
        for _ in range(TRIES):
            side = int(rng.integers(SIDES[0], SIDES[1] + 1))
            corner = [int(rng.integers(length - side + 1)) for length in options.size]
            tile = resized(source.images[chosen], side)
            place = tuple(slice(start, start + side) for start in corner)
            left = instances.copy()
            left[place][tile > INK] = 0
            shown = np.bincount(left.ravel(), minlength=len(kinds) + 1)[1:]
            if all((area - rest) / area < HIDDEN for area, rest in zip(areas, shown, strict=True)):
                break
        else:
            continue
        paint(picture, tile, place)
        kinds.append(options.kinds.index(source.kinds[chosen]) + 1)
        areas.append(np.count_nonzero(tile > INK))
        instances[place][tile > INK] = len(kinds)
    return Scene(gray(picture), labels(instances, kinds), instances, kinds)


def resized(tile: np.ndarray, side: int) -> np.ndarray:
    """A digit as float32 [side, side], 0..255."""
    how = cv2.INTER_AREA if side < len(tile) else cv2.INTER_LINEAR
    return cv2.resize(tile.astype(np.float32), (side, side), interpolation=how)


def paint(picture: np.ndarray, tile: np.ndarray, place) -> None:
    """Puts ink on a part of the picture, as opaque as it is bright."""
    picture[place] += (255 - picture[place]) * tile / 255


def labels(instances: np.ndarray, kinds: Sequence[int]) -> np.ndarray:
    """The label of each pixel, from that of each digit."""
    return np.array([0, *kinds], np.uint8)[instances]


def gray(picture: np.ndarray) -> np.ndarray:
    """Float [height, width], 0..255, as an RGB picture."""
    return np.repeat(np.rint(picture).astype(np.uint8)[..., np.newaxis], 3, -1)


def ground(rng: np.random.Generator, size: tuple[int, int], texture: bool | str) -> np.ndarray:
    """The picture without digits, float32 [height, width]: black, drawn, or a part of a photo."""
    if not texture:
        return np.zeros(size, np.float32)
    share = rng.uniform(*BRIGHTNESS)
    if texture == "photo":
        photo = photos()[rng.integers(len(PHOTOS))]
        top, left = (int(rng.integers(full - length + 1)) for full, length in zip(photo.shape, size, strict=True))
        return photo[top : top + size[0], left : left + size[1]] * np.float32(share)
    picture = np.zeros(size, np.float32)
    for cell in (2, 4, 8, 16):  # spots of several sizes, longer in one direction
        stretch = rng.uniform(0.5, 2)
        cells = [2 + int(n / (cell * s)) for n, s in zip(size, (stretch, 1 / stretch), strict=True)]
        spots = rng.random(cells, np.float32) * np.float32(rng.uniform(0.2, 1))
        picture += cv2.resize(spots, size[::-1], interpolation=cv2.INTER_LINEAR)
    low, high = picture.min(), picture.max()
    return (picture - low) / (high - low) * np.float32(255 * share)


@functools.cache
def photos() -> list[np.ndarray]:
    """The photos of PHOTOS, float32 [512, 512]; ImportError without scikit-image."""
    from skimage import data  # of the optional extra digits

    return [getattr(data, name)().astype(np.float32) for name in PHOTOS]
