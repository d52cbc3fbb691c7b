"""Measures peak memory and speed of --mode=prepare and --mode=check for several numbers of images.

    python -m benchmarks.prepare_memory --counts 1000 10000

The images are noise of 64 x 48 pixels, 9 KB each. TFDS keeps 1,000 of them in memory before it writes any, but not 10,000. Each
measurement is a process of its own. Printed are its largest resident memory, and how much more that is than after all imports.
"""

import argparse
import multiprocessing
import pathlib
import resource
import tempfile
import time

import numpy as np

SHAPE = (48, 64)


def make(root: pathlib.Path, count: int) -> None:
    """Writes a folder of `count` images and masks."""
    from input_pipeline.source import files

    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for i in range(count):
        (root / f"images/{i:06}.png").write_bytes(files.encode_png(rng.integers(0, 256, (*SHAPE, 3), np.uint8)))
        (root / f"masks/{i:06}.png").write_bytes(files.encode_png(rng.integers(0, 3, SHAPE, np.uint8)))
    (root / "classes.csv").write_text("id,name\n0,a\n1,b\n2,c\n")


def measure(root: pathlib.Path, mode: str, results) -> None:
    """Puts (peak, peak above the memory of the imports, seconds) of a mode into the queue; memory in MB."""
    import input_pipeline
    from input_pipeline import checking

    (root / "cache").mkdir(exist_ok=True)
    input_pipeline.prepare(
        "streets(train=2, val=1)", cache_dir=str(root / "cache")
    )  # loads what is loaded at first use
    before, begin = _peak(), time.monotonic()
    if mode == "prepare":
        input_pipeline.prepare("folder", str(root / "data"), str(root / "cache"))
    else:
        checking.check("folder", str(root / "data"))
    results.put((_peak(), _peak() - before, time.monotonic() - begin))


def _peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # of the whole process; in KB on Linux


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 10_000])
    spawn = multiprocessing.get_context("spawn")
    print(f"{'mode':10}{'images':>10}{'peak MB':>10}{'above imports':>16}{'images/s':>10}")
    for count in parser.parse_args().counts:
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            make(root / "data", count)
            for mode in ("prepare", "check"):
                results = spawn.Queue()
                child = spawn.Process(target=measure, args=(root, mode, results))
                child.start()
                peak, above, seconds = results.get()
                child.join()
                print(f"{mode:10}{count:10}{peak:10.0f}{above:16.0f}{count / seconds:10.0f}", flush=True)
