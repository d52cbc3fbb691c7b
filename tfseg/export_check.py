"""Checks that an export computes what the live network computes, in a process that has only the runtime of its format."""

import dataclasses
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfseg import metrics, objects

ROOT = pathlib.Path(__file__).resolve().parents[1]
LEAST_EQUAL = 0.9999  # share of the pixels in which an export without quantization gives the class of the live network
MOST_OTHER = 0.01  # largest difference of a further output, as a share of its largest value, or of 1 if that is less
MOST_LOSS = 0.02  # of mIoU that 8 bits may cost before the user is told what to do


@dataclasses.dataclass(frozen=True)
class Comparison:
    """An export beside the live network, on the same images."""

    images: int
    difference: float  # largest difference of the export's scores to the live network's; NaN if it has classes only
    equal: float  # share of pixels with the same class, 0..1
    miou: float | None = None  # of the export on the images that have a label, 0..1
    miou_live: float | None = None  # of the live network
    labelled: int = 0  # images that have a label
    # Largest differences of further outputs, by name.
    others: dict[str, float] = dataclasses.field(default_factory=dict)
    boxes: int | None = None  # how many the export found; each is the one that the live code makes of its cells

    @property
    def loss(self) -> float:
        """What the export loses of the live network's mIoU, 0..1; 0 where no image has a label."""
        return 0.0 if self.miou is None else self.miou_live - self.miou

    def sentence(self) -> str:
        """For the user."""
        said = f"largest difference to the live model {self.difference:.2g}, {self.equal:.4%} of the pixels equal"
        said += f" on {self.images} images"
        if self.miou is not None:
            scores = f"{100 * self.miou_live:.2f} -> {100 * self.miou:.2f}"
            said += f"; loss of mIoU {100 * self.loss:.2f} points ({scores}) on the {self.labelled} of them that have labels"
        for name, value in self.others.items():
            said += f"; largest difference of {name} {value:.2g}"
        if self.boxes is not None:
            said += f"; {self.boxes} boxes"
        return f"{said}."


def compare(
    kind: str,
    path: pathlib.Path,
    live: Callable,
    samples: list[tuple[np.ndarray, np.ndarray | None]],
    quantize: str,
    finder: objects.Finder = objects.NONE,
) -> Comparison:
    """Compares an export with the live function from images, uint8 [1, height, width, 3], to scores and other outputs.

    Args:
        kind: the format.
        path: what its `load` opens.
        live: (the scores of the live network, float32 [1, height, width, classes], {name: another output}).
        samples: (image uint8 [height, width, 3], label uint8 [height, width] or None) each.
        quantize: the value of --quantize.
        finder: finds the boxes of the live network.

    Raises:
        ValueError: if the runtime cannot read or run the export, if a score is not finite, if fewer than 99.99 % of the
            classes are equal and nothing is quantized, if another output differs by more than 1 %, or if the export has other
            boxes than `finder` makes of its cells.
    """
    results = run(kind, path, [image for image, _ in samples])
    difference, equal, pixels, confusions, largest, boxes = 0.0, 0, 0, [0, 0], {}, None
    for (image, label), result in zip(samples, results, strict=True):
        scores, others = tf.nest.map_structure(lambda output: output.numpy()[0], live(tf.constant(image[np.newaxis])))
        expected, received = np.argmax(scores, -1), classes(result)
        if received.shape != expected.shape:
            raise ValueError(
                f"Expected classes of shape {expected.shape}. Received: {received.shape} from {path.name}."
            )
        difference = max(difference, _difference(result, scores))
        equal += int(np.sum(received == expected))
        pixels += expected.size
        for name in sorted(set(others) & set(result)):
            largest[name] = max(largest.get(name, 0.0), _checked_output(name, result[name], others[name], path))
        if "boxes" in result:
            boxes = (boxes or 0) + _checked_boxes(result, finder, image.shape[:2], path)
        if label is not None:
            for i, prediction in enumerate((received, expected)):
                confusions[i] += metrics.confusion_matrix(label, prediction.astype(np.int32), scores.shape[-1]).numpy()
    labelled = sum(label is not None for _, label in samples)
    found = Comparison(len(samples), difference, equal / pixels, *_mious(confusions), labelled, largest, boxes)
    if quantize == "none" and not found.equal >= LEAST_EQUAL:
        raise ValueError(
            f"Expected the classes of the live model in at least {LEAST_EQUAL:.2%} of the pixels. Received: {found.sentence()}"
        )
    return found


def run(kind: str, path: pathlib.Path, images: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
    """The outputs of an export for images uint8 [height, width, 3], from another process.

    Raises:
        ValueError: if the runtime cannot read or run it.
    """
    with tempfile.TemporaryDirectory() as folder:
        given, made = pathlib.Path(folder) / "images.npz", pathlib.Path(folder) / "results.npz"
        np.savez(given, **{str(i): image for i, image in enumerate(images)})
        command = [sys.executable, "-m", "tfseg.run_export", kind, str(path), str(given), str(made)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
            said = lines[-1] if lines else f"the process ended with status {done.returncode}"
            raise ValueError(f"Expected an export that its runtime can run. Received: --format={kind}: {said}")
        with np.load(made) as results:
            return [
                {name.partition("/")[2]: results[name] for name in results.files if name.startswith(f"{i}/")}
                for i in range(len(images))
            ]


def classes(result: dict[str, np.ndarray]) -> np.ndarray:
    """The class of each pixel, int64 [.., height, width], from whatever an export gives."""
    for name in ("logits", "probabilities"):
        if name in result:
            return np.argmax(result[name], -1)
    if "classes" in result:
        return result["classes"].astype(np.int64)
    raise ValueError(f"Expected one of the outputs logits, probabilities, classes. Received: {', '.join(result)}.")


def _difference(result, scores):
    """The largest difference of what an export gives to the live scores."""
    largest = float("nan")
    for name, values in result.items():
        if not np.all(np.isfinite(values)):
            raise ValueError(f"Expected finite {name} from the export. Received: NaN or infinity.")
        if name in ("logits", "probabilities"):
            expected = scores if name == "logits" else tf.nn.softmax(scores).numpy()
            largest = np.fmax(largest, float(np.max(np.abs(values - expected))))
    return float(largest)


def _checked_output(name, received, expected, path):
    """The largest difference of another output to the live one; raises ValueError if it is more than MOST_OTHER."""
    if received.shape != expected.shape:
        raise ValueError(f"Expected {name} of shape {expected.shape}. Received: {received.shape} from {path.name}.")
    difference, scale = float(np.max(np.abs(received - expected))), max(1.0, float(np.max(np.abs(expected))))
    if not difference <= MOST_OTHER * scale:
        raise ValueError(
            f"Expected {name} of the live model, whose values are up to {scale:.3g}. Received: a difference of "
            f"{difference:.3g} from {path.name}."
        )
    return difference


def _checked_boxes(result, finder, size, path):
    """The number of boxes of an export; raises ValueError if they are not those that the live code makes of its cells.

    It is not compared with the boxes of the live cells: where two guesses are nearly equal, rounding decides which one stays.
    """
    expected = finder.located(
        {name: tf.constant(result[name][np.newaxis]) for name in finder.reads if name in result}, size
    )
    for name, value in expected.items():
        if not np.allclose(result[name], value[0], rtol=1e-4, atol=1e-3):
            raise ValueError(f"Expected the {name} that its cells give. Received: others from {path.name}.")
    return int(result["box_count"])


def _mious(confusions):
    return [
        None if isinstance(one, int) else metrics.compute(one, list(map(str, range(len(one)))))["miou"]
        for one in confusions
    ]
