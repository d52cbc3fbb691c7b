"""8-bit TensorFlow Lite that keeps its accuracy: the ranges of activations, and the layers that stay in float.

An activation in 8 bits is a whole number times a step, which is 1/255 of the activation's range (Jacob et al., CVPR 2018,
https://arxiv.org/abs/1712.05877, section 2.1). The converter takes as range the smallest and the largest value over some
images, so a single outlier makes every value coarse. `calibrated` can choose a narrower one, whose ends are what larger values
become:

    minmax      the converter's own
    percentile  all but the lowest and the highest OUTSIDE of the values (Wu et al. 2020, https://arxiv.org/abs/2004.09602,
                section 5.2)
    mse         the one with the least mean squared error of rounding and clipping together (Nagel et al. 2021,
                https://arxiv.org/abs/2106.08295, section 3.1)

The converter has no option for this. It writes the ranges that it found into its float graph, though, and reads them from there
when it quantizes. In between they can be replaced.

Where this is not enough, some operations stay in float: `fewest` measures which.
"""

import csv
import difflib
import io
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf
from tensorflow.lite.python import convert
from tensorflow.lite.tools import flatbuffer_utils

from tfseg import metrics

OUTSIDE = 1e-4  # share of the values below the range of `percentile`, and above it
BINS = 2048  # of the histogram of an activation
CANDIDATES = 64  # for each end of a range
STEPS = 255  # between the 256 numbers of 8 bits


def calibrated(converter: tf.lite.TFLiteConverter, images: Callable[[], Iterator[np.ndarray]], method: str) -> bytes:
    """The float graph of a converter, with the range of each activation.

    Args:
        converter: its other options are left as they are.
        images: gives float32 [1, height, width, 3], the same ones at each call.
        method: `minmax`, `percentile` or `mse`.
    """
    converter.representative_dataset = lambda: ([image] for image in images())
    converter._experimental_calibrate_only = True
    data = converter.convert()
    return data if method == "minmax" else with_ranges(data, images(), method)


def with_ranges(data: bytes, images: Iterable[np.ndarray], method: str) -> bytes:
    """A graph that the converter has calibrated on these images, with the ranges of `method`."""
    graph = flatbuffer_utils.convert_bytearray_to_object(data)
    found = {
        index: tensor.quantization for index, tensor in enumerate(graph.subgraphs[0].tensors) if _has_range(tensor)
    }
    histograms = {
        index: Histogram(each.min[0], each.max[0]) for index, each in found.items() if each.min[0] < each.max[0]
    }
    for tensors in _activations(data, images, list(histograms)):
        for index, values in tensors.items():
            histograms[index].add(values)
    for index, histogram in histograms.items():
        low, high = histogram.percentile(OUTSIDE) if method == "percentile" else histogram.least_error()
        found[index].min, found[index].max = [low], [high]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(graph))


def _has_range(tensor):
    quantization = tensor.quantization
    return quantization is not None and quantization.min is not None and len(quantization.min) == 1


def _activations(data, images, indices):
    """The values of some tensors of a graph, {index: array}, for each of the images."""
    interpreter = tf.lite.Interpreter(
        model_content=data,
        experimental_preserve_all_tensors=True,
        # A delegate would compute several operations at once, and what is between them would be missing.
        experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]["index"]
    for image in images:
        interpreter.set_tensor(given, image)
        interpreter.invoke()
        yield {index: interpreter.get_tensor(index) for index in indices}


