"""Movies of two handwritten digits that drift over the picture, as in Moving MNIST.

N. Srivastava, E. Mansimov, R. Salakhutdinov. Unsupervised learning of video representations using LSTMs. ICML 2015,
arXiv:1502.04681. There the digits bounce off the edges, and the brighter of two digits is seen. Without bouncing they move on
beyond the edges and come back on the other side, and the second digit hides the first.
"""

from pathlib import Path

import numpy as np

from input_pipeline.datasets import moving_mnist
from input_pipeline.datasets._digits import handwriting, scenes

DIGITS = 2
SPEEDS = (2.0, 4.0)  # pixels a frame


def draw(options: scenes.Options, index: int, frames: int, bounce: bool) -> list[scenes.Scene]:
    """The frames of a movie. Its digits are of two kinds, if there are two."""
    rng, source = options.random(index), options.digits()
    first = rng.integers(len(source.kinds))
    others = np.flatnonzero(source.kinds != source.kinds[first])
    second = rng.choice(others) if len(others) else rng.integers(len(source.kinds))
    tiles = [source.images[i].astype(np.float32) for i in (first, second)]
    kinds = [options.kinds.index(source.kinds[i]) + 1 for i in (first, second)]
    behind = scenes.ground(rng, options.size, options.texture)
    places = [places_of(rng, options.size, frames, bounce) for _ in tiles]
    return [_frame(behind, tiles, kinds, [places[k][t] for k in range(DIGITS)], bounce) for t in range(frames)]


def places_of(rng: np.random.Generator, size: tuple[int, int], frames: int, bounce: bool) -> np.ndarray:
    """The upper left corner of a digit in each frame, int [frames, 2], rows first; it drifts at one speed."""
    angle, speed = rng.uniform(0, 2 * np.pi), rng.uniform(*SPEEDS)
    step = speed * np.array([np.sin(angle), np.cos(angle)])
    room = np.array(size) - handwriting.SIDE
    place = rng.uniform(0, room) + step * np.arange(frames)[:, np.newaxis]
    if bounce:
        place = room - np.abs(place % (2 * room) - room)
    else:
        place = (place + handwriting.SIDE) % (room + 2 * handwriting.SIDE) - handwriting.SIDE
    return np.rint(place).astype(int)


def _frame(behind, tiles, kinds, corners, bounce):
    """A frame. What is outside of the picture is cut off."""
    edge = handwriting.SIDE
    picture, instances = np.pad(behind, edge), np.zeros(np.add(behind.shape, 2 * edge), np.uint16)
    for number, (tile, (top, left)) in enumerate(zip(tiles, corners, strict=True), 1):
        place = slice(top + edge, top + 2 * edge), slice(left + edge, left + 2 * edge)
        if bounce:
            picture[place] = np.maximum(picture[place], tile)
        else:
            scenes.paint(picture, tile, place)
        instances[place][tile > scenes.INK] = number
    picture, instances = (x[edge:-edge, edge:-edge] for x in (picture, instances))
    return scenes.Scene(scenes.gray(picture), scenes.labels(instances, kinds), instances, kinds)


def write(source: Path, folder: Path, movies: int = 10_000, frames: int = 20, size: int = 64, seed: int = 0) -> Path:
    """Writes movies on black ground as the file of the data set `moving_mnist`, uint8 [frames, movies, size, size].

    The movies that it takes for its train split have other digits than the rest.

    Args:
        source: the folder of MNIST's digits.
        folder: where the file goes. A file that is there is not replaced.
        movies, frames: how many.
        size: height and width, pixels.
        seed: another one makes other movies.

    Returns:
        The file.
    """
    path, found = folder / moving_mnist.FILE, handwriting.files(source)
    if not found or not movies > 0 or not frames > 0 or size <= handwriting.SIDE:
        raise ValueError(
            f"Expected MNIST's digits in {source}, movies and frames of 1 or more, and a size above {handwriting.SIDE}. "
            f"Received: {len(found)} files, {movies=}, {frames=}, {size=}."
        )
    if path.exists():
        raise FileExistsError(
            f"Expected a new file. Received: {path}, which exists. Give another folder, or remove it."
        )
    folder.mkdir(parents=True, exist_ok=True)
    array = np.lib.format.open_memmap(path, "w+", np.uint8, (frames, movies, size, size))
    for index in range(movies):
        split = "train" if index < round(moving_mnist.TRAIN * movies) else "val"
        options = scenes.Options(found, split, (size, size), (DIGITS, DIGITS), False, tuple(range(10)), seed)
        array[:, index] = [scene.image[..., 0] for scene in draw(options, index, frames, bounce=True)]
    array.flush()
    return path
