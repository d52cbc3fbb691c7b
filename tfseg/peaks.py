"""The peaks of class maps, what they respond to in the image, and the masks of the objects that this shows.

Zhou et al., Weakly Supervised Instance Segmentation using Class Peak Response, CVPR 2018. https://arxiv.org/abs/1804.00880. The
authors choose a mask for each peak among proposals of another program. There are none here: a mask is the part of the image
that the peak responds to most.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import cv2
import keras
import numpy as np
import tensorflow as tf

from models import layers
from models.layers import peak_convolution

OUTPUTS = ("class_maps", "class_scores")  # of a network that has peaks
BACKGROUND = 0.95  # the authors': where a class's map is below this share of its mean, the class is not


class Peak(NamedTuple):
    """A peak of a class map."""

    kind: int  # train id of its class
    value: float  # of the class map there
    cell: tuple[int, int]  # row and column in the class maps
    place: tuple[int, int]  # x and y of the pixel that it responds to most
    instance: int = 0  # the number of the mask that it is part of, from 1; 0: it responds to no pixel


class Peaks(NamedTuple):
    """What is found in an image."""

    listed: Sequence[Peak]  # by falling value
    responses: np.ndarray  # float32 [peaks, height, width], each with the sum 1
    class_maps: np.ndarray  # float32 [rows, columns, classes]
    scores: np.ndarray  # float32 [classes]


class Mask(NamedTuple):
    """A mask, made of one or several peaks."""

    kind: int
    peaks: list[int]  # their places in the list, the strongest first
    response: np.ndarray  # float32 [height, width], the sum of theirs
    mask: np.ndarray  # bool [height, width]


@dataclasses.dataclass(frozen=True)
class Search:
    """Which peaks are looked for, and how masks are made of them; see `strongest`."""

    score: float = 0.0
    value: float = 0.0
    most: int = 30
    level: float = 0.25
    blur: float = 0.01
    overlap: float = 0.3

    def responder(self, model: keras.Model) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
        """Makes the function of one image, RGB [1, height, width, 3], to what `peaks` needs, all with a first axis of 1.

        Its peaks are those that the network's scores are made of. It computes one response after another, inside a graph or
        outside, so that its memory is that of one image.

        Raises:
            ValueError: if the model is no functional network, such as an export.
        """
        if not isinstance(model, keras.Model):
            raise ValueError(
                "Expected a network with its weights for peak responses, such as that of --workdir. Received: an export, which "
                "has no gradient. Leave --outputs of peaks out, or give the run."
            )
        network = peak_convolution.responding(model, OUTPUTS)
        options = next((o.window, o.threshold) for o in model.layers if isinstance(o, layers.PeakStimulation))

        @tf.autograph.experimental.do_not_convert
        def respond(images):
            image = tf.cast(images, tf.float32)
            found = network(image, training=False)
            maps, scores = (found[name] for name in OUTPUTS)
            there = (
                layers.peaks(maps, *options) & (maps > self.value) & (scores > self.score)[:, tf.newaxis, tf.newaxis]
            )
            cells = tf.where(there[0])
            values = tf.gather_nd(maps[0], cells)
            best = tf.argsort(values, direction="DESCENDING", stable=True)[: self.most]
            cells = tf.gather(cells, best)

            def add(number, responses):
                one = response(network, image, cells[number])
                return number + 1, tf.tensor_scatter_nd_update(responses, [[number]], one[tf.newaxis])

            count, size = tf.shape(cells)[0], tf.shape(image)[1:3]
            start = tf.constant(0), tf.zeros(tf.concat([[count], size], 0))
            shapes = tf.TensorShape([]), tf.TensorShape([None, None, None])
            _, responses = tf.while_loop(
                lambda number, _: number < count, add, start, shape_invariants=shapes, parallel_iterations=1
            )
            result = {"peaks": cells, "peak_values": tf.gather(values, best), "responses": responses}
            return {name: value[tf.newaxis] for name, value in result.items()} | {OUTPUTS[0]: maps, OUTPUTS[1]: scores}

        return respond

    def peaks(self, found: Mapping[str, np.ndarray]) -> tuple[Peaks, list[Mask]]:
        """The peaks of one image and the masks of its objects, the strongest first.

        Args:
            found: what the responder returns, without the first axis.
        """
        cells, responses, maps = found["peaks"].tolist(), found["responses"], found["class_maps"]
        masks = self._masks([kind for *_, kind in cells], responses, maps)
        instance_of = {peak: number for number, one in enumerate(masks, 1) for peak in one.peaks}
        listed = []
        for i, (row, column, kind) in enumerate(cells):
            y, x = np.unravel_index(np.argmax(responses[i]), responses[i].shape)
            value = float(found["peak_values"][i])
            listed.append(Peak(kind, value, (row, column), (int(x), int(y)), instance_of.get(i, 0)))
        return Peaks(listed, responses, maps, found["class_scores"]), masks

    def _masks(self, kinds, responses, maps):
        """Peaks of one class whose masks overlap by more than `overlap` are one object, and their responses are added."""
        found, allowed = [], {kind: inside(maps[..., kind], responses.shape[1:]) for kind in set(kinds)}
        for i, kind in enumerate(kinds):
            mask = self.mask(responses[i], allowed[kind])
            if not mask.any():  # a peak whose gradient is nowhere positive
                continue
            for number, one in enumerate(found):
                if one.kind == kind and iou(one.mask, mask) > self.overlap:
                    both = one.response + responses[i]
                    found[number] = Mask(kind, [*one.peaks, i], both, self.mask(both, allowed[kind]))
                    break
            else:
                found.append(Mask(kind, [i], responses[i], mask))
        return found

    def mask(self, response: np.ndarray, allowed: np.ndarray) -> np.ndarray:
        """The connected part, by 8 neighbours, with the largest sum of the smoothed response among pixels above `level`.

        Args:
            response: float32 [height, width], 0 or more.
            allowed: bool [height, width], where the class may be; if the response is nowhere there, it counts everywhere.

        Returns:
            bool [height, width].
        """
        smooth = response
        if self.blur:
            smooth = cv2.GaussianBlur(response, (0, 0), self.blur * float(np.hypot(*response.shape)))
        if (smooth * allowed).any():
            smooth = smooth * allowed
        count, parts = cv2.connectedComponents((smooth > self.level * smooth.max()).astype(np.uint8), connectivity=8)
        sums = np.bincount(parts.ravel(), smooth.ravel().astype(np.float64), count)
        return parts == 1 + np.argmax(sums[1:]) if count > 1 else np.zeros(response.shape, bool)


def strongest(
    *,
    score: float = 0.0,
    value: float = 0.0,
    most: int = 30,
    level: float = 0.25,
    blur: float = 0.01,
    overlap: float = 0.3,
) -> dict:
    """Peaks above `value` of classes whose score is above `score`, the `most` strongest of an image.

    A mask is where the response, smoothed by a Gaussian with the deviation `blur` (a share of the image's diagonal), is above
    `level` times its maximum. Masks of one class with an IoU above `overlap` are one object.
    """
    if not (isinstance(most, int) and most >= 1 and 0 <= level < 1 and 0 <= blur < 1 and 0 <= overlap <= 1):
        raise ValueError(
            "Expected most of 1 or more, level and blur from 0 to below 1, and overlap from 0 to 1. Received: "
            f"{most=}, {level=}, {blur=}, {overlap=}."
        )
    return {"score": score, "value": value, "most": most, "level": level, "blur": blur, "overlap": overlap}


def response(network: keras.Model, image: tf.Tensor, cell: tf.Tensor) -> tf.Tensor:
    """The peak response map, section 3.2: the gradient at the pixels, summed over colours, cut at 0, divided by its sum.

    Args:
        network: from `peak_convolution.responding`.
        image: float [1, height, width, 3].
        cell: integers [3], row, column and class in the class maps.

    Returns:
        float [height, width], of the image's precision.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(image)
        # A list of one cell, because the gradient of a single one fails in a graph.
        value = tf.gather_nd(network(image, training=False)["class_maps"][0], cell[tf.newaxis])
    positive = tf.nn.relu(tf.reduce_sum(tape.gradient(value, image)[0], -1))
    return tf.math.divide_no_nan(positive, tf.reduce_sum(positive))


def inside(class_map: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Where a class may be: its map, enlarged to `size` with corners aligned and scaled to 0..1, is not below the background's.

    Returns:
        bool of `size`.
    """
    x = class_map.astype(np.float64)
    for axis, pixels in enumerate(size):
        last = x.shape[axis] - 1
        position = np.linspace(0, last, pixels)
        low = np.floor(position).astype(int)
        part = np.expand_dims(position - low, 1 - axis)
        x = np.take(x, low, axis) * (1 - part) + np.take(x, np.minimum(low + 1, last), axis) * part
    x -= x.min()
    return x >= BACKGROUND * x.mean()


def iou(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two masks, bool [height, width]; 0 if both are empty."""
    return np.count_nonzero(one & other) / max(1, np.count_nonzero(one | other))
