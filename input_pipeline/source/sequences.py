"""Finds frames of one video by their names. They are nearly the same image and must not be in two splits."""

import collections
import itertools
import re
from collections.abc import Mapping, Sequence

from input_pipeline.source.listing import Example

# The message of `checking`, which follows the number of groups.
NOTE = (
    "groups of images have names like frames of one video, and neighbours in two splits; if they are frames, scores are "
    r'too good: keep each video together with folder(group="(.*?)\d+\D*$"), or divide a single one by lists train.txt '
    "and val.txt"
)
_FEWEST = 4  # images that we take for a sequence; two or three images with running numbers prove nothing


def split_sequences(splits: Mapping[str, Sequence[Example]]) -> list[str]:
    """The sequences that have neighbouring frames in two splits, each as `first .. last: count train, count val`.

    A sequence is at least four images whose names differ only in their last number. Two images next to each other are
    neighbours if their numbers differ by at most the usual step: by 30 if every thirtieth frame was kept.
    """
    frames = collections.defaultdict(list)  # {what the names share: [(number, id, split)]}
    for split, examples in splits.items():
        for example in examples:
            if match := re.fullmatch(r"(.*?)(\d+)(\D*)", example.id, re.DOTALL):
                frames[match[1], match[3]].append((int(match[2]), example.id, split))
    found = []
    for _, sequence in sorted(frames.items()):
        sequence.sort()
        if len(sequence) < _FEWEST:
            continue
        pairs = [(after[0] - before[0], after[2] != before[2]) for before, after in itertools.pairwise(sequence)]
        usual = sorted(step for step, _ in pairs)[len(pairs) // 2]
        if any(parted and step <= usual for step, parted in pairs):
            counts = collections.Counter(split for _, _, split in sequence)
            shares = ", ".join(f"{counts[split]} {split}" for split in splits if counts[split])
            found.append(f"{sequence[0][1]} .. {sequence[-1][1]}: {shares}")
    return found
