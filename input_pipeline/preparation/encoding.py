"""How images are stored in the records: as the bytes of their source or encoded again, and no larger than --max_size."""

import dataclasses
import re

import cv2
import numpy as np
import tensorflow as tf

from input_pipeline.source import files
from tfseg.spec import apply, did_you_mean, parse


def png() -> tuple[str, list[int]]:
    """Lossless. A source that is a PNG of the right size keeps its bytes."""
    return ".png", []


def jpeg(quality: int = 95) -> tuple[str, list[int]]:
    """`quality` is 1..100, and colour has half the resolution. A source that is a JPEG is encoded again too."""
    if not (isinstance(quality, int) and 1 <= quality <= 100):
        raise ValueError(f"Expected jpeg(quality=1..100). Received: quality={quality!r}.")
    return ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality]


FORMATS = {"png": png, "jpeg": jpeg}


@dataclasses.dataclass(frozen=True)
class Storage:
    """How images are stored.

    image_format  "" keeps the source's bytes, or is PNG if the image had to be changed; or `png`, `jpeg(quality=95)`
    max_size      longest side in pixels; larger images shrink by area averages, labels to the nearest pixel; 0: no limit
    image_range   "LOW,HIGH": the values of images with more than 8 bits that become 0 and 255; "" keeps the high byte
    """

    image_format: str = ""
    max_size: int = 0
    image_range: str = ""

    def __post_init__(self):
        self._encoder()
        files.limits_of(self.image_range)
        if not (isinstance(self.max_size, int) and self.max_size >= 0):
            raise ValueError(f"Expected max_size in pixels, 0 or more. Received: {self.max_size!r}.")

    @property
    def options(self) -> dict:
        """The options that are not at their default, which are those that change the stored images."""
        return {k: v for k, v in dataclasses.asdict(self).items() if v}

    @property
    def folder(self) -> str:
        """The folder in the cache for records that are stored in this way."""
        return re.sub(r"[^\w=.-]+", "_", "-".join(f"{k}={v}" for k, v in self.options.items()))

    def __call__(
        self, encoded: bytes, image: np.ndarray, label: np.ndarray, exact: bool = False
    ) -> tuple[bytes, np.ndarray, np.ndarray]:
        """Takes an example as it was read and returns (encoded, image uint8 [h, w, 3], label uint8 [h, w]) as they are stored.

        An `exact` image holds ids: it shrinks as the label does, and is PNG whatever the format.

        Decoding `encoded` gives exactly the image.
        """
        longest = max(label.shape)
        shrinks = 0 < self.max_size < longest
        if shrinks:
            size = [max(1, round(n * self.max_size / longest)) for n in label.shape[::-1]]
            image = cv2.resize(image, size, interpolation=cv2.INTER_NEAREST_EXACT if exact else cv2.INTER_AREA)
            label = cv2.resize(label, size, interpolation=cv2.INTER_NEAREST_EXACT)
        suffix, parameters = png() if exact else self._encoder()
        kept = not shrinks and (not self.image_format or (suffix == ".png" and encoded.startswith(files.PNG)))
        if not kept:
            encoded = cv2.imencode(suffix, image[..., ::-1], parameters)[1].tobytes()
            if suffix == ".jpg":
                image = tf.io.decode_jpeg(encoded).numpy()
        return encoded, image, label

    def _encoder(self):
        call = parse(self.image_format or "png")
        if call.name not in FORMATS:
            raise ValueError(
                f"Expected image_format to be blank, {' or '.join(FORMATS)}(<options>). Received: {self.image_format!r}."
                f"{did_you_mean(call.name, FORMATS)}"
            )
        return apply(FORMATS[call.name], call)
