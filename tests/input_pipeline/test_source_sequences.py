"""Frames of one video that are in two splits."""

import pytest

from input_pipeline.source.listing import Example
from input_pipeline.source.sequences import split_sequences


def splits(**names):
    return {split: [Example(name, None, None) for name in of_split] for split, of_split in names.items()}


def test_a_video_that_is_split_is_named_with_its_shares():
    found = split_sequences(
        splits(train=["clip_0001", "clip_0002", "clip_0004", "day/cam2-30.5x", "alone"], val=["clip_0003", "night"])
    )
    assert found == ["clip_0001 .. clip_0004: 3 train, 1 val"]


def test_every_thirtieth_frame_are_neighbours_too():
    train, val = [f"0016E5_{i:05}" for i in (390, 420, 450, 510)], ["0016E5_00480"]
    assert split_sequences(splits(train=train, val=val)) == ["0016E5_00390 .. 0016E5_00510: 4 train, 1 val"]


@pytest.mark.parametrize("pattern", ["{:04}", "frame{}", "video 1/{}", "a_{}_left", "2024-01-02/img{:03}.v"])
def test_names_of_many_kinds(pattern):
    names = [pattern.format(i) for i in range(8, 13)]  # 9 and 10 are neighbours as numbers, not as text
    assert split_sequences(splits(train=names[:2], val=names[2:])) == [f"{names[0]} .. {names[-1]}: 2 train, 3 val"]


@pytest.mark.parametrize(
    "names",
    [
        {"train": ["a_1", "a_2", "a_3", "a_4"], "val": ["b_1", "b_2", "b_3", "b_4"]},
        {"train": ["a_1", "a_2", "a_3"], "val": []},
        {"train": ["a_1", "a_2"], "val": ["a_3"]},  # three images are no video
        {"train": ["a_1", "a_2", "a_3", "a_4"], "val": ["a_900", "a_901", "a_902"]},  # a gap between the two
        {"train": ["cat", "dog", "bird"], "val": ["fish", "horse"]},
    ],
)
def test_what_is_no_split_video(names):
    assert split_sequences(splits(**names)) == []


def test_the_advice_works():
    """The pattern in the note groups these names by the part before the running number."""
    import re

    from input_pipeline.source import listing, sequences

    pattern = re.search(r'group="(.*?)"\)', sequences.NOTE)[1]
    names = [f"{clip}_{i:04}{end}" for clip, end in (("a1", ""), ("b22", "_left"), ("c", "")) for i in range(10)]
    found = listing.held_out([Example(name, None, None) for name in names], 0.3, 0, pattern)
    assert split_sequences(found) == []
    assert {split: len(of_split) for split, of_split in found.items()} == {"train": 20, "val": 10}
