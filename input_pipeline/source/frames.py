"""Examples as frames of sequences: windows of past label maps with the label that follows, and the end of each held out."""

import collections
import dataclasses
import re
from collections.abc import Callable, Sequence

from input_pipeline.source.listing import Example, Window

SPLITS = ("", "last_fifth")
LAST = 5  # the last 1 / LAST of a sequence is held out


def number_in_name(example: Example) -> tuple[str, int]:
    """(sequence, number of the frame) of an example whose name ends with the number, as `0016E5_07959`."""
    match = re.fullmatch(r"(.*?)(\d+)", example.id, re.DOTALL)
    if not match:
        raise ValueError(
            f"Expected names of frames that end with their number, as 0016E5_07959. Received: {example.id!r}. Rename it."
        )
    return match[1], int(match[2])


def windows(
    examples: Sequence[Example], steps: int, step: int, place: Callable[[Example], tuple[str, int]]
) -> list[Example]:
    """The examples that have `steps` frames before them in their sequence, `step` apart, with these frames' masks as image.

    A frame that is missing breaks the sequence: no window reaches over it. The example's own mask is never in its window.

    Args:
        examples: frames of any number of sequences.
        steps: label maps in a window.
        step: distance of its frames, and of the last one from the target, in the numbers of `place`.
        place: gives (sequence, number of the frame) of an example.
    """
    if not isinstance(step, int) or isinstance(step, bool) or step < 1:
        raise ValueError(f"Expected step, the distance of two frames, of 1 or more. Received: {step=}.")
    by_place = {place(example): example for example in examples}
    found = []
    for (sequence, number), example in by_place.items():
        before = [by_place.get((sequence, number - step * k)) for k in range(steps, 0, -1)]
        if None not in before:
            found.append(dataclasses.replace(example, image=Window(tuple(frame.mask for frame in before))))
    return found


def last_fifth(
    examples: Sequence[Example], place: Callable[[Example], tuple[str, int]]
) -> tuple[list[Example], list[Example]]:
    """(the first four fifths of the frames of each sequence, the last fifth). Windows must be made of each part alone."""
    sequences = collections.defaultdict(list)
    for example in examples:
        sequence, number = place(example)
        sequences[sequence].append((number, example))
    earlier, later = [], []
    for frames in sequences.values():
        ordered = [example for _, example in sorted(frames, key=lambda frame: frame[0])]
        cut = len(ordered) - len(ordered) // LAST
        earlier += ordered[:cut]
        later += ordered[cut:]
    return earlier, later
