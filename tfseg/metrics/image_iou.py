"""Distribution of the images' mean IoU."""

import math
from collections.abc import Sequence

import numpy as np

from tfseg.counts import Count
from tfseg.metrics import _boundary, percent
from tfseg.metrics.miou import miou

BINS, SHOWN = 100, 20  # of the histogram, and of its bars in the report
UNIT = 1 << 40  # scores are summed as whole numbers of 1 / UNIT, so that the order of the images changes nothing


def image_iou(classes: Sequence[str]) -> Count:
    """The histogram of the mean IoU of each image, over the classes in its label or its prediction.

    Images without a labelled pixel do not count. The mean of the images (PASCAL VOC's "mIoU^I" in Csurka et al., BMVC 2013,
    and Wang et al., arXiv:2310.19252) gives an image with small objects the same weight as one with large ones.

    Args:
        classes: names of the data set's classes.

    Returns:
        A count with `mean_image_iou`, 0..1, and `image_iou`: {"images", "deviation" (standard deviation over the images),
        "p10", "median", "p90" (from the histogram, exact to 0.01), "histogram" (images in 100 bins of 0.01)}.
    """

    def of_image(label, prediction, valid):
        outputs = max(len(classes), prediction.max() + 1)
        cells = label[valid] * outputs + prediction[valid]
        confusion = np.bincount(cells, minlength=outputs**2).reshape(outputs, outputs)[: len(classes)]
        score = miou(confusion)
        found = np.zeros(BINS + 2, np.int64)
        found[min(int(score * BINS), BINS - 1)] = 1
        found[BINS:] = round(score * UNIT), round(score**2 * UNIT)
        return found

    def values(total):
        histogram, (mean, squares) = total[:BINS], (total[BINS:] / UNIT).tolist()
        images = int(histogram.sum())
        if not images:
            return {"mean_image_iou": None, "image_iou": {"images": 0}}
        mean, squares = mean / images, squares / images
        shares = {"p10": 0.1, "median": 0.5, "p90": 0.9}
        found = {"images": images, "deviation": math.sqrt(max(squares - mean**2, 0.0))}
        found |= {name: quantile(histogram, share) for name, share in shares.items()}
        return {"mean_image_iou": mean, "image_iou": {**found, "histogram": histogram.tolist()}}

    shape = (BINS + 2,)
    return Count(np.zeros(shape, np.int64), lambda seen: _boundary.count(seen, of_image, shape), values, section)


def quantile(histogram: np.ndarray, share: float) -> float:
    """The value below which a share of the images lies, 0..1; images are spread evenly over their bin."""
    below = np.cumsum(histogram)
    place = share * below[-1]
    bin_ = int(np.searchsorted(below, place))
    return float((bin_ + (place - (below[bin_] - histogram[bin_])) / histogram[bin_]) / len(histogram))


def section(result: dict) -> str:
    """The histogram as bars."""
    found = result["image_iou"]
    if not found["images"]:
        return "<h2>Distribution of the images</h2>\n<p>No image has a labelled pixel.</p>"
    numbers = {
        "mean": result["mean_image_iou"], "10th percentile": found["p10"], "median": found["median"],
        "90th percentile": found["p90"],
    }  # fmt: skip
    said = ", ".join(f"{name} {percent(value)}" for name, value in numbers.items())
    bars, width = np.reshape(found["histogram"], [SHOWN, -1]).sum(1).tolist(), 100 // SHOWN
    drawn = "".join(
        f'<div style="height:{100 * n / max(bars):.1f}%" title="{width * i} to {width * (i + 1)} %: {n} images"></div>'
        for i, n in enumerate(bars)
    )
    return (
        f"<h2>Distribution of the images</h2>\n<p>Mean IoU in percent of {found['images']} images with labelled pixels, over "
        f'the classes in the label or the prediction of each: {said}.</p>\n<div class="bars">{drawn}</div>\n'
        '<div class="scale"><span>0 %</span><span>mean IoU of an image</span><span>100 %</span></div>'
    )
