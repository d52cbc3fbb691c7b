"""Runs an exported network in a process of its own: python -m tfseg.run_export FORMAT PATH IMAGES.npz RESULTS.npz

The process imports numpy, the runtime of the format and nothing else, so it shows what a user without tfseg would get. IMAGES
has uint8 [height, width, 3] by their number. RESULTS gets `<number>/<output>`, and `modules`, the packages that were imported.
"""

import pathlib
import sys

import numpy as np

from tfseg import exports


def main(kind: str, path: str, images: str, results: str) -> None:
    """Runs the network on each of the images."""
    run = exports.find(kind).load(pathlib.Path(path))
    made = {}
    with np.load(images) as given:
        for number in given.files:
            for name, values in run(given[number][np.newaxis]).items():
                made[f"{number}/{name}"] = values[0]
    np.savez(results, modules=sorted({module.split(".")[0] for module in sys.modules}), **made)


if __name__ == "__main__":
    main(*sys.argv[1:])
