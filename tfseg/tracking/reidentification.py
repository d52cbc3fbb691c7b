"""Lost objects are looked for among the connected parts of the foreground that overlap no object.

What an object looks like is the mean of the network's features over its mask, and two of them are as similar as the cosine
between these.
"""

import cv2
import numpy as np

SMALLEST = 0.1  # of the pixels of the smallest object's first mask, that a candidate has at least
COVERED = 0.1  # of a candidate's pixels, that an object may have


class Gallery:
    """The objects as they are in the first frame, and the candidates of the frames that were searched."""

    def __init__(self, track, told):
        """`track` is a `propagation.Track`; `told` is called after each frame that is searched."""
        self.track, self.told, self.candidates = track, told, {}
        masks = [track.first == k for k in range(1, track.count + 1)]
        self.templates = track.network.features(track.frames[0], masks)

    def best(self, threshold: float) -> tuple[int, int, np.ndarray] | None:
        """(frame, index of the object, mask) of the most similar candidate where an object is lost, or None."""
        best, found = threshold, None
        for at in np.flatnonzero(~self.track.seen.all(1)):
            lost = np.flatnonzero(~self.track.seen[at])
            taken = self.track.owners(at) > 0
            for mask, features in self.searched(at):
                if (mask & taken).sum() > COVERED * mask.sum():
                    continue
                alike = self.templates[lost] @ features
                if alike.max() >= best:
                    best, found = alike.max(), (int(at), int(lost[alike.argmax()]), mask)
        return found

    def searched(self, at: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """The candidates of a frame: (mask, features) each; the network looks at a frame once."""
        if at not in self.candidates:
            foreground = self.track.network.foreground(self.track.frames[at]) > 0.5
            # Whole parts: what is left of one beside the object that owns it would look like something new.
            masks = parts(foreground, max(1, SMALLEST * self.track.areas.min()))
            features = self.track.network.features(self.track.frames[at], masks) if masks else []
            self.candidates[at] = list(zip(masks, features, strict=True))
            self.told()
        return self.candidates[at]


def parts(mask: np.ndarray, smallest: float) -> list[np.ndarray]:
    """The connected parts, by 8 neighbours, of a mask, bool [height, width], that have `smallest` pixels or more."""
    count, ids, found, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return [ids == k for k in range(1, count) if found[k, cv2.CC_STAT_AREA] >= smallest]
