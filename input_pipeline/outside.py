"""Colours of masks that their class table does not know, where a data set is known to have some: counted and reported.

Copies of CamVid's colour masks that were scaled, or saved as JPEG on their way, have such colours along every edge.
"""

import collections

from absl import logging

from input_pipeline.listing import some


class Outside:
    """What the masks of a split hold outside the class table."""

    def __init__(self):
        self._found = []  # of (example, {colour code: pixels})

    def add(self, example: str, counts: dict[int, int]) -> None:
        """Adds one mask: {r<<16 | g<<8 | b: pixels}."""
        self._found.append((example, counts))

    def result(self) -> dict:
        """Returns the number of such pixels and of images that hold them."""
        return {"pixels": sum(sum(counts.values()) for _, counts in self._found), "images": len(self._found)}

    def report(self, what: str, pixels: int) -> None:
        """Logs their share of `pixels`, all that `what` has, the commonest colours and some of the images."""
        if not self._found:
            return
        total = collections.Counter()
        for _, counts in self._found:
            total.update(counts)
        colors = [f"({i >> 16}, {i >> 8 & 255}, {i & 255}) on {n} pixels" for i, n in total.most_common()]
        logging.warning(
            "%s: %d of %d pixels (%.4f %%), in %d images, have colours outside the class table and are ignored: %s. "
            "Images: %s.", what, total.total(), pixels, 100 * total.total() / pixels, len(self._found), some(colors),
            some([example for example, _ in self._found]),
        )  # fmt: skip
