"""What the values in label maps mean: ids, names and colours of the classes, and the files that say so."""

import json
import pathlib

import numpy as np

import input_pipeline
from input_pipeline.source import files
from tfseg import config as config_lib
from tfseg import pictures
from tfseg.inference import monte_carlo
from tfseg.prediction import folders

LARGEST_ID = 65535  # of a 16-bit PNG
UNITS = {"entropy": "nats", "mutual_information": "nats", "variance": "probability squared, mean over the classes"}


def class_rows(table: list["input_pipeline.Class"], count: int = 0) -> list[dict]:
    """The rows of classes.json: {"id": train id, "raw": the class table's own id or None, "name", "color"}.

    If the network has more classes, `count`, than the data set, the others have numbers as names and are gray.
    """
    rows = [{"id": i, "raw": c.raw, "name": c.name, "color": list(c.color)} for i, c in enumerate(table)]
    more = range(len(rows), count)
    return rows + [{"id": i, "raw": None, "name": f"class {i}", "color": [(60 + 37 * i) % 256] * 3} for i in more]


def ids_of(classes: list[dict], which: str) -> np.ndarray:
    """The value in a label map for each train id, uint8 or uint16 [classes].

    Args:
        classes: rows of classes.json.
        which: `train` or `raw`.

    Raises:
        ValueError: for `raw` if a class has no id of its own, or one that a PNG cannot hold.
    """
    ids = [row["id" if which == "train" else "raw"] for row in classes]
    without = [row["name"] for row, i in zip(classes, ids, strict=True) if i is None or not 0 <= i <= LARGEST_ID]
    if without:
        raise ValueError(
            f"Expected, for --label_ids=raw, a run whose class table has an id of 0..{LARGEST_ID} for every class. Received: "
            f"none for {', '.join(without[:10])}{', ...' if without[10:] else ''}. Use --label_ids=train; classes.json says "
            "which class each id is."
        )
    return np.array(ids, np.uint8 if max(ids) < 256 else np.uint16)


def write_about(classes: list[dict], output_dir: pathlib.Path, config: config_lib.Config) -> None:
    """Writes legend.png and classes.json, which explain the predictions, and scale.json, which explains their uncertainty.

    Raises:
        ValueError: if other classes or samples are explained there, unless --overwrite is given.
    """
    names, colors = [row["name"] for row in classes], np.array([row["color"] for row in classes], np.uint8)
    about = {
        output_dir / "legend.png": files.encode_png(pictures.legend(names, colors)),
        output_dir / "classes.json": json.dumps(classes, indent=1).encode(),
    }
    if config.monte_carlo:
        scale = {kind: {"255": value, "unit": UNITS[kind]} for kind, value in monte_carlo.scale(len(classes)).items()}
        scale |= {"samples": config.monte_carlo, "seed": config.seed, "inference": config.inference}
        about[output_dir / "uncertainty" / "scale.json"] = json.dumps(scale, indent=1).encode()
    other = [str(path) for path, data in about.items() if path.exists() and path.read_bytes() != data]
    if other and not config.overwrite:
        raise ValueError(
            f"Expected --output_dir for predictions of these classes and samples. Received: {' and '.join(other)} of other "
            "ones. Use another folder, or --overwrite."
        )
    for path, data in about.items():
        folders.write(path, data)
