"""How well a run's network follows digits that pass behind a bar: python -m benchmarks.tracking --workdir=runs/propagate

Movies of 20 frames show two handwritten digits of the val split on a texture. One crosses the picture behind a bar, which hides
it for some frames; the other moves beside it, in front of everything. Four ways are compared: the first mask copied, the mask
moved along the flow, the network, and the network with re-identification. J and F leave out the first and the last frame; the
last column is the share of the objects whose mask in the last frame has an IoU above one half with the true one.

With --output_dir the first movies are written as frames and true ids, for --mode=track.
"""

import dataclasses
import pathlib

import cv2
import numpy as np
from absl import app, flags
from tqdm import tqdm

from input_pipeline.datasets._digits import handwriting, scenes
from tfseg import config as config_lib
from tfseg import evaluate, tables
from tfseg.tracking import propagation, scores
from tfseg.tracking.network import Network

FRAMES, SIZE, SIDE = 20, (64, 112), handwriting.SIDE
BAR, GRAY = (40, 70), 70  # columns of the bar, and its brightness: darker than ink, as the ground is
SPEED = (3.8, 4.2)  # pixels a frame: from the left of the bar to its right in 20 frames
WAYS = "copy of the first mask", "flow alone", "network", "network, re-identification"
WRITTEN = 3  # movies that --output_dir gets

WORKDIR = flags.DEFINE_string("workdir", None, "The run whose network follows the digits.", required=True)
DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "The folder of MNIST's digits, as for the data set digits.", required=True
)
MOVIES = flags.DEFINE_integer("movies", 20, "How many.", lower_bound=1)
THRESHOLD = flags.DEFINE_float(
    "reidentify", 0.5, "Similarity from which a lost digit is found again.", lower_bound=1e-6
)
SEED = flags.DEFINE_integer("seed", 0, "Another one draws other movies.")
OUTPUT_DIR = flags.DEFINE_string("output_dir", "", "Where some movies are written; blank: nowhere.")


def movie(options: scenes.Options, index: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """(frames, RGB uint8 [height, width, 3]; ids, uint8 [height, width]): 1 passes behind the bar, 2 moves beside it."""
    rng, source = options.random(index), options.digits()
    tiles = [source.images[i].astype(np.float32) for i in rng.choice(len(source.images), 2, replace=False)]
    behind = scenes.ground(rng, SIZE, options.texture)
    lanes = rng.permutation([2, SIZE[0] - SIDE - 2])
    hidden = rng.uniform(0, 4) + rng.uniform(*SPEED) * np.arange(FRAMES)
    beside = SIZE[1] - SIDE - rng.uniform(0, 8) - rng.uniform(2, 4) * np.arange(FRAMES)
    frames, maps = [], []
    for columns in zip(np.rint(hidden).astype(int), np.rint(beside).astype(int), strict=True):
        picture, ids = behind.copy(), np.zeros(SIZE, np.uint8)
        for number, (tile, lane, left) in enumerate(zip(tiles, lanes, columns, strict=True), 1):
            place = slice(lane, lane + SIDE), slice(left, left + SIDE)
            scenes.paint(picture, tile, place)
            ids[place][tile > scenes.INK] = number
            if number == 1:
                picture[:, slice(*BAR)], ids[:, slice(*BAR)] = GRAY, 0
        frames.append(scenes.gray(picture))
        maps.append(ids)
    return frames, maps


def followed(frames, first, network, threshold=0.0):
    """Yields the ids of every frame, and with a threshold those after re-identification. Without a network masks are moved."""
    one = propagation.Track(frames, first.astype(int), network)
    one.forwards()
    yield [one.owners(at) for at in range(len(frames))]
    if threshold:
        one.reidentify(threshold)
        yield [one.owners(at) for at in range(len(frames))]


def right(ids, true):
    """The share of the objects of a frame whose mask has an IoU above one half."""
    everywhere = np.ones(true.shape, bool)
    return np.mean([scores.region(ids == k, true == k, everywhere) > 0.5 for k in np.unique(true) if k])


def write(frames, maps, folder):
    """A movie as --mode=track reads it."""
    for name in ("clip", "true"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for at, (frame, ids) in enumerate(zip(frames, maps, strict=True)):
        cv2.imwrite(str(folder / "clip" / f"{at:05}.png"), frame[..., ::-1])
        cv2.imwrite(str(folder / "true" / f"{at:05}.png"), ids)


def main(_):
    """Prints the table."""
    found = handwriting.files(pathlib.Path(DATA_DIR.value))
    if not found:
        raise app.UsageError(f"Expected MNIST's digits in --data_dir. Received: none in {DATA_DIR.value}.")
    options = scenes.Options(found, "val", SIZE, (2, 2), True, tuple(range(10)), SEED.value)
    config = dataclasses.replace(
        config_lib.load(WORKDIR.value), mode="track", workdir=str(pathlib.Path(WORKDIR.value).resolve())
    )
    network = Network(evaluate.trained_model(config)[0], config.crop_size)
    results = {way: [] for way in WAYS}
    hidden = []
    for index in tqdm(range(MOVIES.value), "movies", disable=None):
        frames, maps = movie(options, index)
        hidden.append(sum(not (ids == 1).any() for ids in maps))
        if OUTPUT_DIR.value and index < WRITTEN:
            write(frames, maps, pathlib.Path(OUTPUT_DIR.value) / f"{index:03}")
        copies = [maps[0]] * len(frames)
        found = copies, *followed(frames, maps[0], None), *followed(frames, maps[0], network, THRESHOLD.value)
        for way, ids in zip(WAYS, found, strict=True):
            results[way].append({**scores.of_sequence(ids, maps), "right": right(ids[-1], maps[-1])})
    rows = [
        [
            way,
            *(f"{100 * value:.1f}" for value in scores.mean_of(of).values()),
            f"{100 * np.mean([r['right'] for r in of]):.1f}",
        ]
        for way, of in results.items()
    ]
    print(tables.text(["", "J %", "F %", "mean %", "right in the last frame %"], rows))
    print(f"{MOVIES.value} movies; the bar hides a digit for {min(hidden)} to {max(hidden)} frames.")


if __name__ == "__main__":
    app.run(main)