class Histogram:
    """The values of an activation between `low` and `high`, in BINS bins of one width."""

    def __init__(self, low: float, high: float):
        self._low, self._width = low, (high - low) / BINS
        self._counts, self._zeros = np.zeros(BINS, np.int64), 0
        self._ends = min(low, 0.0), max(high, 0.0)  # a range always holds 0, which padding needs

    def add(self, values: np.ndarray) -> None:
        """Counts values of any shape."""
        bins = ((values.ravel() - np.float32(self._low)) * np.float32(1 / self._width)).astype(np.int32)
        self._counts += np.bincount(np.clip(bins, 0, BINS - 1), minlength=BINS)
        self._zeros += values.size - np.count_nonzero(values)

    def percentile(self, outside: float) -> tuple[float, float]:
        """The range that leaves out the share `outside` of the values at each end, to the width of a bin."""
        below = np.cumsum(self._counts) / np.sum(self._counts)
        low = self._low + self._width * np.searchsorted(below, outside, side="right")
        high = self._low + self._width * (np.searchsorted(below, 1 - outside) + 1)
        return min(low, 0.0), max(high, 0.0)

    def least_error(self) -> tuple[float, float]:
        """The range whose rounding and clipping together have the least squared error.

        A value inside the range is off by step² / 12 on average, and 0 not at all; one outside by its distance to the end.
        """
        counts = self._counts.astype(np.float64)
        centers = self._low + self._width * (np.arange(BINS) + 0.5)
        zero = int(np.clip(-self._low / self._width, 0, BINS - 1))
        counts[zero] = max(0.0, counts[zero] - self._zeros)
        shares = np.arange(1, CANDIDATES + 1) / CANDIDATES
        lows, highs = (end * (shares if end else np.zeros(1)) for end in self._ends)

        def clipped(ends, sign):  # [ends]: squared error and number of the values beyond each
            beyond = np.maximum(sign * (centers[np.newaxis] - ends[:, np.newaxis]), 0)
            return beyond**2 @ counts, (beyond > 0) @ counts

        (error_low, out_low), (error_high, out_high) = clipped(lows, -1), clipped(highs, 1)
        inside = np.sum(counts) - out_low[:, np.newaxis] - out_high[np.newaxis]
        step = (highs[np.newaxis] - lows[:, np.newaxis]) / STEPS
        error = error_low[:, np.newaxis] + error_high[np.newaxis] + inside * step**2 / 12
        i, j = np.unravel_index(np.argmin(error), error.shape)
        return float(lows[i]), float(highs[j])


def quantized(model: bytes, keep: Collection[str] = ()) -> bytes:
    """A graph of `calibrated` in 8 bits: images uint8, logits int8, a scale for each output channel of a kernel.

    Args:
        model: what `calibrated` returned.
        keep: names of operations, as `errors` has them, that stay in float32.
    """
    data = convert.mlir_quantize(
        model, input_data_type=tf.uint8, output_data_type=tf.int8, denylisted_nodes=list(keep) or None
    )
    return convert.deduplicate_readonly_buffers(data)


def operations(model: bytes, layers: Sequence[str]) -> list[str]:
    """The operations of some layers of the network.

    Args:
        model: what `calibrated` returned.
        layers: names of layers, or of operations as `errors` has them.

    Raises:
        ValueError: for a layer that has none.
    """
    found = _layers(model)
    chosen = {layer: [name for name, within in found.items() if layer in {name, *within}] for layer in layers}
    if missing := [layer for layer in layers if not chosen[layer]]:
        known = sorted(set().union(*found.values()))
        close = [name for layer in missing for name in difflib.get_close_matches(layer, known, 5, 0.5)] or known
        raise ValueError(
            f"Expected in --keep_float `auto` or layers of the network, such as {', '.join(close[:20])}. Received: "
            f"{', '.join(missing)}."
        )
    return list(dict.fromkeys(name for names in chosen.values() for name in names))


def _layers(model):
    """{operation: the layers that it computes}, from the names of its output and of its weights.

    `unet/relu_1/Relu;unet/conv1_1/BiasAdd` has `relu` and `conv1`: names in a graph get numbers at their end.
    """
    graph = flatbuffer_utils.convert_bytearray_to_object(model)
    tensors = graph.subgraphs[0].tensors
    found = {}
    for operator in graph.subgraphs[0].operators:
        weights = [i for i in operator.inputs if i >= 0 and graph.buffers[tensors[i].buffer].data is not None]
        names = [tensors[i].name.decode() for i in (operator.outputs[0], *weights)]
        parts = {part for name in names for one in name.split(";") for part in one.split("/")[1:-1]}
        found[names[0]] = parts | {re.sub(r"_\d+$", "", part) for part in parts}
    return found


