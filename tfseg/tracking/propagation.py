"""From frame to frame, and back again where a lost object was found."""

from collections.abc import Callable, Sequence

import numpy as np

from tfseg.tracking import flow as flow_lib
from tfseg.tracking import fusion, reidentification
from tfseg.tracking.network import Network

LOST = 0.1  # an object that has less of the pixels of its first mask is lost
PASSES = 5  # of the network on the box of an object that was found again


class Track:
    """The objects of a first frame in all frames.

    probabilities: float16 [frames, height, width, objects], each object's own, before the fusion.
    seen: bool [frames, objects], False where an object is lost.
    """

    def __init__(self, frames: Sequence[np.ndarray], first: np.ndarray, network: Network | None):
        """The frames are RGB uint8 [height, width, 3]; `first` has the objects 1..n of the first one, int [height, width].

        Without a network, masks are only moved along the flow.
        """
        self.frames, self.first, self.network = frames, first, network
        self.count = int(first.max())
        masks = first[..., np.newaxis] == np.arange(1, self.count + 1)
        self.areas = masks.sum((0, 1))
        self.probabilities = np.zeros((len(frames), *masks.shape), np.float16)
        self.seen = np.zeros((len(frames), self.count), bool)
        self.probabilities[0], self.seen[0] = masks, True

    def forwards(self, told: Callable[[], None] = lambda: None) -> None:
        """All objects, from the first frame to the last; `told` is called after each."""
        for at in range(1, len(self.frames)):
            self.step(at - 1, at, np.flatnonzero(self.seen[at - 1]))
            told()

    def reidentify(self, threshold: float, told: Callable[[], None] = lambda: None) -> int:
        """Looks for lost objects until none is found, and follows each both ways from where it was found.

        Args:
            threshold: similarity to the object in the first frame, 0..1, that a candidate must reach.
            told: called after each frame that is searched.

        Returns:
            How often an object was found again.
        """
        gallery, times = reidentification.Gallery(self, told), 0
        while match := gallery.best(threshold):
            at, object_, mask = match
            self.restart(at, object_, mask)
            times += 1
        return times

    def step(self, before: int, at: int, objects: Sequence[int]) -> np.ndarray:
        """Follows objects, indices from 0, from one frame to a neighbouring one, where the others are as they are known.

        Returns:
            Which of them are still seen, as indices.
        """
        flow = flow_lib.between(self.frames[before], self.frames[at])
        moved = flow_lib.warp(self.fused(before), flow)
        if self.network is None:
            moved = fusion.settled(moved)
            self.probabilities[at][..., objects] = moved[..., 1:][..., objects]
        else:
            masks = [moved[..., 1 + k] for k in objects]
            there = [(k, mask) for k, mask in zip(objects, masks, strict=True) if (mask > 0.5).any()]
            found = self.network.objects(self.frames[at], flow.places, [mask for _, mask in there])
            for (k, _), answer in zip(there, found, strict=True):
                self.probabilities[at][..., k] = answer
        return self.judged(at, objects)

    def judged(self, at: int, objects: Sequence[int]) -> np.ndarray:
        """Which of the objects have pixels enough in a frame; the others are lost there, and have no probability."""
        owners = fusion.owners(self.fused(at))
        left = np.array([k for k in objects if (owners == k + 1).sum() >= max(1, LOST * self.areas[k])], int)
        gone = np.setdiff1d(objects, left)
        self.seen[at, left], self.seen[at, gone] = True, False
        self.probabilities[at][..., gone] = 0
        return left

    def restart(self, at: int, object_: int, mask: np.ndarray) -> None:
        """Takes up an object, by its index, with a mask, bool [height, width], and follows it both ways to where it is seen."""
        frame, answer = self.frames[at], mask.astype(np.float32)
        flow = flow_lib.between(self.frames[max(at - 1, 0)], frame)
        for _ in range(PASSES):
            (again,) = self.network.objects(frame, flow.places, [answer])
            if not (again > 0.5).any():
                break
            answer = again
        self.probabilities[at][..., object_] = answer
        # Where it was found it counts as seen, even if the network makes less of it: otherwise it would be found for ever.
        self.seen[at, object_] = True
        for way, end in ((1, len(self.frames)), (-1, -1)):
            for following in range(at + way, end, way):
                if self.seen[following, object_] or not len(self.step(following - way, following, [object_])):
                    break

    def fused(self, at: int) -> np.ndarray:
        """Background and objects in a frame, float32 [height, width, 1 + objects], with the sum 1."""
        if self.network is None:  # what was moved is a whole map already
            objects = self.probabilities[at].astype(np.float32)
            return np.concatenate([1 - objects.sum(-1, keepdims=True), objects], -1)
        return fusion.fuse(self.probabilities[at].astype(np.float32))

    def owners(self, at: int) -> np.ndarray:
        """Who has each pixel of a frame: 0 the background, k the k-th object, int [height, width]."""
        return self.first if at == 0 else fusion.owners(self.fused(at))
