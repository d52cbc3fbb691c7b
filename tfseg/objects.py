"""Objects that a network finds: boxes (`detection`), instances (masks in boxes, or `embedding`), and peaks of `class_maps`.

--suppress, --cluster and --peaks say how. Prediction, TensorBoard's pictures and exports find boxes and instances here in the
same way; only prediction finds peaks. The metrics of objects have options of their own, because they count guesses of low
scores too.
"""

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from input_pipeline import instances
from tfseg import box_masks, detection, losses
from tfseg import config as config_lib
from tfseg import peaks as peaks_lib
from tfseg import spec as specs
from tfseg.metrics import instance_ap


class Object(NamedTuple):
    """An object in an image."""

    kind: int  # train id of its class
    score: float | None  # 0..1; None for a true object
    box: tuple[float, float, float, float]  # x1, y1, x2, y2 in pixels, where 0, 0 is the image's upper left corner
    instance: int = 0  # its id in the map of instances, from 1; 0 for a box alone
    pixels: int = 0  # of the instance


class Objects(NamedTuple):
    """The objects of an image: first boxes, by falling score, then instances, by their ids."""

    listed: Sequence[Object] = ()
    ids: np.ndarray | None = None  # uint16 [height, width], 0 for no instance; None if instances are not looked for
    peaks: peaks_lib.Peaks | None = None  # None if they are not looked for