def errors(model: bytes, images: Iterable[np.ndarray]) -> dict[str, float]:
    """What 8 bits do to the output of each operation: squared error / squared values, the mean over the channels.

    It is the operation's own error: it and its float twin get the same input. TensorFlow's QuantizationDebugger measures it.
    All channels have one step, so one of small values beside one of large ones may be lost, which a sum over all would hide.

    Args:
        model: what `calibrated` returned.
        images: float32 [1, height, width, 3].
    """

    def relative(real, whole, scale, zero):
        axes = tuple(range(real.ndim - 1))
        off = (whole.astype(np.float32) - zero) * scale - real
        return float(np.mean(np.sum(off**2, axes) / np.maximum(np.sum(real**2, axes), 1e-12)))

    debugger = tf.lite.experimental.QuantizationDebugger(
        quant_debug_model_content=convert.mlir_quantize(model, enable_numeric_verify=True),
        debug_dataset=lambda: ([image] for image in images),
        debug_options=tf.lite.experimental.QuantizationDebugOptions(
            layer_direct_compare_metrics={"relative": relative}
        ),
    )
    debugger.run()
    with io.StringIO() as table:
        debugger.layer_statistics_dump(table)
        table.seek(0)
        return {row["tensor_name"]: float(row["relative"]) for row in csv.DictReader(table)}


def with_readers(model: bytes, names: Sequence[str]) -> list[str]:
    """Operations of a graph, and those that read their outputs.

    An output is in float only between two operations in float: one in 8 bits has its input in 8 bits.
    """
    graph = flatbuffer_utils.convert_bytearray_to_object(model).subgraphs[0]
    outputs = {operator.outputs[0]: graph.tensors[operator.outputs[0]].name.decode() for operator in graph.operators}
    found = dict.fromkeys(names)
    for operator in graph.operators:
        if any(outputs.get(index) in names for index in operator.inputs):
            found[outputs[operator.outputs[0]]] = None
    return list(found)


def fewest(
    model: bytes, labelled: Sequence[tuple[np.ndarray, np.ndarray]], most_loss: float
) -> tuple[list[str], dict[str, float]]:
    """The operations to keep in float so that 8 bits cost at most `most_loss` of mIoU.

    They are the first of all operations by their error (`errors`), with those that read them, as few as are enough: twice as
    many are tried until the mIoU is reached, and then the number is halved in between.

    Args:
        model: what `calibrated` returned.
        labelled: (image float32 [1, height, width, 3], label uint8 [height, width]) each.
        most_loss: 0..1.

    Returns:
        Their names, and the mIoU in float, in 8 bits, and as chosen, by "float", "int8" and "mixed".
    """
    order, scores = [], {"float": miou(model, labelled), "int8": miou(quantized(model), labelled)}
    few, many, found = 0, 0, {0: scores["int8"]}

    def enough(count):
        found[count] = miou(quantized(model, with_readers(model, order[:count])), labelled)
        return found[count] >= scores["float"] - most_loss

    if scores["int8"] < scores["float"] - most_loss:
        error = errors(model, [image for image, _ in labelled])
        order = sorted(error, key=error.get, reverse=True)
        many = 1
        while many < len(order) and not enough(many):
            few, many = many, min(2 * many, len(order))
        while many - few > 1:
            middle = (few + many) // 2
            few, many = (few, middle) if enough(middle) else (middle, many)
        if many not in found:
            enough(many)
    return with_readers(model, order[:many]), scores | {"mixed": found[many]}


def miou(data: bytes, labelled: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
    """The mIoU of a graph, in float or in 8 bits, on some images."""
    interpreter = tf.lite.Interpreter(model_content=data)
    interpreter.allocate_tensors()
    given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    confusion = 0
    for image, label in labelled:
        interpreter.set_tensor(given["index"], image.astype(given["dtype"]))
        interpreter.invoke()
        scores = interpreter.get_tensor(made["index"])[0]
        confusion += metrics.confusion_matrix(label, np.argmax(scores, -1), scores.shape[-1]).numpy()
    return metrics.compute(confusion, list(map(str, range(len(confusion)))))["miou"]
