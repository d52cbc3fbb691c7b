"""--mode=pseudo_label: a trained network labels images, as a folder that a run may be trained on.

    python main.py --mode=pseudo_label --workdir=runs/day --images=dusk --confidence=0.7 --output_dir=dusk_labelled
    python main.py --dataset=folder --data_dir=dusk_labelled ...

Lee, Pseudo-Label, ICML workshops 2013. Quantiles of each class: Zou et al., Unsupervised Domain Adaptation for Semantic
Segmentation via Class-Balanced Self-Training, ECCV 2018. https://arxiv.org/abs/1810.07911
"""

import contextlib
import csv
import io
import pathlib

import numpy as np

from input_pipeline import IGNORE
from input_pipeline.source import files
from tfseg import config as config_lib
from tfseg import evaluate, predict, preflight
from tfseg.prediction import folders, job, outputs, sources
from tfseg.prediction.labels import class_rows

BINS = 1000  # of a probability, where the quantiles of the classes are counted
IMAGES, MASKS, SOFT = "images/train", "masks/train", "soft"


def pseudo_label(config: config_lib.Config) -> list[pathlib.Path]:
    """Writes images, masks and classes.csv into --output_dir, which `--dataset=folder` reads as a train split.

    The label of a pixel is its most probable class, of the same network and --inference as in prediction, without augmentation.
    It is 255, ignored, where the probability of that class is below --confidence. It is also ignored where it is among the
    least probable share, --quantile, of all pixels that have this label. Such a share for each class keeps rare classes: a
    network is seldom sure of them, so that one confidence for all would remove them. With --soft there are also the
    probabilities, `soft/NAME.npz`, float16 [height, width, classes].

    The images are those of --images, or if it is blank those of the data set's --split, whose labels are not read.

    Returns:
        The paths of the masks.

    Raises:
        ValueError: if the options cannot be, if --output_dir has masks already and --overwrite is not given, or if some images
            cannot be read; the message names each of these.
    """
    output_dir = pathlib.Path(config.output_dir)
    if not config.output_dir:
        raise ValueError("Expected --output_dir, the folder for the labelled images. Received: none.")
    if (output_dir / "masks").exists() and not config.overwrite:
        raise ValueError(
            f"Expected --output_dir without masks. Received: {output_dir / 'masks'}. Use another folder, or --overwrite."
        )
    preflight.check_inference(config)
    groups = _images(config, output_dir)
    for place in (IMAGES, MASKS):
        folders.check_writable(output_dir / place)
    model, state = evaluate.trained_model(config)
    classes = class_rows(state.class_table(), model.output["logits"].shape[-1])
    if len(classes) > IGNORE:
        raise ValueError(f"Expected {IGNORE} classes at most, as a mask has 8 bits. Received: {len(classes)}.")
    ids, colors = np.arange(len(classes), dtype=np.uint8), np.array([row["color"] for row in classes], np.uint8)
    run, compute = outputs.Run(classes, ids, colors, config.opacity), predict.computation(config, model, True)
    least = np.full(len(classes), config.confidence)
    if config.quantile:
        counts = np.zeros((len(classes), BINS), np.int64)
        counting = job.Job(config, run, compute)
        counting.predict([(group, [_counted(counts)]) for group in groups])
        least = np.maximum(least, thresholds(counts, config.quantile))
        groups = _images(config, output_dir)  # once more from the beginning
    folders.write(output_dir / "classes.csv", _table(classes))
    work = job.Job(config, run, compute)
    work.predict([(group, _written(least, config.soft)) for group in groups])
    for row, threshold in zip(classes, least, strict=True):
        print(f"{row['name']:24} labelled from a probability of {threshold:.3f}")
    work.say_result([IMAGES, MASKS, *([SOFT] if config.soft else [])], about=("classes.csv",))
    return work.written


def labelled(label: np.ndarray, probabilities: np.ndarray, least: np.ndarray) -> np.ndarray:
    """The mask of an image, uint8 [height, width]: its label where the probability is at least that of its class, or IGNORE.

    Args:
        label: integer [height, width], the most probable class.
        probabilities: [height, width, classes].
        least: [classes].
    """
    return np.where(_most(probabilities) >= least[label], label, IGNORE).astype(np.uint8)


def thresholds(counts: np.ndarray, quantile: float) -> np.ndarray:
    """For each class the probability below which the share `quantile`, 0..1, of its pixels lies, to 1 / bins; 0 without pixels.

    Args:
        counts: int [classes, bins], pixels by their most probable class and by its probability.
        quantile: 0..1.
    """
    below = np.cumsum(counts, axis=1)
    # The first bin that is not wholly among the lowest share.
    first = np.argmax(below > quantile * below[:, -1:], axis=1)
    return np.where(below[:, -1] > 0, first / counts.shape[1], 0.0)


def _images(config, output_dir):
    """The groups of images; refuses videos, which a folder of images does not have."""
    groups = sources.find(config, output_dir)
    if any(group.video for group in groups):
        raise ValueError(f"Expected images. Received: videos at --images={config.images}. Save their frames as images.")
    return groups


def _counted(counts):
    """An output that is no file: it counts the pixels of each class by probability."""

    def draw(prediction, run):
        bins = np.minimum((_most(prediction.probabilities) * BINS).astype(np.int64), BINS - 1)
        places = prediction.label.astype(np.int64) * BINS + bins
        return np.bincount(places.ravel(), minlength=counts.size).reshape(counts.shape)

    @contextlib.contextmanager
    def collect(path, run, fps):
        def add(prediction, found):
            counts[:] += found

        yield add

    return outputs.Output("counts", draw, each="run", collect=collect, needs_probabilities=True)


def _written(least, soft):
    """The files of an image."""
    masks = outputs.Output(
        MASKS, lambda prediction, run: files.encode_png(labelled(prediction.label, prediction.probabilities, least))
    )
    images = outputs.Output(IMAGES, lambda prediction, run: files.encode_png(prediction.image))
    of_soft = outputs.build("probabilities")[0]
    return [masks, images, *([outputs.Output(SOFT, of_soft.draw, of_soft.extension)] if soft else [])]


def _most(probabilities):
    return probabilities.max(-1).astype(np.float32)


def _table(classes):
    """classes.csv, with the train ids as ids."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("id", "name"), *((row["id"], row["name"]) for row in classes)])
    return text.getvalue().encode()