@dataclasses.dataclass(frozen=True)
class Finder:
    """How the objects of a network are found. One without `cells` and `things` finds none."""

    cells: tuple[
        int, ...
    ] = ()  # the train ids that the probabilities of a cell of `detection` stand for, in their order
    things: tuple[int, ...] = ()  # the classes whose pixels have instances by their `embedding`
    threshold: float = 0.3
    overlap: float = 0.5
    most: int = 100
    bandwidth: float = 1.5
    smallest: int = 30
    search: peaks_lib.Search | None = None  # of a network with class maps; what it needs comes from its `responder`
    masks: str = ""  # the head that gives the objects of the cells their masks: one of `box_masks.READS`

    @property
    def reads(self) -> tuple[str, ...]:
        """The names of the network's outputs that it reads."""
        of_cells = box_masks.READS.get(self.masks, ("detection",)) if self.cells else ()
        return (*of_cells, *(("embedding",) if self.things else ()))

    @property
    def with_ids(self) -> bool:
        """Whether it finds instances."""
        return bool(self.things or self.masks)

    def boxes(self, cells: tf.Tensor, size: tf.Tensor) -> dict[str, tf.Tensor]:
        """Boxes of the images of a batch, inside the graph.

        Args:
            cells: the output `detection`, float [batch, rows, columns, 5 B + C].
            size: (height, width) of the images.

        Returns:
            {"boxes": float32 [batch, most, 4], x1, y1, x2, y2 in pixels, cut at the edges of the image; "box_scores": float32
            [batch, most], falling; "box_classes": int32 [batch, most], train ids; "box_count": int32 [batch]}. Rows from
            `box_count` on are 0 of class -1.
        """
        return detection.in_pixels(cells, self.cells, size, **self._suppression)

    def located(self, outputs: Mapping[str, tf.Tensor], size: tf.Tensor) -> dict[str, tf.Tensor]:
        """`boxes` of the network's outputs, and of one with masks also what `box_masks.find` gives; inside the graph."""
        if self.masks:
            return box_masks.find(self.masks, outputs, self.cells, size, **self._suppression)
        return self.boxes(outputs["detection"], size)

    @property
    def _suppression(self):
        return {"threshold": self.threshold, "overlap": self.overlap, "most": self.most}

    def embedding(self, embedding: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        """The embedding, float32 [batch, height, width, dimensions], at the size of label maps [batch, height, width]."""
        return losses.at_one_size(tf.cast(embedding, tf.float32), label, "label")[0]

    def compute(
        self, outputs: Mapping[str, tf.Tensor], label: tf.Tensor, confidence: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """What `objects` needs of the images of a batch, inside the graph.

        Args:
            outputs: the network's outputs that `reads` names.
            label: the predicted classes, integers [batch, height, width].
            confidence: their probabilities, float [batch, height, width].
        """
        found = self.located(outputs, tf.shape(label)[1:3]) if self.cells else {}
        if self.things:
            found |= {"embedding": self.embedding(outputs["embedding"], label), "confidence": confidence}
        return found

    def objects(self, found: Mapping[str, np.ndarray], label: np.ndarray) -> Objects:
        """The objects of one image.

        Args:
            found: what `compute` returns, of this image, and what the responder of `search` does, where peaks are wanted.
            label: the predicted classes, integers [height, width].
        """
        listed, guesses = [], []
        if self.masks:
            guesses = instance_ap.guess_in_boxes(self.masks, found, label.shape)
        elif self.cells:
            rows = (found[name][: found["box_count"]].tolist() for name in ("box_classes", "box_scores", "boxes"))
            listed = [Object(kind, score, tuple(box)) for kind, score, box in zip(*rows, strict=True)]
        if self.search and "responses" in found:
            return self._of_peaks(found, listed)
        if self.things:
            given = label, found["confidence"], found["embedding"]
            guesses += instance_ap.guess(*given, self.things, self.bandwidth, self.smallest)
        if not self.with_ids:
            return Objects(listed)
        ids, seen = np.zeros(label.shape, np.uint16), []
        for number, one in reversed([*enumerate(guesses, 1)]):  # masks may overlap, and the best lies on top
            ids[one.mask] = number
        for number, one in enumerate(guesses, 1):
            mask = ids == number
            if pixels := int(np.count_nonzero(mask)):
                box = tuple(map(float, instances.around(mask)))
                seen.append(Object(one.kind, one.score, box, len(seen) + 1, pixels))
                ids[mask] = len(seen)
        return Objects([*listed, *seen], ids)

    def _of_peaks(self, found, listed):
        """With the masks of peaks as instances. The strongest is on top; the score is the sigmoid of the peak's value."""
        peaks, masks = self.search.peaks(found)
        ids = np.zeros(peaks.responses.shape[1:], np.uint16)
        for number, one in reversed(list(enumerate(masks, 1))):
            ids[one.mask] = number
        for number, one in enumerate(masks, 1):
            score = float(tf.sigmoid(peaks.listed[one.peaks[0]].value))
            box, pixels = tuple(map(float, instances.around(one.mask))), int(np.count_nonzero(ids == number))
            listed.append(Object(one.kind, score, box, number, pixels))
        return Objects(listed, ids, peaks)

    def of_outputs(self, outputs: Mapping[str, tf.Tensor], label: np.ndarray) -> Objects:
        """The objects of one image, of what the network gives for a batch of it alone, and of the predicted classes."""
        confidence = tf.reduce_max(tf.nn.softmax(outputs["logits"]), -1)
        found = self.compute(outputs, label[np.newaxis], confidence)
        return self.objects({name: value[0].numpy() for name, value in found.items()}, label)

    def true(self, example: Mapping[str, np.ndarray]) -> Objects:
        """The true objects of an example of the data set, of those kinds that are looked for in a prediction."""
        if "boxes" not in example:
            return Objects()
        with_ids = "instances" in example and self.with_ids
        listed = [
            Object(int(kind), None, tuple(map(float, box)), number if with_ids else 0)
            for number, (kind, box) in enumerate(zip(example["box_classes"], example["boxes"], strict=True), 1)
            if kind in (*self.cells, *self.things)
        ]
        if not with_ids:
            return Objects(listed)
        wanted = np.isin(example["instances"], [one.instance for one in listed])
        return Objects(listed, np.where(wanted, example["instances"], 0).astype(np.uint16))


NONE = Finder()


def build(config: config_lib.Config, outputs: Mapping, names: Sequence[str], things: Sequence[str] = ()) -> Finder:
    """The finder of a network, by --suppress, --cluster and --peaks.

    Args:
        config: the options. The classes of the cells are those of the loss, unless --suppress names them.
        outputs: the network's outputs, of which only the shapes are read.
        names: of the classes, by train id.
        things: names of the classes that have instances, unless --cluster names them; blank: all.

    Raises:
        ValueError: for a wrong option, a name that is no class, or cells that have other classes.
    """
    suppress, cluster, peaks = options(config)
    cells, kinds = (), ()
    if "detection" in outputs:
        cells = suppress.pop("classes") or classes_of_cells(config.loss, names)
        cells = _ids("suppress", cells, names) or tuple(range(outputs["logits"].shape[-1]))
        if not detection.fits(outputs["detection"], len(cells)):
            channels = outputs["detection"].shape[-1]
            raise ValueError(
                f"Expected an output `detection` with 5 channels for each box and one for each of {len(cells)} classes. "
                f"Received: {channels} channels. Name the classes of the cells: --suppress=\"nms(classes=('car', ..))\"."
            )
    if "embedding" in outputs:
        kinds = _ids("cluster", cluster.pop("classes") or tuple(things) or tuple(names), names)
    with_peaks = set(peaks_lib.OUTPUTS) <= set(outputs)
    with_peaks = with_peaks and outputs["class_maps"].shape[-1] == outputs["logits"].shape[-1]
    search = peaks_lib.Search(**peaks) if with_peaks else None
    found = Finder(cells, kinds, masks=box_masks.head_of(outputs) if cells else "", search=search)
    chosen = (suppress if cells else {}) | (cluster if kinds else {})
    return dataclasses.replace(found, **{key: value for key, value in chosen.items() if key != "classes"})


def options(config: config_lib.Config) -> tuple[dict, dict]:
    """The options of --suppress, --cluster and --peaks by name; raises ValueError if one of them is wrong."""
    return tuple(chosen(option, getattr(config, option)) for option in WAYS)


def chosen(option: str, text: str) -> dict:
    """The options by name in the text of --suppress, --cluster or --peaks."""
    call = specs.parse(text)
    return specs.apply(specs.choose(WAYS[option], call.name, "one of these", text), call)


def nms(*, threshold: float = 0.3, overlap: float = 0.5, most: int = 100, classes: tuple[str, ...] = ()) -> dict:
    """Boxes whose score is above `threshold`, without those whose IoU with a better one of their class is above `overlap`.

    There are at most `most` in an image. `classes` are the names that the probabilities of a cell stand for, in their order.
    """
    detection.check(threshold, overlap, most)
    return {"threshold": threshold, "overlap": overlap, "most": most, "classes": _names(classes)}


def mean_shift(*, bandwidth: float = 1.5, smallest: int = 30, classes: tuple[str, ...] = ()) -> dict:
    """Clusters of the embedding as in `clustering.mean_shift`: `bandwidth` is delta_d of the loss, `smallest` is in pixels.

    `classes` are the names of the classes whose pixels are clustered.
    """
    if not (bandwidth > 0 and isinstance(smallest, int) and smallest >= 1):
        raise ValueError(
            f"Expected bandwidth above 0 and smallest of 1 or more pixels. Received: {bandwidth=}, {smallest=}."
        )
    return {"bandwidth": bandwidth, "smallest": smallest, "classes": _names(classes)}


WAYS = {
    "suppress": {"nms": nms},
    "cluster": {"mean_shift": mean_shift},
    "peaks": {"strongest": peaks_lib.strongest},
}


def classes_of_cells(loss: str, names: Sequence[str]) -> tuple[str, ...]:
    """The names of the classes that the cells of `detection` are trained for, by the loss that reads it; () for all.

    Args:
        loss: --loss.
        names: of the classes, by train id.

    Raises:
        ValueError: for a train id without a class.
    """
    for _, call in specs.parse_sum(loss):
        parameters = inspect.signature(specs.function(losses.__name__, call.name, losses.names())).parameters
        if not {"detection", "classes"} <= set(parameters):
            continue
        ids = call.kwargs.get("classes", ())
        wrong = [i for i in ids if not (isinstance(i, int) and 0 <= i < len(names))]
        if wrong:
            raise ValueError(
                f"Expected train ids from 0 to {len(names) - 1} as classes of {call.name}. Received: {wrong} in --loss={loss}."
            )
        return tuple(names[i] for i in ids)
    return ()


def _names(classes):
    if isinstance(classes, str) or not all(isinstance(name, str) for name in classes):
        raise ValueError(f"Expected classes=('car', ..), names of classes. Received: {classes=}.")
    return tuple(classes)


def _ids(option, classes, names):
    unknown = [name for name in classes if name not in names]
    if unknown:
        raise ValueError(
            f"Expected names of the classes {', '.join(names)} in --{option}. Received: {', '.join(unknown)}."
        )
    return tuple(list(names).index(name) for name in classes)
